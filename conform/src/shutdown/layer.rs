//! Calls that are told, counted, and broken off in the end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame};
use pin_project_lite::pin_project;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tower::Layer;

use super::Stages;
use super::count::Counted;
use super::draining::{Draining, going};

/// Makes [`Drain`]. See [`Shutdown::layer`](super::Shutdown::layer).
#[derive(Clone, Debug)]
pub struct DrainLayer {
    stages: Stages,
}

impl DrainLayer {
    pub(super) fn new(stages: Stages) -> Self {
        Self { stages }
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Drain {
            inner,
            stages: self.stages.clone(),
        }
    }
}

/// Services whose calls a [`Shutdown`](super::Shutdown) may have to break off.
#[derive(Clone, Debug)]
pub struct Drain<S> {
    inner: S,
    stages: Stages,
}

inner_service!(Drain<S>);

impl<S, B> Service<Request<Body>> for Drain<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = DrainFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let draining = Draining::new(self.stages.goaway.clone());
        request.extensions_mut().insert(draining);
        DrainFuture {
            counted: Some(self.stages.calls.enter()),
            ended: self.stages.end_calls.clone().cancelled_owned(),
            stages: self.stages.clone(),
            response: Some(self.inner.call(request)),
        }
    }
}

pin_project! {
    /// The response of a [`Drain`].
    pub struct DrainFuture<F> {
        // `None` once the call is over: dropping it is what stops the work.
        #[pin]
        response: Option<F>,
        #[pin]
        ended: WaitForCancellationFutureOwned,
        stages: Stages,
        counted: Option<Counted>,
    }
}

impl<F, B, E> Future for DrainFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(response) = this.response.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        // What is done is answered, even at the last moment.
        let result = match response.poll(context) {
            Poll::Ready(result) => result.map(|response| response.map(Body::new)),
            Poll::Pending => {
                ready!(this.ended.poll(context));
                Ok(going().into_http())
            }
        };
        this.response.set(None);
        let counted = this.counted.take();
        Poll::Ready(result.map(|response| {
            if response.body().is_end_stream() {
                return response;
            }
            response.map(|body| {
                Body::new(DrainBody {
                    inner: Some(body),
                    ended: this.stages.end_calls.clone().cancelled_owned(),
                    counted,
                })
            })
        }))
    }
}

pin_project! {
    struct DrainBody {
        // `None` once the body has ended.
        inner: Option<Body>,
        #[pin]
        ended: WaitForCancellationFutureOwned,
        counted: Option<Counted>,
    }
}

impl HttpBody for DrainBody {
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
        // First: a stream that always has one more message must not put off the end.
        let frame = if this.ended.poll(context).is_ready() {
            let mut trailers = HeaderMap::new();
            Some(
                going()
                    .add_header(&mut trailers)
                    .map(|()| Frame::trailers(trailers)),
            )
        } else {
            ready!(Pin::new(inner).poll_frame(context))
        };
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            *this.inner = None;
            *this.counted = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
