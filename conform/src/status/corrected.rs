//! Replies that end with the status that the specification asks for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::codegen::{Bytes, StdError};

use super::message::make_readable;
use super::{caused, connection};

pin_project! {
    #[derive(Debug)]
    pub(crate) struct Corrected<B> {
        // `None` if the response wasn't gRPC's: its headers say all.
        #[pin]
        inner: Option<B>,
    }
}

impl<B> Corrected<B> {
    pub(super) fn new(inner: B) -> Self {
        let inner = Some(inner);
        Self { inner }
    }
}

impl<B> Default for Corrected<B> {
    fn default() -> Self {
        Self { inner: None }
    }
}

impl<B> HttpBody for Corrected<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = self.project().inner.as_pin_mut() else {
            return Poll::Ready(None);
        };
        let mut frame = ready!(inner.poll_frame(context));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            make_readable(trailers);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(corrected)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.as_ref();
        inner.map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

fn corrected(error: impl Into<StdError>) -> Status {
    let status = Status::from_error(error.into());
    match connection::verdict(&status) {
        Some(verdict) => caused(verdict, Arc::new(status)),
        None => status,
    }
}
