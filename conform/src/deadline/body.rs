//! Bodies that end when the deadline passes, wherever their messages stand.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::{HeaderMap, Response};
use tonic::{Code, Status};

use super::{Deadline, exceeded};

/// Which side of the call a response body is on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    /// The body is read here: what cuts it short is an error.
    Client,
    /// The body is sent from here: what cuts it short is its trailers.
    Server,
}

/// Ends `response` when the deadline passes. A response that is at its end already stays as it is,
/// so that an error is still sent in one block of headers (Trailers-Only).
pub(super) fn bound(response: Response<Body>, deadline: Deadline, side: Side) -> Response<Body> {
    if response.body().is_end_stream() {
        return response;
    }
    response.map(|body| {
        Body::new(DeadlineBody {
            inner: Some(body),
            expired: sleep_until(deadline.instant()),
            deadline,
            side,
        })
    })
}

pin_project! {
    struct DeadlineBody {
        // `None` once the body has ended: dropping it is what stops the work on the other side.
        inner: Option<Body>,
        #[pin]
        expired: Sleep,
        deadline: Deadline,
        side: Side,
    }
}

impl HttpBody for DeadlineBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        let Some(inner) = this.inner else {
            return Poll::Ready(None);
        };
        // The clock first: a peer that always has one more message must not put off the end.
        let frame = match this.expired.poll(context) {
            Poll::Ready(()) => Some(this.side.expire()),
            Poll::Pending => match ready!(Pin::new(inner).poll_frame(context)) {
                Some(frame) => Some(this.side.correct(frame, *this.deadline)),
                None => None,
            },
        };
        // A call that has its status is over, whatever the clock says later.
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            *this.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}

impl Side {
    fn expire(self) -> Result<Frame<Bytes>, Status> {
        match self {
            Side::Client => Err(exceeded()),
            Side::Server => trailers(),
        }
    }

    /// A server that gave up a moment before the client says CANCELLED if it is tonic alone.
    fn correct(
        self,
        frame: Result<Frame<Bytes>, Status>,
        deadline: Deadline,
    ) -> Result<Frame<Bytes>, Status> {
        let cancelled = match (&frame, self) {
            (_, Side::Server) => false,
            (Err(status), Side::Client) => status.code() == Code::Cancelled,
            (Ok(frame), Side::Client) => frame.trailers_ref().is_some_and(is_cancelled),
        };
        if cancelled && deadline.is_due() {
            Err(exceeded())
        } else {
            frame
        }
    }
}

/// Whether these headers or trailers end a call with CANCELLED.
pub(super) fn is_cancelled(headers: &HeaderMap) -> bool {
    headers
        .get(Status::GRPC_STATUS)
        .is_some_and(|code| Code::from_bytes(code.as_bytes()) == Code::Cancelled)
}

fn trailers() -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    exceeded().add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}
