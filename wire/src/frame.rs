//! Cuts a stream of bytes into HTTP/2 frames: nine bytes that say how long, of what type, and for whom.

use std::fmt;

/// How many bytes stand before each payload. RFC 9113, section 4.1.
pub const HEAD: usize = 9;

/// The longest payload that may be sent to a peer that has not allowed more. RFC 9113, section 4.2.
pub const DEFAULT_MAX_FRAME_SIZE: u32 = 16_384;

/// The flag that ends one side's half of a stream.
pub const END_STREAM: u8 = 0x1;
/// On SETTINGS and PING: this answers one of yours.
pub const ACK: u8 = 0x1;
/// The flag that ends a block of headers.
pub const END_HEADERS: u8 = 0x4;
/// The payload begins with the length of a padding, and ends with the padding.
pub const PADDED: u8 = 0x8;
/// The payload of HEADERS begins with five bytes about priority.
pub const PRIORITY: u8 = 0x20;

/// What a frame is for. RFC 9113, section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameType {
    /// Bytes of messages.
    Data,
    /// Headers or trailers, or the first part of them.
    Headers,
    /// An order of precedence, which everybody ignores today.
    Priority,
    /// The immediate end of one stream.
    RstStream,
    /// What a peer wants of the other, and that it has heard.
    Settings,
    /// The announcement of an answer to a question that nobody asked.
    PushPromise,
    /// Are you there? I am.
    Ping,
    /// The end of a connection: no new streams.
    GoAway,
    /// Leave to send more bytes.
    WindowUpdate,
    /// The next part of headers.
    Continuation,
    /// A type that HTTP/2 does not know, and that must be ignored.
    Unknown(u8),
}

impl FrameType {
    /// The type with this number.
    pub fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::RstStream,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            _ => Self::Unknown(number),
        }
    }

    /// The flags that this type knows, with their names. Others are to be ignored.
    pub fn flags(self) -> &'static [(u8, &'static str)] {
        match self {
            Self::Data => &[(END_STREAM, "END_STREAM"), (PADDED, "PADDED")],
            Self::Headers => &[
                (END_STREAM, "END_STREAM"),
                (END_HEADERS, "END_HEADERS"),
                (PADDED, "PADDED"),
                (PRIORITY, "PRIORITY"),
            ],
            Self::Settings | Self::Ping => &[(ACK, "ACK")],
            Self::PushPromise => &[(END_HEADERS, "END_HEADERS"), (PADDED, "PADDED")],
            Self::Continuation => &[(END_HEADERS, "END_HEADERS")],
            _ => &[],
        }
    }
}

impl fmt::Display for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "DATA",
            Self::Headers => "HEADERS",
            Self::Priority => "PRIORITY",
            Self::RstStream => "RST_STREAM",
            Self::Settings => "SETTINGS",
            Self::PushPromise => "PUSH_PROMISE",
            Self::Ping => "PING",
            Self::GoAway => "GOAWAY",
            Self::WindowUpdate => "WINDOW_UPDATE",
            Self::Continuation => "CONTINUATION",
            Self::Unknown(number) => return write!(f, "UNKNOWN_{number}"),
        })
    }
}

/// The nine bytes before a payload, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How long the payload is, in bytes.
    pub length: u32,
    /// What the frame is for.
    pub kind: FrameType,
    /// One bit a flag.
    pub flags: u8,
    /// Whom it concerns: a stream, or with 0 the connection.
    pub stream: u32,
}

impl Head {
    /// Takes nine bytes apart.
    pub fn parse(bytes: [u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, s, t, u, v] = bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind: FrameType::from_number(kind),
            flags,
            // The highest bit is reserved, and to be ignored.
            stream: u32::from_be_bytes([s & 0x7f, t, u, v]),
        }
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag == flag
    }
}

/// The name of an error code in RST_STREAM and GOAWAY. RFC 9113, section 7.
pub fn error_name(code: u32) -> &'static str {
    match code {
        0x0 => "NO_ERROR",
        0x1 => "PROTOCOL_ERROR",
        0x2 => "INTERNAL_ERROR",
        0x3 => "FLOW_CONTROL_ERROR",
        0x4 => "SETTINGS_TIMEOUT",
        0x5 => "STREAM_CLOSED",
        0x6 => "FRAME_SIZE_ERROR",
        0x7 => "REFUSED_STREAM",
        0x8 => "CANCEL",
        0x9 => "COMPRESSION_ERROR",
        0xa => "CONNECT_ERROR",
        0xb => "ENHANCE_YOUR_CALM",
        0xc => "INADEQUATE_SECURITY",
        0xd => "HTTP_1_1_REQUIRED",
        _ => "an error without a name",
    }
}

/// The name of a setting. RFC 9113, section 6.5.2; RFC 8441; RFC 9218.
pub fn setting_name(id: u16) -> Option<&'static str> {
    Some(match id {
        0x1 => "HEADER_TABLE_SIZE",
        0x2 => "ENABLE_PUSH",
        0x3 => "MAX_CONCURRENT_STREAMS",
        0x4 => "INITIAL_WINDOW_SIZE",
        0x5 => "MAX_FRAME_SIZE",
        0x6 => "MAX_HEADER_LIST_SIZE",
        0x8 => "ENABLE_CONNECT_PROTOCOL",
        0x9 => "NO_RFC7540_PRIORITIES",
        _ => return None,
    })
}

/// A part of a frame, as soon as it is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A frame begins.
    Head(Head),
    /// Some of its payload, never none.
    Payload(&'a [u8]),
    /// The frame is complete.
    End,
}

/// Finds the frames in a stream of bytes that arrives in whatever pieces. Holds nine bytes, never a payload.
#[derive(Debug, Default)]
pub struct Splitter {
    head: [u8; HEAD],
    have: usize,
    left: u32,
}

impl Splitter {
    /// Takes the next piece from the front of `bytes`, or returns `None` when more bytes are needed.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Piece<'a>> {
        if self.have < HEAD {
            let (taken, rest) = bytes.split_at(bytes.len().min(HEAD - self.have));
            self.head[self.have..self.have + taken.len()].copy_from_slice(taken);
            self.have += taken.len();
            *bytes = rest;
            if self.have < HEAD {
                return None;
            }
            let head = Head::parse(self.head);
            self.left = head.length;
            return Some(Piece::Head(head));
        }
        if self.left == 0 {
            self.have = 0;
            return Some(Piece::End);
        }
        if bytes.is_empty() {
            return None;
        }
        let taken = bytes
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let (payload, rest) = bytes.split_at(taken);
        // At most `left`, which is a `u32`.
        self.left -= u32::try_from(taken).unwrap_or(self.left);
        *bytes = rest;
        Some(Piece::Payload(payload))
    }

    /// The nine bytes of the frame that is being read.
    pub fn head_bytes(&self) -> [u8; HEAD] {
        self.head
    }

    /// Whether the last byte read was the last one of a frame.
    pub fn is_between_frames(&self) -> bool {
        self.have == 0
    }
}
