//! One type a frame, each with its own parser.

use bytes::Bytes;

use super::frame::{self, ErrorCode, FrameType, Head, Setting};
use super::violation::Violation;

/// What stands before the content of DATA, HEADERS and PUSH_PROMISE: it is read byte by byte, for
/// the rest of the frame is passed on to others as it comes.
#[derive(Debug)]
pub(crate) struct Prelude {
    bytes: [u8; 6],
    have: usize,
    size: usize,
}

/// What a [`Prelude`] came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// How many bytes the content has.
    pub length: u32,
    /// How many bytes are padding, and the byte that says so.
    pub padding: u32,
    pub promised: Option<u32>,
}

impl Prelude {
    pub fn of(head: &Head) -> Self {
        Self {
            bytes: [0; 6],
            have: 0,
            size: fixed_size(head),
        }
    }

    /// Takes what belongs to it from the front of `bytes`. Whether it is complete then.
    pub fn read(&mut self, bytes: &mut &[u8]) -> bool {
        let (taken, rest) = bytes.split_at(bytes.len().min(self.size - self.have));
        self.bytes[self.have..self.have + taken.len()].copy_from_slice(taken);
        self.have += taken.len();
        *bytes = rest;
        self.have == self.size
    }

    pub fn content(&self, head: &Head) -> Result<Content, Violation> {
        let mut rest = &self.bytes[..self.size];
        let mut padding = 0;
        if head.is_padded() {
            padding = u32::from(rest[0]) + 1;
            rest = &rest[1..];
        }
        let fixed = rest.len() as u32;
        let length = head.length.checked_sub(padding + fixed);
        Ok(Content {
            length: length.ok_or(Violation::PaddingTooLong)?,
            padding,
            promised: (head.kind == FrameType::PushPromise).then(|| be32(rest) & 0x7fff_ffff),
        })
    }
}

/// How many bytes stand before the content.
pub(super) fn fixed_size(head: &Head) -> usize {
    let fixed = match head.kind {
        FrameType::PushPromise => 4,
        FrameType::Headers if head.has(frame::PRIORITY) => 5,
        _ => 0,
    };
    fixed + usize::from(head.is_padded())
}

/// RST_STREAM.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RstStream(pub ErrorCode);

impl RstStream {
    pub fn parse(payload: &[u8]) -> Self {
        Self(ErrorCode(be32(payload)))
    }
}

/// SETTINGS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub ack: bool,
    pub values: Vec<(u16, u32)>,
}

impl Settings {
    pub fn parse(head: &Head, payload: &[u8]) -> Self {
        let setting = |six: &[u8]| (u16::from_be_bytes([six[0], six[1]]), be32(&six[2..]));
        Self {
            ack: head.has(frame::ACK),
            values: payload.chunks_exact(6).map(setting).collect(),
        }
    }

    /// The last value of a setting, which is the one in force.
    pub fn get(&self, setting: Setting) -> Option<u32> {
        let mut values = self.values.iter().rev();
        values
            .find(|(id, _)| *id == setting.0)
            .map(|(_, value)| *value)
    }
}

/// PING.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ping(pub [u8; 8]);

impl Ping {
    pub fn parse(payload: &[u8]) -> Self {
        Self(payload.first_chunk().copied().unwrap_or_default())
    }
}

/// GOAWAY.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GoAway {
    pub last_stream: u32,
    pub error: ErrorCode,
    pub debug: Bytes,
}

impl GoAway {
    pub fn parse(payload: &[u8]) -> Self {
        Self {
            last_stream: be32(payload) & 0x7fff_ffff,
            error: ErrorCode(be32(payload.get(4..).unwrap_or_default())),
            debug: Bytes::copy_from_slice(payload.get(8..).unwrap_or_default()),
        }
    }
}

/// WINDOW_UPDATE.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WindowUpdate(pub u32);

impl WindowUpdate {
    pub fn parse(payload: &[u8]) -> Self {
        Self(be32(payload) & 0x7fff_ffff)
    }
}

fn be32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().copied().map_or(0, u32::from_be_bytes)
}
