//! Bodies that end when the deadline passes, wherever their messages stand.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Response};
use tonic::codegen::{Bytes, StdError};
use tonic::{Code, Status};

use super::held::Held;
use super::{Deadline, exceeded};

/// Which side of the call a response body is on.
#[derive(Clone)]
pub(crate) enum Side {
    /// The body is read here: what cuts it short is an error.
    Client,
    /// The body is sent from here: what cuts it short is its trailers.
    Server,
    /// The same, with another status than that of a deadline.
    #[cfg(feature = "credentials")]
    Ended(Arc<dyn Fn() -> Status + Send + Sync>),
}

/// Ends `response` when the deadline passes. A response that is at its end already has nothing to
/// end, so that an error is still sent in one block of headers (Trailers-Only).
pub(crate) fn bound<B>(response: Response<B>, deadline: Deadline, side: Side) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    held(response, deadline, side, |body| Held::reply(body, deadline))
}

/// The same, with the body where `hold` puts it.
pub(super) fn held<B>(
    response: Response<B>,
    deadline: Deadline,
    side: Side,
    hold: impl FnOnce(Body) -> Arc<Held>,
) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let response = response.map(Body::new);
    if response.body().is_end_stream() {
        return response;
    }
    response.map(|body| {
        Body::new(DeadlineBody {
            inner: Some(hold(body)),
            expired: sleep_until(deadline.instant()),
            deadline,
            side,
        })
    })
}

pin_project! {
    struct DeadlineBody {
        // `None` once the body has ended: dropping it is what stops the work on the other side.
        inner: Option<Arc<Held>>,
        // Wakes the reader, which `Held` doesn't.
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
            Poll::Pending => match inner.look(|inner| Pin::new(inner).poll_frame(context)) {
                Some(poll) => ready!(poll).map(|frame| this.side.correct(frame, *this.deadline)),
                // `Held` has a clock of its own, which was faster.
                None => Some(this.side.expire()),
            },
        };
        // A call that has its status is over, whatever the clock says later. So is a body that
        // says so with its last message: who has heard that must not hear of a deadline then.
        let has_more = matches!(&frame, Some(Ok(frame)) if frame.is_data())
            && inner.look(|inner| inner.is_end_stream()) != Some(true);
        if !has_more {
            inner.end_reply();
            *this.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // A body that was taken out has still to say how the call ended.
        self.inner
            .as_ref()
            .is_none_or(|inner| inner.look(|inner| inner.is_end_stream()) == Some(true))
    }
}

impl Side {
    fn expire(&self) -> Result<Frame<Bytes>, Status> {
        match self {
            Side::Client => Err(exceeded()),
            Side::Server => trailers(exceeded()),
            #[cfg(feature = "credentials")]
            Side::Ended(status) => trailers(status()),
        }
    }

    /// A server that gave up a moment before the client says CANCELLED if it is tonic alone.
    fn correct(
        &self,
        frame: Result<Frame<Bytes>, Status>,
        deadline: Deadline,
    ) -> Result<Frame<Bytes>, Status> {
        let cancelled = match (&frame, self) {
            (Err(status), Side::Client) => status.code() == Code::Cancelled,
            (Ok(frame), Side::Client) => frame.trailers_ref().is_some_and(is_cancelled),
            _ => false,
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

fn trailers(status: Status) -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}
