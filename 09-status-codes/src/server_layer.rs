//! The server's half: a panic ends one call, and a request that is too large gets its own code.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{BoxFuture, Bytes, Service};
use tower::Layer;

use crate::size::LimitedBody;

/// Corrects how calls end that no handler has ended.
///
/// A panic is UNKNOWN, as "Status codes and their use in gRPC" asks, and a request that is too large is
/// RESOURCE_EXHAUSTED. A status that a handler returns is never changed.
#[derive(Debug, Clone, Copy)]
pub struct ServerCorrectionLayer {
    limit: usize,
}

impl ServerCorrectionLayer {
    /// Takes requests of up to `limit` bytes. It must not be above tonic's own limit, 4 MiB unless the service
    /// was given another one.
    pub fn new(limit: usize) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for ServerCorrectionLayer {
    type Service = ServerCorrections<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerCorrections {
            inner,
            limit: self.limit,
        }
    }
}

/// Services with the [`ServerCorrectionLayer`] on them.
#[derive(Debug, Clone)]
pub struct ServerCorrections<S> {
    inner: S,
    limit: usize,
}

impl<S> Service<Request<Body>> for ServerCorrections<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let request = request.map(|body| Body::new(LimitedBody::new(body, self.limit)));
        // Unwind safe: a future that has panicked is dropped, and nobody looks into it again.
        let answer = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        Box::pin(async move {
            match answer.await {
                Ok(answer) => Ok(answer?.map(|body| Body::new(CalmBody(Some(body))))),
                Err(panic) => Ok(panicked(panic).into_http()),
            }
        })
    }
}

/// The panic's own text is for the server's log, where Rust has written it; a caller could learn too much.
fn panicked(_: Box<dyn Any + Send>) -> Status {
    Status::unknown("the handler failed")
}

/// A response whose stream may panic. `None` once it has ended.
struct CalmBody(Option<Body>);

impl HttpBody for CalmBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let poll = catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(context)));
        poll.unwrap_or_else(|panic| {
            self.0 = None;
            let mut trailers = HeaderMap::new();
            panicked(panic).add_header(&mut trailers)?;
            Poll::Ready(Some(Ok(Frame::trailers(trailers))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
