//! Finds the messages in a body. Its frames are not messages: one may hold several, or a part of one.

use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};

/// Passes `body` on as it is, and calls `on_message` after each message in it.
pub fn each<B>(body: B, mut on_message: impl FnMut() + Send + 'static) -> Body
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let mut scanner = Scanner::default();
    Body::new(body.map_frame(move |frame| {
        if let Some(data) = frame.data_ref() {
            for _ in 0..scanner.messages_ending_in(data) {
                on_message();
            }
        }
        frame
    }))
}

/// Reads the five bytes before each message: PROTOCOL-HTTP2, "Length-Prefixed-Message".
#[derive(Default)]
struct Scanner {
    prefix: Vec<u8>,
    left: usize,
}

impl Scanner {
    fn messages_ending_in(&mut self, mut data: &[u8]) -> usize {
        let mut messages = 0;
        loop {
            let missing = 5 - self.prefix.len();
            let (prefix, rest) = data.split_at(missing.min(data.len()));
            self.prefix.extend(prefix);
            data = rest;
            let [_compressed, a, b, c, d] = self.prefix[..] else {
                return messages;
            };
            if missing > 0 {
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
            }
            let (message, rest) = data.split_at(self.left.min(data.len()));
            self.left -= message.len();
            data = rest;
            if self.left > 0 {
                return messages;
            }
            messages += 1;
            self.prefix.clear();
        }
    }
}
