//! The client's guard: details that tonic can't decode are taken away before tonic tries, and
//! panics.

use std::mem;
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{Body as HttpBody, BoxFuture, Bytes, Service, StdError};
use tonic::metadata::MetadataMap;
use tower::Layer;

const DETAILS: &str = "grpc-status-details-bin";

/// Makes [`SanitizeDetails`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SanitizeDetailsLayer {}

impl SanitizeDetailsLayer {
    /// Sanitizes every response, and has nothing to set.
    pub fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for SanitizeDetailsLayer {
    type Service = SanitizeDetails<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SanitizeDetails::new(inner)
    }
}

/// A channel whose errors may come with malformed details. The rest of the error stays.
#[derive(Clone, Copy, Debug)]
pub struct SanitizeDetails<S> {
    inner: S,
}

impl<S> SanitizeDetails<S> {
    /// Sanitizes every response of `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, B> Service<Request<Body>> for SanitizeDetails<S>
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
        let response = self.inner.call(request);
        Box::pin(async move { Ok(clean(response.await?)) })
    }
}

fn clean<B>(response: Response<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let (mut head, body) = response.into_parts();
    // An error without a message before it: the status is in the headers.
    clean_map(&mut head.headers);
    let body = body.map_frame(|mut frame| {
        if let Some(trailers) = frame.trailers_mut() {
            clean_map(trailers);
        }
        frame
    });
    Response::from_parts(head, Body::new(body))
}

fn clean_map(headers: &mut HeaderMap) {
    let mut metadata = MetadataMap::from_headers(mem::take(headers));
    let details = metadata.get_bin(DETAILS);
    // tonic's own decoder is asked, the way in which it does not panic.
    if details.is_some_and(|details| details.to_bytes().is_err()) {
        metadata.remove_bin(DETAILS);
    }
    *headers = metadata.into_headers();
}
