//! A body that ends at a message larger than the limit, before anyone reads that message.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

use crate::framing::MessageScanner;

pub(super) struct LimitedBody {
    /// `None` once the body has ended.
    inner: Option<Body>,
    limit: usize,
    scanner: MessageScanner,
    /// What the body ends with, after the messages before it have been read.
    pending: Option<Status>,
}

impl LimitedBody {
    pub(super) fn around(inner: Body, limit: usize) -> Body {
        if inner.is_end_stream() {
            return inner;
        }
        Body::new(Self {
            inner: Some(inner),
            limit,
            scanner: MessageScanner::new(),
            pending: None,
        })
    }

    /// How much of `data` may be passed on; the rest begins with a message that is too large.
    fn allowed(&mut self, data: &[u8]) -> Option<usize> {
        let mut rest = data;
        while let Some(prefix) = self.scanner.next_prefix(&mut rest) {
            if prefix.length as usize > self.limit {
                self.pending = Some(Status::resource_exhausted(format!(
                    "a message of {} bytes is too large: the limit is {}",
                    prefix.length, self.limit
                )));
                return Some((data.len() - rest.len()).saturating_sub(5));
            }
        }
        None
    }
}

impl HttpBody for LimitedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Some(status) = this.pending.take() {
            return Poll::Ready(Some(Err(status)));
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let frame = match ready!(Pin::new(inner).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            end => return Poll::Ready(end),
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
        };
        let Some(allowed) = this.allowed(&data) else {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        };
        // Dropping what is inside tells the peer to stop.
        this.inner = None;
        match this.pending.take_if(|_| allowed == 0) {
            Some(status) => Poll::Ready(Some(Err(status))),
            // The messages before it are whole, and come first.
            None => Poll::Ready(Some(Ok(Frame::data(data.slice(..allowed))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pending.is_none() && self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
