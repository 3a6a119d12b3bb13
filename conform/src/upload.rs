//! Request bodies that a client breaks off.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame};
use pin_project_lite::pin_project;
use tonic::body::Body;
use tonic::codegen::{Bytes, StdError};

/// Breaks `body` off when `end` comes: hyper then resets the stream with CANCEL.
///
/// Dropping the response of a call doesn't reset it while its request body is open. This does.
pub(crate) fn until<F>(body: Body, end: F) -> Body
where
    F: Future + Send + 'static,
{
    if body.is_end_stream() {
        return body;
    }
    let inner = Some(body);
    Body::new(Upload { inner, end })
}

pin_project! {
    struct Upload<F> {
        // `None` once the body is broken off.
        inner: Option<Body>,
        #[pin]
        end: F,
    }
}

impl<F: Future> HttpBody for Upload<F> {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = self.project();
        let Some(inner) = this.inner else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(this.end.poll(context));
        *this.inner = None;
        // hyper resets the stream with the reason that it finds in the error.
        Poll::Ready(Some(Err(h2::Error::from(h2::Reason::CANCEL).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
