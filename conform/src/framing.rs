//! Finds the messages in a body.
//!
//! # The promise
//!
//! A message is a *Length-Prefixed-Message*: one byte that says whether it is compressed, four
//! bytes of length, then that many bytes (PROTOCOL-HTTP2, *Requests*). "DATA frame boundaries
//! have no relation to Length-Prefixed-Message boundaries" (*Data Frames*): a frame may hold
//! several messages, or a part of one.
//!
//! # What tonic 0.14.9 does
//!
//! The same, inside its codec. A layer stands below the codec and sees a body of frames; to
//! count messages, or to look at their sizes, it has to read the prefixes itself.
//!
//! # Example
//!
//! ```
//! use conform::framing::{MessagePrefix, MessageScanner};
//!
//! let mut scanner = MessageScanner::new();
//! // One message of two bytes and the first three bytes of the next prefix.
//! let mut data: &[u8] = b"\0\0\0\0\x02hi\x01\0\0";
//! let first = MessagePrefix { compressed: false, length: 2 };
//! assert_eq!(scanner.next_prefix(&mut data), Some(first));
//! assert_eq!(scanner.next_prefix(&mut data), None);
//!
//! // The rest of it, in another frame.
//! let mut data: &[u8] = b"\0\x07";
//! let second = MessagePrefix { compressed: true, length: 7 };
//! assert_eq!(scanner.next_prefix(&mut data), Some(second));
//! ```
//!
//! In a layer, [`inspect_messages`] does this with a whole body:
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use conform::framing::inspect_messages;
//! use tonic::body::Body;
//! use tonic::codegen::http::Response;
//!
//! /// Counts the messages of a response as they pass.
//! fn counted(response: Response<Body>, messages: Arc<AtomicU64>) -> Response<Body> {
//!     response.map(|body| {
//!         inspect_messages(body, move |_| {
//!             messages.fetch_add(1, Ordering::Relaxed);
//!         })
//!     })
//! }
//! # let _ = counted;
//! ```

use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};

#[cfg(test)]
mod tests;

/// What stands before each message: PROTOCOL-HTTP2, *Length-Prefixed-Message*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessagePrefix {
    /// Whether the message is compressed, with the encoding that `grpc-encoding` names for the
    /// whole call.
    pub compressed: bool,
    /// How many bytes of message follow, as they travel: after compression, without the prefix.
    pub length: u32,
}

/// Reads the five bytes before each message, however the body is cut into frames.
#[derive(Clone, Debug, Default)]
pub struct MessageScanner {
    prefix: [u8; Self::PREFIX],
    /// How much of the prefix has come.
    filled: usize,
    /// How much of the message is still to come.
    rest: u32,
}

impl MessageScanner {
    /// How many bytes stand before each message.
    pub const PREFIX: usize = 5;

    /// Begins at the beginning of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether bytes of a message are still to come, after its prefix.
    pub fn is_within_message(&self) -> bool {
        self.rest > 0
    }

    /// Reads on in `data`, until the next prefix is complete. What was read is gone from `data`.
    ///
    /// `None` means that `data` was read to its end; the body goes on with the next call.
    pub fn next_prefix(&mut self, data: &mut &[u8]) -> Option<MessagePrefix> {
        let skipped = data.len().min(self.rest as usize);
        *data = &data[skipped..];
        self.rest -= skipped as u32;
        while let Some((&byte, after)) = data.split_first() {
            *data = after;
            self.prefix[self.filled] = byte;
            self.filled += 1;
            if self.filled == self.prefix.len() {
                self.filled = 0;
                let [flag, length @ ..] = self.prefix;
                self.rest = u32::from_be_bytes(length);
                return Some(MessagePrefix {
                    compressed: flag == 1,
                    length: self.rest,
                });
            }
        }
        None
    }
}

/// Passes `body` on as it is, and calls `on_message` for each message in it, when its prefix has
/// come.
pub fn inspect_messages<B>(
    body: B,
    mut on_message: impl FnMut(MessagePrefix) + Send + 'static,
) -> Body
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let mut scanner = MessageScanner::new();
    Body::new(body.map_frame(move |frame| {
        let mut data = frame.data_ref().map(|data| &data[..]).unwrap_or_default();
        while let Some(prefix) = scanner.next_prefix(&mut data) {
            on_message(prefix);
        }
        frame
    }))
}
