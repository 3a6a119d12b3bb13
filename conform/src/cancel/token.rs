//! A token that is cancelled when its call is over.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame};
use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tower::Layer;

/// The token in a request's extensions, in a type of its own: others may put tokens there too.
#[derive(Debug, Clone)]
pub(super) struct CallToken(pub(super) CancellationToken);

/// Puts a token into each request that is cancelled when the call is over, as grpc-go's context is.
///
/// A call is over when its status has been handed to the connection, or when it is dropped: because
/// the client has cancelled it, or the connection is lost. Inside the server's deadline layer the
/// deadline counts too.
#[derive(Debug, Clone, Copy, Default)]
pub struct CancellationLayer {}

impl CancellationLayer {
    /// The layer.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for CancellationLayer {
    type Service = Cancellation<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Cancellation { inner }
    }
}

/// Services whose handlers find a token in their request. See [`token`](super::token()).
#[derive(Debug, Clone)]
pub struct Cancellation<S> {
    inner: S,
}

inner_service!(Cancellation<S>);

impl<S, B> Service<Request<Body>> for Cancellation<S>
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let token = CancellationToken::new();
        request.extensions_mut().insert(CallToken(token.clone()));
        CancellationFuture::new(self.inner.call(request), token)
    }
}

pin_project! {
    /// The response of [`Cancellation`] and of [`CancelOnDrop`](super::CancelOnDrop).
    pub struct CancellationFuture<F> {
        #[pin]
        inner: F,
        guard: Option<DropGuard>,
    }
}

impl<F> CancellationFuture<F> {
    /// Cancels `token` when the response of `inner` is over, or is dropped.
    pub(super) fn new(inner: F, token: CancellationToken) -> Self {
        let guard = Some(token.drop_guard());
        Self { inner, guard }
    }
}

impl<F, B, E> Future for CancellationFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(context));
        let guard = this.guard.take();
        Poll::Ready(result.map(|response| {
            let response = response.map(Body::new);
            if response.body().is_end_stream() {
                return response;
            }
            response.map(|inner| Body::new(Reply { inner, guard }))
        }))
    }
}

struct Reply {
    inner: Body,
    guard: Option<DropGuard>,
}

impl HttpBody for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            self.guard = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
