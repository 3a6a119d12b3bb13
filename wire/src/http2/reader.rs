//! Cuts a stream of bytes into frames, in whatever pieces it arrives.

use super::frame::{HEAD, Head};

/// A part of a frame, as soon as it is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A frame begins.
    Head(Head),
    /// Some of its payload, never none.
    Payload(&'a [u8]),
    /// The frame is complete.
    End,
}

/// Finds the frames in a stream of bytes that arrives in whatever pieces. Holds nine bytes, never a
/// payload.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    head: [u8; HEAD],
    have: usize,
    left: u32,
}

impl FrameReader {
    /// Takes the next piece from the front of `bytes`, or returns `None` when more bytes are
    /// needed.
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
