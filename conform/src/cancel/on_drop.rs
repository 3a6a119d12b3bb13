//! A call that nobody listens to any more is cancelled, whatever it still has to send.

use std::task::{Context, Poll};

use http_body::Body as HttpBody;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tower::Layer;

use super::token::CancellationFuture;
use crate::upload;

/// Cancels a call when its response is dropped, also while its request stream is open.
///
/// With tonic alone a bidirectional call goes on until its request stream ends, though nobody reads
/// its replies any more.
#[derive(Debug, Clone, Copy, Default)]
pub struct CancelOnDropLayer {}

impl CancelOnDropLayer {
    /// The layer.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for CancelOnDropLayer {
    type Service = CancelOnDrop<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CancelOnDrop { inner }
    }
}

/// A channel whose calls are cancelled when their response is dropped. Give it to a stub as if it
/// were the channel.
#[derive(Debug, Clone)]
pub struct CancelOnDrop<S> {
    inner: S,
}

inner_service!(CancelOnDrop<S>);

impl<S, B> Service<Request<Body>> for CancelOnDrop<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = CancellationFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let token = CancellationToken::new();
        let over = token.clone().cancelled_owned();
        let request = request.map(|body| upload::until(body, over));
        CancellationFuture::new(self.inner.call(request), token)
    }
}
