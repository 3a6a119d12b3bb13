//! Replies whose end counts: gRFC A6, "Throttling Retry Attempts and Hedged RPCs".

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::codegen::{Bytes, StdError};
use tonic::{Code, Status};

use super::{Codes, Pushback, Throttle, pushback};
use crate::status::code_in;

/// Where the end of a call counts, and which codes are failures.
pub(crate) struct Count {
    pub(super) throttle: Throttle,
    pub(super) failures: Codes,
}

impl Count {
    fn ended(&self, code: Code, pushback: Pushback) {
        if code == Code::Ok {
            self.throttle.succeeded();
        } else if self.failures.contains(code) || pushback == Pushback::Stop {
            self.throttle.failed();
        }
    }
}

pin_project! {
    pub(super) struct Counted<B> {
        #[pin]
        inner: B,
        // Until it has ended.
        count: Option<Count>,
    }
}

impl<B> Counted<B> {
    pub(super) fn new(inner: B, count: Count) -> Self {
        let count = Some(count);
        Self { inner, count }
    }
}

impl<B> HttpBody for Counted<B>
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
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(context));
        let frame = frame.map(|frame| frame.map_err(|error| Status::from_error(error.into())));
        let end = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().map(|trailers| {
                let code = code_in(trailers).unwrap_or(Code::Unknown);
                (code, pushback(trailers))
            }),
            Some(Err(status)) => Some((status.code(), Pushback::None)),
            None => Some((Code::Unknown, Pushback::None)),
        };
        if let Some((code, pushback)) = end {
            let count = this.count.take();
            count.iter().for_each(|count| count.ended(code, pushback));
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
