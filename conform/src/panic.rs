//! A panic ends one call, with a status that the caller can read.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{BoxFuture, Bytes, Service, StdError};
use tower::Layer;

type Custom = fn(&(dyn Any + Send)) -> Status;

/// Makes [`CatchPanic`].
#[derive(Clone, Copy, Debug)]
pub struct CatchPanicLayer {
    status: Custom,
}

impl CatchPanicLayer {
    /// A panic is UNKNOWN, as "Status codes and their use in gRPC" has it.
    pub fn new() -> Self {
        Self::custom(unknown)
    }

    /// A panic is what `status` makes of it.
    pub fn custom(status: fn(&(dyn Any + Send)) -> Status) -> Self {
        Self { status }
    }
}

impl Default for CatchPanicLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CatchPanic {
            inner,
            status: self.status,
        }
    }
}

/// Services whose handlers, and the streams that they return, may panic.
#[derive(Clone, Copy, Debug)]
pub struct CatchPanic<S> {
    inner: S,
    status: Custom,
}

impl<S, B> Service<Request<Body>> for CatchPanic<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let status = self.status;
        // Unwind safe: a future that has panicked is dropped, and nobody looks into it again.
        let response = match catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) {
            Ok(response) => AssertUnwindSafe(response).catch_unwind(),
            Err(panic) => return Box::pin(std::future::ready(Ok(status(&*panic).into_http()))),
        };
        Box::pin(async move {
            match response.await {
                Ok(response) => Ok(response?.map(|body| {
                    let body = Body::new(body);
                    Body::new(CatchPanicBody {
                        inner: Some(body),
                        status,
                    })
                })),
                Err(panic) => Ok(status(&*panic).into_http()),
            }
        })
    }
}

/// The panic's own text is for the server's log, where Rust has written it; a caller could learn too much.
fn unknown(_: &(dyn Any + Send)) -> Status {
    Status::unknown("the handler failed")
}

/// A response whose stream may panic.
struct CatchPanicBody {
    /// `None` once it has panicked.
    inner: Option<Body>,
    status: Custom,
}

impl HttpBody for CatchPanicBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let poll = catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx)));
        poll.unwrap_or_else(|panic| {
            self.inner = None;
            let mut trailers = HeaderMap::new();
            (self.status)(&*panic).add_header(&mut trailers)?;
            Poll::Ready(Some(Ok(Frame::trailers(trailers))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
