//! Cuts the bytes of one direction of an HTTP/2 connection into frames, in whatever pieces they
//! come.

mod heard;

pub(crate) use self::heard::{Heard, Listen};

/// How every HTTP/2 connection begins, on the client's side. RFC 9113, section 3.4.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The types of frames. RFC 9113, section 6.
pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const CONTINUATION: u8 = 0x9;

/// Their flags.
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

/// So many bytes of a payload are kept: all of a PING, and of a GOAWAY what keepalive looks for.
const KEPT: usize = 24;

/// A frame that has come in full. RFC 9113, section 4.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    length: usize,
    kept: [u8; KEPT],
}

impl Frame {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload, or the beginning of one that's longer than [`KEPT`].
    pub(crate) fn payload(&self) -> &[u8] {
        self.kept.get(..self.length).unwrap_or(&self.kept)
    }
}

/// What has come of the bytes that say what follows.
#[derive(Clone, Debug)]
pub(crate) struct Prefix<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Default for Prefix<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            length: 0,
        }
    }
}

impl<const N: usize> Prefix<N> {
    /// Takes one byte; returns all of them when there are enough.
    pub(crate) fn push(&mut self, byte: u8) -> Option<[u8; N]> {
        *self.bytes.get_mut(self.length)? = byte;
        self.length += 1;
        (self.length == N).then_some(self.bytes)
    }
}

/// Remembers no more than one frame's head, and the first [`KEPT`] bytes of its payload.
#[derive(Clone, Debug, Default)]
pub(crate) struct FrameScanner {
    head: Prefix<9>,
    /// The frame whose head has come, and how much of its payload.
    current: Option<(Frame, usize)>,
    /// A header block that a CONTINUATION has to go on with.
    in_headers: bool,
}

impl FrameScanner {
    /// Takes `bytes` up to the end of the next frame, which it returns, or all of them.
    pub(crate) fn next_frame(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        loop {
            if let Some((frame, seen)) = &mut self.current {
                let (piece, rest) = bytes.split_at(bytes.len().min(frame.length - *seen));
                for (kept, byte) in frame.kept.iter_mut().skip(*seen).zip(piece) {
                    *kept = *byte;
                }
                *seen += piece.len();
                *bytes = rest;
                if *seen < frame.length {
                    return None;
                }
                let frame = *frame;
                self.current = None;
                if matches!(frame.kind, HEADERS | CONTINUATION) {
                    self.in_headers = !frame.has(END_HEADERS);
                }
                return Some(frame);
            }
            let (&byte, rest) = bytes.split_first()?;
            *bytes = rest;
            if let Some([a, b, c, kind, flags, stream @ ..]) = self.head.push(byte) {
                self.head = Prefix::default();
                let frame = Frame {
                    kind,
                    flags,
                    stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
                    length: u32::from_be_bytes([0, a, b, c]) as usize,
                    kept: [0; KEPT],
                };
                self.current = Some((frame, 0));
            }
        }
    }

    /// Whether another frame may be put in here: no frame has begun, nor a header block.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.head.length == 0 && self.current.is_none() && !self.in_headers
    }

    /// How many of the `bytes` that follow there are up to the next such place; all, if it isn't
    /// among them.
    pub(crate) fn up_to_next_place(&self, bytes: &[u8]) -> usize {
        let mut ahead = self.clone();
        let mut rest = bytes;
        while ahead.next_frame(&mut rest).is_some() {
            if ahead.is_between_frames() {
                break;
            }
        }
        bytes.len() - rest.len()
    }
}
