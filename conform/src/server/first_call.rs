//! Learns from the bytes that a client sends whether it has begun a call.

use crate::frames::{CONTINUATION, END_HEADERS, FrameScanner, HEADERS, PREFACE, Prefix};

/// The type of a TLS record in a handshake, and that of one with application data. RFC 8446, 5.1.
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Reads no more than it needs to know where frames begin, and remembers some dozen bytes.
#[derive(Debug)]
pub(super) enum FirstCall {
    /// So many bytes of the preface have come.
    Preface(usize),
    /// HTTP/2's frames.
    Frames(FrameScanner),
    /// A TLS record. Its content can't be read here, only that there is some.
    Record(Prefix<5>),
    RecordBody {
        left: usize,
    },
    /// Neither: HTTP/1, up to the empty line, of which so many bytes have come.
    Lines(usize),
    Begun,
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
                Self::Frames(frames) => {
                    while let Some(frame) = frames.next_frame(&mut bytes) {
                        let is_of_headers = matches!(frame.kind, HEADERS | CONTINUATION);
                        if is_of_headers && frame.has(END_HEADERS) {
                            *self = Self::Begun;
                            return true;
                        }
                    }
                    bytes
                }
                Self::RecordBody { left } if *left > 0 => {
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
                    *self = Self::Frames(FrameScanner::default());
                }
            }
            Self::Preface(_) => *self = Self::Lines(0),
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
            Self::Frames(_) | Self::RecordBody { .. } | Self::Begun => {}
        }
    }

    /// Goes on to the next record once nothing is left of one.
    fn settle(&mut self) {
        if matches!(self, Self::RecordBody { left: 0 }) {
            *self = Self::Record(Prefix::default());
        }
    }
}
