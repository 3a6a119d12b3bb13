//! The head of a frame: nine bytes that say how long, of what type, and for which stream.

use std::fmt;

/// How many bytes stand before each payload. RFC 9113, section 4.1.
pub(crate) const HEAD: usize = 9;

/// The longest payload that may be sent to a peer that has not allowed more. RFC 9113, section 4.2.
pub(crate) const DEFAULT_MAX_FRAME_SIZE: u32 = 16_384;

/// The flag that ends one side's half of a stream.
pub(crate) const END_STREAM: u8 = 0x1;
/// On SETTINGS and PING: this answers one of yours.
pub(crate) const ACK: u8 = 0x1;
/// The flag that ends a block of headers.
pub(crate) const END_HEADERS: u8 = 0x4;
/// The payload begins with the length of a padding, and ends with the padding.
pub(crate) const PADDED: u8 = 0x8;
/// The payload of HEADERS begins with five bytes about priority.
pub(crate) const PRIORITY: u8 = 0x20;

/// What a frame is for. RFC 9113, section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameType {
    /// Bytes of messages.
    Data,
    /// Headers or trailers, or the first part of them.
    Headers,
    /// Which stream is more urgent; obsolete.
    Priority,
    /// The immediate end of one stream.
    RstStream,
    /// What a peer allows the other, or its acknowledgement.
    Settings,
    /// The request of a response that the server sends unasked.
    PushPromise,
    /// A sign of life, or the answer to one.
    Ping,
    /// The end of a connection: no new streams.
    GoAway,
    /// Permission to send more bytes.
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
pub(crate) struct Head {
    /// How long the payload is, in bytes.
    pub length: u32,
    /// What the frame is for.
    pub kind: FrameType,
    /// One bit a flag.
    pub flags: u8,
    /// Its stream, or 0 for the connection.
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

    /// Whether its payload ends with padding.
    pub fn is_padded(&self) -> bool {
        let kinds = [FrameType::Data, FrameType::Headers, FrameType::PushPromise];
        kinds.contains(&self.kind) && self.has(PADDED)
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag == flag
    }
}

/// An error code, in RST_STREAM and GOAWAY. RFC 9113, section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// The end of a connection without an error.
    pub const NO_ERROR: Self = Self(0);

    /// Its name, if it has one.
    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 {
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
            _ => return None,
        })
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error {}", self.0),
        }
    }
}

/// The number of a setting. RFC 9113, section 6.5.2; RFC 8441; RFC 9218.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Setting(pub u16);

impl Setting {
    /// How large the table of headers may be.
    pub(crate) const HEADER_TABLE_SIZE: Self = Self(0x1);
    /// How long a frame may be.
    pub const MAX_FRAME_SIZE: Self = Self(0x5);

    /// Its name, if it has one.
    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 {
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
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "setting {}", self.0),
        }
    }
}
