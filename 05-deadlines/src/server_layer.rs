//! The server's half: a handler knows its deadline, and when it passes the work is dropped.

use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Frame;
use tokio::time::timeout_at;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tower::Layer;

use crate::body::DeadlineBody;
use crate::deadline::{Deadline, exceeded};
use crate::timeout;

/// Holds every call to the deadline that its caller sets, and to the server's own limit.
///
/// A handler finds its deadline with [`Deadline::of`]. When it passes, the handler's future and the stream
/// that it returned are dropped, and the call ends with DEADLINE_EXCEEDED.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerDeadlineLayer {
    limit: Option<Duration>,
    least: Duration,
}

impl ServerDeadlineLayer {
    /// Lets no call take longer than `limit`, whatever its caller allows. The smaller one counts.
    pub fn limit(self, limit: Duration) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// Refuses at once, with DEADLINE_EXCEEDED, a call that leaves less time than `least`: less than it
    /// takes to do anything useful.
    pub fn at_least(self, least: Duration) -> Self {
        Self { least, ..self }
    }

    /// The deadline for a call with these headers.
    fn deadline(&self, headers: &HeaderMap) -> Result<Option<Deadline>, Status> {
        let timeout = timeout::read(headers)?;
        if timeout.is_some_and(|timeout| timeout.is_zero() || timeout < self.least) {
            return Err(Status::deadline_exceeded(
                "too little time is left to begin",
            ));
        }
        let timeout = timeout.into_iter().chain(self.limit).min();
        Ok(timeout.and_then(Deadline::after))
    }
}

impl<S> Layer<S> for ServerDeadlineLayer {
    type Service = ServerDeadlines<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerDeadlines {
            inner,
            settings: *self,
        }
    }
}

/// Services with the [`ServerDeadlineLayer`] on them.
#[derive(Debug, Clone)]
pub struct ServerDeadlines<S> {
    inner: S,
    settings: ServerDeadlineLayer,
}

impl<S> Service<Request<Body>> for ServerDeadlines<S>
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let deadline = match self.settings.deadline(request.headers()) {
            Err(status) => return Box::pin(async move { Ok(status.into_http()) }),
            Ok(None) => return Box::pin(self.inner.call(request)),
            Ok(Some(deadline)) => deadline,
        };
        request.extensions_mut().insert(deadline);
        let answer = timeout_at(deadline.instant(), self.inner.call(request));
        Box::pin(async move {
            match answer.await {
                Ok(Ok(response)) => {
                    Ok(response.map(|body| Body::new(DeadlineBody::new(body, deadline, trailers))))
                }
                Ok(Err(error)) => Err(error),
                Err(_elapsed) => Ok(exceeded().into_http()),
            }
        })
    }
}

/// A stream that has begun can only end with its trailers.
fn trailers(status: Status) -> Result<Frame<tonic::codegen::Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}
