//! The client's half: a call is over when its deadline passes, and then ends with DEADLINE_EXCEEDED.

use std::error::Error;
use std::iter;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout_at;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service, StdError};
use tonic::{Code, Status, TimeoutExpired};
use tower::{Layer, ServiceExt};

use crate::body::DeadlineBody;
use crate::deadline::{Deadline, exceeded};
use crate::timeout;

/// Holds every call of a channel to the deadline that `Request::set_timeout` gives it.
///
/// The deadline covers all of the call: waiting for a connection and for a place on it, the response's
/// headers, every message of a stream, and the status.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientDeadlineLayer;

impl<S> Layer<S> for ClientDeadlineLayer {
    type Service = ClientDeadlines<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientDeadlines(inner)
    }
}

/// A channel with the [`ClientDeadlineLayer`] on it. Give it to a stub as if it were the channel.
#[derive(Debug, Clone)]
pub struct ClientDeadlines<S>(S);

impl<S> Service<Request<Body>> for ClientDeadlines<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<StdError> + Send,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Self::Response, Self::Error>;

    /// Always ready. A channel's waiting belongs to the call, where the deadline covers it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let timeout = timeout::read(request.headers());
        let inner = self.0.clone();
        Box::pin(async move {
            let deadline = match timeout {
                Err(malformed) => return Ok(malformed.into_http()),
                Ok(timeout) => timeout.and_then(Deadline::after),
            };
            let Some(deadline) = deadline else {
                return inner.oneshot(request).await.map_err(Into::into);
            };
            if deadline.remaining().is_zero() {
                return Ok(exceeded().into_http());
            }
            match timeout_at(deadline.instant(), inner.oneshot(request)).await {
                Ok(Ok(response)) if !is_late_cancellation(&response, deadline) => {
                    Ok(response.map(|body| Body::new(DeadlineBody::new(body, deadline, Err))))
                }
                Ok(Err(error)) => {
                    let error = error.into();
                    if is_expiry(&*error) {
                        Ok(exceeded().into_http())
                    } else {
                        Err(error)
                    }
                }
                Ok(Ok(_)) | Err(_) => Ok(exceeded().into_http()),
            }
        })
    }
}

/// Whether the channel's own timer was a moment faster than ours. tonic reports that as CANCELLED.
fn is_expiry(error: &(dyn Error + 'static)) -> bool {
    iter::successors(Some(error), |&error| error.source()).any(|error| error.is::<TimeoutExpired>())
}

/// Whether a server's timer was faster, and that server is tonic without this lesson's layer.
///
/// Timers are precise to a millisecond, so the last one counts as passed.
fn is_late_cancellation(response: &Response<Body>, deadline: Deadline) -> bool {
    let status = Status::from_header_map(response.headers());
    status.is_some_and(|status| status.code() == Code::Cancelled)
        && deadline.remaining() <= Duration::from_millis(1)
}
