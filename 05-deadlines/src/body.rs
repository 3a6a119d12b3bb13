//! A response body that ends when the deadline passes, wherever its messages stand.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame};
use tokio::time::{Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

use crate::deadline::{Deadline, exceeded};

/// What a body that is cut short ends with: an error for a reader, trailers for a peer.
type End = fn(Status) -> Result<Frame<Bytes>, Status>;

pub(crate) struct DeadlineBody {
    /// `None` once the deadline has passed: dropping it is what stops the work on the other side.
    inner: Option<Body>,
    expired: Pin<Box<Sleep>>,
    end: End,
}

impl DeadlineBody {
    pub(crate) fn new(inner: Body, deadline: Deadline, end: End) -> Self {
        let expired = Box::pin(sleep_until(deadline.instant()));
        Self {
            inner: Some(inner),
            expired,
            end,
        }
    }
}

impl HttpBody for DeadlineBody {
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
        // The clock first: a peer that always has one more message must not put off the end.
        let frame = match this.expired.as_mut().poll(context) {
            Poll::Ready(()) => Some((this.end)(exceeded())),
            Poll::Pending => ready!(Pin::new(inner).poll_frame(context)),
        };
        // A call that has its status is over, whatever the clock says later.
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            this.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
