//! Trailers for a call that succeeds: a layer that writes what the handler said after the last
//! message.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use http_body_util::BodyExt;
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tonic::metadata::MetadataMap;
use tower::Layer;

use super::is_reserved;

/// What a handler wants to say when its call ends. Clones share one map.
///
/// The map is written once, with the status that ends the call, be it OK or an error. It may be
/// changed until then: by a stream, for example, as long as it sends messages.
#[derive(Clone, Debug, Default)]
pub struct Trailers(Arc<Mutex<MetadataMap>>);

impl Trailers {
    /// The trailers of the call that `request` began.
    ///
    /// Without [`WithTrailers`] around the service, what is written to them is lost.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// The map itself, for one change. Names that belong to gRPC itself are left out when it is
    /// sent.
    pub fn lock(&self) -> MutexGuard<'_, MetadataMap> {
        // A handler that panicked in the middle of a change has left a map that is still a map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the trailers along with `response`: in its last frame, where the status is.
    ///
    /// An error without a message before it has no last frame. Its status is in the headers, and
    /// so are its trailers: PROTOCOL-HTTP2, section "Responses", calls this *Trailers-Only*.
    fn follow<B>(self, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        let (mut head, body) = response.into_parts();
        if head.headers.contains_key(Status::GRPC_STATUS) {
            self.add_to(&mut head.headers);
            return Response::from_parts(head, Body::new(body));
        }
        let body = body.map_frame(move |mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                self.add_to(trailers);
            }
            frame
        });
        Response::from_parts(head, Body::new(body))
    }

    fn add_to(&self, headers: &mut HeaderMap) {
        for (name, value) in self.lock().as_ref() {
            // A handler that could write `grpc-status` here could turn an error into OK.
            if !is_reserved(name.as_str()) {
                headers.append(name, value.clone());
            }
        }
    }
}

/// Makes [`WithTrailers`].
#[derive(Clone, Copy, Debug, Default)]
pub struct TrailersLayer {}

impl TrailersLayer {
    /// Gives trailers to every call, and has nothing to set.
    pub fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for TrailersLayer {
    type Service = WithTrailers<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithTrailers { inner }
    }
}

/// Services whose handlers can write [`Trailers`], in all four kinds of call.
///
/// tonic itself writes metadata into the trailers only from a `Status`, and a unary or
/// client-streaming call that succeeds has none.
#[derive(Clone, Copy, Debug)]
pub struct WithTrailers<S> {
    inner: S,
}

inner_service!(WithTrailers<S>);

impl<S, B> Service<Request<Body>> for WithTrailers<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = WithTrailersFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let trailers = Trailers::default();
        request.extensions_mut().insert(trailers.clone());
        WithTrailersFuture {
            inner: self.inner.call(request),
            trailers,
        }
    }
}

pin_project! {
    /// The response of a [`WithTrailers`].
    pub struct WithTrailersFuture<F> {
        #[pin]
        inner: F,
        trailers: Trailers,
    }
}

impl<F, B, E> Future for WithTrailersFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx));
        Poll::Ready(response.map(|response| this.trailers.clone().follow(response)))
    }
}
