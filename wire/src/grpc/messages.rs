//! gRPC inside of DATA: five bytes that say how long, then a message.

use bytes::Bytes;

/// The longest message that is kept whole. Of longer ones, and when too many are under way, only
/// the first bytes are.
pub const MESSAGE_BOUND: usize = 256 * 1024;

/// How much is kept of a message that is too long.
pub const FIRST_BYTES: usize = 64;

/// One byte that says whether the message is compressed, four that say how long it is.
pub const PREFIX: usize = 5;

/// The bit by which gRPC-Web marks trailers inside of the body.
const WEB_TRAILERS: u8 = 0x80;

/// What the five bytes and the bytes behind them came to, before anybody asks what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawMessage {
    /// 1 for the first message of its direction of its call.
    pub number: u64,
    pub flags: u8,
    pub length: u32,
    /// The whole message, or its first bytes.
    pub bytes: Bytes,
}

impl RawMessage {
    pub fn is_web_trailers(&self) -> bool {
        self.flags & WEB_TRAILERS != 0
    }
}

/// Finds the messages in the DATA of one direction of one call.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    prefix: [u8; PREFIX],
    have: usize,
    number: u64,
    got: u32,
    kept: Vec<u8>,
    keep: usize,
    /// What it has taken from the connection's allowance.
    taken: usize,
}

/// The first byte of a prefix was none that gRPC knows.
#[derive(Debug)]
pub(crate) struct NoPrefix(pub u8);

impl Messages {
    /// Takes in some bytes of DATA and passes each message that they complete to `complete`.
    pub fn read(
        &mut self,
        mut bytes: &[u8],
        allowance: &mut usize,
        mut complete: impl FnMut(RawMessage),
    ) -> Result<(), NoPrefix> {
        while !bytes.is_empty() {
            if self.have < PREFIX {
                let (taken, rest) = bytes.split_at(bytes.len().min(PREFIX - self.have));
                self.prefix[self.have..self.have + taken.len()].copy_from_slice(taken);
                self.have += taken.len();
                bytes = rest;
                let flags = self.prefix[0];
                if flags & !(WEB_TRAILERS | 1) != 0 {
                    return Err(NoPrefix(flags));
                }
                if self.have < PREFIX {
                    return Ok(());
                }
                self.begin(allowance);
            }
            let missing = (self.length() - self.got) as usize;
            let (taken, rest) = bytes.split_at(bytes.len().min(missing));
            let room = self.keep - self.kept.len();
            self.kept.extend_from_slice(&taken[..taken.len().min(room)]);
            // At most the `u32` that is missing.
            self.got += taken.len() as u32;
            bytes = rest;
            if self.got == self.length() {
                complete(self.finish(allowance));
            }
        }
        Ok(())
    }

    /// How much has come of a message that is not complete: bytes with the prefix, and its length
    /// if it is known.
    pub fn unfinished(&self) -> Option<(u32, Option<u32>)> {
        match self.have {
            0 => None,
            PREFIX => Some((self.got + PREFIX as u32, Some(self.length()))),
            // Less than five.
            have => Some((have as u32, None)),
        }
    }

    /// How many messages have begun.
    pub fn count(&self) -> u64 {
        self.number
    }

    /// Forgets what it holds.
    pub fn stop(&mut self, allowance: &mut usize) {
        *allowance += self.taken;
        *self = Self {
            number: self.number,
            ..Self::default()
        };
    }

    pub fn held_bytes(&self) -> usize {
        self.kept.capacity()
    }

    fn length(&self) -> u32 {
        let [_, a, b, c, d] = self.prefix;
        u32::from_be_bytes([a, b, c, d])
    }

    fn begin(&mut self, allowance: &mut usize) {
        let length = self.length() as usize;
        self.number += 1;
        if length <= MESSAGE_BOUND && length <= *allowance {
            self.keep = length;
            self.taken = length;
            *allowance -= length;
        } else {
            // Not from the allowance: so few bytes are bounded by the number of streams.
            self.keep = length.min(FIRST_BYTES);
        }
    }

    fn finish(&mut self, allowance: &mut usize) -> RawMessage {
        let message = RawMessage {
            number: self.number,
            flags: self.prefix[0],
            length: self.length(),
            bytes: Bytes::copy_from_slice(&self.kept),
        };
        self.stop(allowance);
        message
    }
}
