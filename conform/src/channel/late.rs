//! A call that came before the resolver's first answer: it waits for the config of its method.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use pin_project_lite::pin_project;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Service, StdError};
use tower::{Layer, ServiceExt};

use super::shared::Shared;
use crate::deadline::ClientDeadlineLayer;
use crate::per_call::PerCall;

/// Lets calls wait that have no config yet, and all others through.
#[derive(Clone, Debug)]
pub(super) struct Late<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl<S> Late<S> {
    pub(super) fn new(shared: Arc<Shared>, inner: S) -> Self {
        Self { shared, inner }
    }
}

impl<S> Service<Request<Body>> for Late<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = StdError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = StdError;
    type Future = LateFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let call = PerCall::of(request.extensions());
        let Some(begun) = call.and_then(|call| call.unsettled) else {
            let response = self.inner.call(request);
            return LateFuture::Known { response };
        };
        let shared = self.shared.clone();
        let inner = self.inner.clone();
        let response = Box::pin(async move {
            shared.first_settings().await?;
            shared.settle_late(&mut request, begun);
            // The outer deadline is the caller's own. The config's may be earlier.
            let inner = ClientDeadlineLayer::new().layer(inner);
            inner.oneshot(request).await
        });
        LateFuture::Waiting { response }
    }
}

pin_project! {
    /// The response of a call that may have waited for its config.
    #[project = LateFutureProj]
    pub enum LateFuture<F> {
        Known { #[pin] response: F },
        Waiting { response: BoxFuture<'static, Result<Response<Body>, StdError>> },
    }
}

impl<F> Future for LateFuture<F>
where
    F: Future<Output = Result<Response<Body>, StdError>>,
{
    type Output = Result<Response<Body>, StdError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            LateFutureProj::Known { response } => response.poll(cx),
            LateFutureProj::Waiting { response } => response.as_mut().poll(cx),
        }
    }
}
