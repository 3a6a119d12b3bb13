//! Learns from the bytes that a client sends whether it has begun a call.

/// How every HTTP/2 connection begins. RFC 9113, section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// The type of a TLS record in a handshake, and that of one with application data. RFC 8446, 5.1.
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Reads no more than it needs to know where frames begin, and remembers no more than nine bytes.
#[derive(Debug)]
pub(super) enum FirstCall {
    /// So many bytes of the preface have come.
    Preface(usize),
    /// An HTTP/2 frame.
    Frame(Prefix<9>),
    /// The rest of a frame. Whether it is the last one of a call's headers.
    Payload {
        left: usize,
        ends_headers: bool,
    },
    /// A TLS record. Its content can't be read here, only that there is some.
    Record(Prefix<5>),
    RecordBody {
        left: usize,
    },
    /// Neither: HTTP/1, up to the empty line, of which so many bytes have come.
    Lines(usize),
    Begun,
}

/// What has come of the bytes that say what follows.
#[derive(Debug)]
pub(super) struct Prefix<const N: usize> {
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
    fn push(&mut self, byte: u8) -> Option<[u8; N]> {
        *self.bytes.get_mut(self.length)? = byte;
        self.length += 1;
        (self.length == N).then_some(self.bytes)
    }
}

impl Default for FirstCall {
    fn default() -> Self {
        Self::Preface(0)
    }
}

impl FirstCall {
    /// Takes what the client has sent; returns whether a call's headers have come in full.
    pub(super) fn has_begun(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = match self {
                Self::Payload { left, .. } | Self::RecordBody { left } if *left > 0 => {
                    let skipped = bytes.len().min(*left);
                    *left -= skipped;
                    &bytes[skipped..]
                }
                _ => {
                    self.step(byte);
                    rest
                }
            };
            self.settle();
        }
        matches!(self, Self::Begun)
    }

    fn step(&mut self, byte: u8) {
        match self {
            Self::Preface(0) if byte == HANDSHAKE => {
                let mut record = Prefix::default();
                record.push(byte);
                *self = Self::Record(record);
            }
            Self::Preface(matched) if PREFACE.get(*matched) == Some(&byte) => {
                *matched += 1;
                if *matched == PREFACE.len() {
                    *self = Self::Frame(Prefix::default());
                }
            }
            Self::Preface(_) => *self = Self::Lines(0),
            Self::Frame(prefix) => {
                if let Some([a, b, c, kind, flags, ..]) = prefix.push(byte) {
                    let ends_headers =
                        matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS != 0;
                    let left = u32::from_be_bytes([0, a, b, c]) as usize;
                    *self = Self::Payload { left, ends_headers };
                }
            }
            Self::Record(prefix) => {
                if let Some([kind, _, _, a, b]) = prefix.push(byte) {
                    *self = if kind == APPLICATION_DATA {
                        Self::Begun
                    } else {
                        let left = usize::from(u16::from_be_bytes([a, b]));
                        Self::RecordBody { left }
                    };
                }
            }
            Self::Lines(matched) => {
                *matched = match (byte, *matched) {
                    (b'\r', 2) => 3,
                    (b'\r', _) => 1,
                    (b'\n', 1 | 3) => *matched + 1,
                    _ => 0,
                };
                if *matched == 4 {
                    *self = Self::Begun;
                }
            }
            Self::Payload { .. } | Self::RecordBody { .. } | Self::Begun => {}
        }
    }

    /// Goes on to the next frame or record once nothing is left of one.
    fn settle(&mut self) {
        match self {
            Self::Payload {
                left: 0,
                ends_headers: true,
            } => *self = Self::Begun,
            Self::Payload { left: 0, .. } => *self = Self::Frame(Prefix::default()),
            Self::RecordBody { left: 0 } => *self = Self::Record(Prefix::default()),
            _ => {}
        }
    }
}
