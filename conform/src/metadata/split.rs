//! Keeps headers and trailers of a response apart, which tonic's client merges for a single reply.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use http_body_util::BodyExt;
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tonic::metadata::MetadataMap;
use tower::Layer;

/// Both kinds of metadata of one response, in its extensions.
#[derive(Clone, Debug)]
pub struct ResponseMetadata {
    headers: MetadataMap,
    trailers: Arc<OnceLock<MetadataMap>>,
}

impl ResponseMetadata {
    /// What the server said before the first message.
    pub fn headers(&self) -> &MetadataMap {
        &self.headers
    }

    /// What the server said after the last message, beside the status. Empty until the response
    /// has been read to its end.
    pub fn trailers(&self) -> MetadataMap {
        self.trailers.get().cloned().unwrap_or_default()
    }
}

/// Makes [`SplitMetadata`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SplitMetadataLayer {}

impl SplitMetadataLayer {
    /// Splits the metadata of every response, and has nothing to set.
    pub fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for SplitMetadataLayer {
    type Service = SplitMetadata<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SplitMetadata { inner }
    }
}

/// A channel that puts [`ResponseMetadata`] into the extensions of each response.
///
/// The metadata of an error is in its [`Status`]: tonic merges it there, and there are no
/// extensions.
#[derive(Clone, Copy, Debug)]
pub struct SplitMetadata<S> {
    inner: S,
}

inner_service!(SplitMetadata<S>);

impl<S, B> Service<Request<Body>> for SplitMetadata<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = SplitMetadataFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        SplitMetadataFuture {
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The response of a [`SplitMetadata`].
    pub struct SplitMetadataFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for SplitMetadataFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.project().inner.poll(cx)).map(split))
    }
}

fn split<B>(response: Response<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let (mut head, body) = response.into_parts();
    let trailers = Arc::new(OnceLock::new());
    head.extensions.insert(ResponseMetadata {
        headers: MetadataMap::from_headers(head.headers.clone()),
        trailers: trailers.clone(),
    });
    let body = body.map_frame(move |frame| {
        if let Some(found) = frame.trailers_ref() {
            trailers.get_or_init(|| MetadataMap::from_headers(without_status(found.clone())));
        }
        frame
    });
    Response::from_parts(head, Body::new(body))
}

fn without_status(mut trailers: HeaderMap) -> HeaderMap {
    for name in [
        Status::GRPC_STATUS,
        Status::GRPC_MESSAGE,
        Status::GRPC_STATUS_DETAILS,
    ] {
        trailers.remove(name);
    }
    trailers
}
