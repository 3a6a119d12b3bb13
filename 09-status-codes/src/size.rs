//! A body that ends at a message larger than the limit, before anyone reads that message.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

/// Before each message: one byte that says whether it is compressed, four bytes of length.
const PREFIX: usize = 5;

pub(crate) struct LimitedBody {
    /// `None` once the body has ended.
    inner: Option<Body>,
    limit: usize,
    prefix: [u8; PREFIX],
    /// How much of the prefix has come.
    filled: usize,
    /// How much of the message is still to come.
    rest: usize,
    /// Whether a message is too large.
    exceeded: bool,
}

impl LimitedBody {
    pub(crate) fn new(inner: Body, limit: usize) -> Self {
        Self {
            inner: Some(inner),
            limit,
            prefix: [0; PREFIX],
            filled: 0,
            rest: 0,
            exceeded: false,
        }
    }

    /// Follows the messages through `data`. Says where one begins that is too large.
    fn follow(&mut self, data: &[u8]) -> Option<usize> {
        let mut at = 0;
        let mut begin = 0;
        while let Some(&byte) = data.get(at) {
            if self.rest > 0 {
                let step = self.rest.min(data.len() - at);
                self.rest -= step;
                at += step;
                continue;
            }
            if self.filled == 0 {
                begin = at;
            }
            self.prefix[self.filled] = byte;
            self.filled += 1;
            at += 1;
            if self.filled == PREFIX {
                self.filled = 0;
                let [_, length @ ..] = self.prefix;
                self.rest = u32::from_be_bytes(length) as usize;
                if self.rest > self.limit {
                    return Some(begin);
                }
            }
        }
        None
    }

    /// Ends the body with the error; dropping what is inside tells the peer to stop.
    fn end(&mut self) -> Status {
        self.inner = None;
        Status::resource_exhausted(format!(
            "a message of {} bytes is too large: the limit is {}",
            self.rest, self.limit
        ))
    }
}

impl HttpBody for LimitedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        if this.exceeded {
            return Poll::Ready(Some(Err(this.end())));
        }
        let frame = match ready!(Pin::new(inner).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            end => return Poll::Ready(end),
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
        };
        match this.follow(&data) {
            None => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(0) => Poll::Ready(Some(Err(this.end()))),
            Some(begin) => {
                // The messages before it are whole, and come first.
                this.exceeded = true;
                Poll::Ready(Some(Ok(Frame::data(data.slice(..begin)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
