//! Status codes as the specification has them, where tonic says something else or nothing.
//!
//! # The promise
//!
//! * A connection that can't be made, breaks, or takes no more calls: UNAVAILABLE
//!   ([*Status codes*](https://grpc.io/docs/guides/status-codes/); PROTOCOL-HTTP2, *Connection Management*).
//! * An answer without a gRPC status: the code that its HTTP status stands for
//!   ([`http-grpc-status-mapping.md`]).
//! * An answer with a gRPC status: that status, unchanged.
//!
//! [`http-grpc-status-mapping.md`]: https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md

use std::error::Error;
use std::fmt;
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, BoxFuture, Bytes, Service, StdError};
use tower::Layer;

mod connection;
mod http;
mod on_end;
mod text;

pub use self::http::code_from_http;
pub use self::on_end::OnEnd;
pub use self::text::{escape, explain};

/// Makes [`ClientStatus`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientStatusLayer {}

impl ClientStatusLayer {
    /// Corrects the status of every call, and has nothing to set.
    pub fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for ClientStatusLayer {
    type Service = ClientStatus<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientStatus::new(inner)
    }
}

/// A channel whose calls end with the status that the specification asks for.
pub struct ClientStatus<S> {
    inner: S,
    /// What `poll_ready` met. It belongs to a call, where a stub can see its code.
    error: Option<StdError>,
}

impl<S> ClientStatus<S> {
    /// Corrects the status of every call on `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner, error: None }
    }
}

impl<S: Clone> Clone for ClientStatus<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}

impl<S: fmt::Debug> fmt::Debug for ClientStatus<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStatus")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<Body>> for ClientStatus<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<StdError>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Self::Response, Self::Error>;

    /// An error here would reach the caller as UNKNOWN "Service was not ready"; so it ends the next call.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.error.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.inner.poll_ready(cx).map(|ready| {
            self.error = ready.err().map(Into::into);
            Ok(())
        })
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(error) = self.error.take() {
            return Box::pin(std::future::ready(Err(corrected(error))));
        }
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await.map_err(|error| corrected(error.into()))?;
            if let Some(status) = http::synthesized(&response) {
                return Ok(status.into_http());
            }
            Ok(response.map(|body| {
                let body = Body::new(body);
                Body::new(body.map_err(|error| {
                    connection::lost(&error as &(dyn Error + 'static)).unwrap_or(error)
                }))
            }))
        })
    }
}

fn corrected(error: StdError) -> StdError {
    match connection::lost(&*error) {
        Some(status) => status.into(),
        None => error,
    }
}
