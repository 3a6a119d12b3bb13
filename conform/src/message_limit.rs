//! Messages that are too large end their call with RESOURCE_EXHAUSTED.

use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, BoxFuture, Bytes, Service, StdError};
use tower::Layer;

mod body;

use self::body::LimitedBody;

/// Makes [`ServerMessageLimit`].
#[derive(Clone, Copy, Debug)]
pub struct ServerMessageLimitLayer {
    limit: usize,
}

impl ServerMessageLimitLayer {
    /// Takes request messages of up to `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        Self { limit: bytes }
    }
}

impl<S> Layer<S> for ServerMessageLimitLayer {
    type Service = ServerMessageLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerMessageLimit {
            inner,
            limit: self.limit,
        }
    }
}

/// Services that refuse requests above a limit.
#[derive(Clone, Copy, Debug)]
pub struct ServerMessageLimit<S> {
    inner: S,
    limit: usize,
}

impl<S> Service<Request<Body>> for ServerMessageLimit<S>
where
    S: Service<Request<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let request = request.map(|body| LimitedBody::around(body, self.limit));
        self.inner.call(request)
    }
}

/// Makes [`ClientMessageLimit`].
#[derive(Clone, Copy, Debug)]
pub struct ClientMessageLimitLayer {
    limit: usize,
}

impl ClientMessageLimitLayer {
    /// Takes reply messages of up to `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        Self { limit: bytes }
    }
}

impl<S> Layer<S> for ClientMessageLimitLayer {
    type Service = ClientMessageLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientMessageLimit {
            inner,
            limit: self.limit,
        }
    }
}

/// A channel that refuses replies above a limit.
#[derive(Clone, Copy, Debug)]
pub struct ClientMessageLimit<S> {
    inner: S,
    limit: usize,
}

impl<S, B> Service<Request<Body>> for ClientMessageLimit<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
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
        let limit = self.limit;
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            Ok(response.map(|body| LimitedBody::around(Body::new(body), limit)))
        })
    }
}
