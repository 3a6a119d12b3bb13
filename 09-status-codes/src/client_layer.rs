//! The client's half: codes that arise on this side, as the specification has them.

use std::error::Error;
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service, StdError};
use tower::{Layer, ServiceExt};

use crate::http_status;
use crate::lost::lost;
use crate::size::LimitedBody;

/// Corrects what a channel says of calls that end without a status from the server.
///
/// A lost connection is UNAVAILABLE, a reply that is too large is RESOURCE_EXHAUSTED, and an answer that is not
/// gRPC's is what its HTTP status stands for. A status that the server has sent is never changed.
#[derive(Debug, Clone, Copy)]
pub struct ClientCorrectionLayer {
    limit: usize,
}

impl ClientCorrectionLayer {
    /// Takes replies of up to `limit` bytes. It must not be above tonic's own limit, 4 MiB unless the stub was
    /// given another one.
    pub fn new(limit: usize) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for ClientCorrectionLayer {
    type Service = ClientCorrections<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientCorrections {
            inner,
            limit: self.limit,
        }
    }
}

/// A channel with the [`ClientCorrectionLayer`] on it. Give it to a stub as if it were the channel.
#[derive(Debug, Clone)]
pub struct ClientCorrections<S> {
    inner: S,
    limit: usize,
}

impl<S> Service<Request<Body>> for ClientCorrections<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<StdError> + Send,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Self::Response, Self::Error>;

    /// Always ready. An error of the channel belongs to a call, where it is corrected.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = self.inner.clone();
        let limit = self.limit;
        Box::pin(async move {
            let response = match inner.oneshot(request).await.map_err(Into::into) {
                Ok(response) => response,
                Err(error) => return lost(&*error).map(Status::into_http).ok_or(error),
            };
            if let Some(status) = http_status::synthesized(&response) {
                return Ok(status.into_http());
            }
            Ok(response.map(|body| {
                let body = body.map_err(|error| lost(&error as &dyn Error).unwrap_or(error));
                Body::new(LimitedBody::new(Body::new(body), limit))
            }))
        })
    }
}
