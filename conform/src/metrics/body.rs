//! Bodies that count the bytes of their messages.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

use super::call::Measurement;
use crate::framing::MessageScanner;
use crate::status::code_in;

/// How many bytes of messages have passed, without their prefixes.
#[derive(Debug, Default)]
pub(super) struct MessageBytes {
    scanner: MessageScanner,
    /// All bytes, prefixes too.
    total: u64,
    /// The bytes of complete prefixes.
    prefixes: u64,
    /// The lengths that those promise.
    promised: u64,
}

impl MessageBytes {
    pub(super) fn pass(&mut self, mut data: &[u8]) {
        self.total += data.len() as u64;
        while let Some(prefix) = self.scanner.next_prefix(&mut data) {
            self.prefixes += MessageScanner::PREFIX as u64;
            self.promised += u64::from(prefix.length);
        }
    }

    /// A message counts as far as it has come: the length is only a peer's word. Bytes past what
    /// was promised belong to a prefix that isn't complete.
    pub(super) fn count(&self) -> u64 {
        (self.total - self.prefixes).min(self.promised)
    }
}

/// `body`, and the count of what has passed. A body that is at its end is passed on untouched.
pub(super) fn counted(body: Body) -> (Body, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    if body.is_end_stream() {
        return (body, count);
    }
    let counted = Counted {
        inner: body,
        bytes: MessageBytes::default(),
        count: count.clone(),
    };
    (Body::new(counted), count)
}

/// The messages of a request.
struct Counted {
    inner: Body,
    bytes: MessageBytes,
    /// Read when the call ends, whether this body has then come to its end or not.
    count: Arc<AtomicU64>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(data) = data(&frame) {
            self.bytes.pass(data);
            self.count.store(self.bytes.count(), Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The messages of a response, and its end.
pub(super) struct Measured {
    pub(super) inner: Body,
    pub(super) bytes: MessageBytes,
    /// Whoever drops this body before its end drops the measurement with it.
    pub(super) measurement: Option<Measurement>,
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if let Some(data) = data(&frame) {
            this.bytes.pass(data);
            if let Some(measurement) = &mut this.measurement {
                measurement.response_bytes = this.bytes.count();
            }
        }
        let end = match &frame {
            Some(Ok(frame)) => match frame.trailers_ref() {
                Some(trailers) => Some(code_in(trailers)),
                // Nobody need ask again after the last frame.
                None => this.inner.is_end_stream().then_some(None),
            },
            Some(Err(status)) => Some(Some(status.code())),
            None => Some(None),
        };
        if let Some(code) = end
            && let Some(measurement) = this.measurement.take()
        {
            measurement.end(code);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn data(frame: &Option<Result<Frame<Bytes>, Status>>) -> Option<&Bytes> {
    frame.as_ref()?.as_ref().ok()?.data_ref()
}
