//! Trailers for a call that succeeds: a layer that writes what the handler said after the last message.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::BodyExt;
use tonic::Request;
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderMap};
use tonic::codegen::{BoxFuture, Context, Poll, Service};
use tonic::metadata::MetadataMap;

use crate::guard;

/// What a handler wants to say when its call ends. Clones share one map.
///
/// The map is written once, with the status that ends the call, be it OK or an error. It may be changed until
/// then: by a stream, for example, as long as it sends messages.
#[derive(Clone, Debug, Default)]
pub struct Trailers(Arc<Mutex<MetadataMap>>);

impl Trailers {
    /// The trailers of the call that `request` began.
    ///
    /// Without [`WithTrailers`] around the service, what is written to them is lost.
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// The map itself, for one change. Names that belong to gRPC itself are left out when it is sent.
    pub fn lock(&self) -> MutexGuard<'_, MetadataMap> {
        // A handler that panicked in the middle of a change has left a map that is still a map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the trailers along with `response`: in its last frame, where the status is.
    ///
    /// An error without a message before it has no last frame. Its status is in the headers, and so are its
    /// trailers: PROTOCOL-HTTP2, section "Responses", calls this *Trailers-Only*.
    fn follow(self, response: http::Response<Body>) -> http::Response<Body> {
        let (mut head, body) = response.into_parts();
        if head.headers.contains_key("grpc-status") {
            self.add_to(&mut head.headers);
            return http::Response::from_parts(head, body);
        }
        let body = body.map_frame(move |mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                self.add_to(trailers);
            }
            frame
        });
        http::Response::from_parts(head, Body::new(body))
    }

    fn add_to(&self, headers: &mut HeaderMap) {
        for (name, value) in self.lock().as_ref() {
            // A handler that could write `grpc-status` here could turn an error into OK.
            if !guard::is_reserved(name.as_str()) {
                headers.append(name, value.clone());
            }
        }
    }
}

/// A service whose handlers can write [`Trailers`], in all four kinds of call.
///
/// tonic itself writes metadata into the trailers only from a `Status`, and a unary or client-streaming call
/// that succeeds has none. For the layer's place in a server see [`serve`](crate::serve).
#[derive(Clone, Debug)]
pub struct WithTrailers<S>(
    /// The service that answers.
    pub S,
);

impl<S> Service<http::Request<Body>> for WithTrailers<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<S::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let trailers = Trailers::default();
        request.extensions_mut().insert(trailers.clone());
        let response = self.0.call(request);
        Box::pin(async move { Ok(trailers.follow(response.await?)) })
    }
}
