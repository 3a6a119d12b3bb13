//! Sends the report of each call with its status.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body_util::BodyExt;
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tower::Layer;

use super::trailer::add_report;
use super::{CallMetrics, ServerMetrics};

/// Makes [`ServerOrca`].
#[derive(Clone, Debug, Default)]
pub struct ServerOrcaLayer {
    server: Option<ServerMetrics>,
}

impl ServerOrcaLayer {
    /// Reports what the handlers write into [`CallMetrics`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to the report of each call what `metrics` hold, unless the call itself says otherwise.
    /// Names find room after those of the call: see [`MAX_NAMES`](super::MAX_NAMES).
    pub fn server(self, metrics: &ServerMetrics) -> Self {
        let server = Some(metrics.clone());
        Self { server }
    }
}

impl<S> Layer<S> for ServerOrcaLayer {
    type Service = ServerOrca<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let server = self.server.clone();
        ServerOrca { inner, server }
    }
}

/// Services whose calls report their cost and the server's load, in the trailer
/// `endpoint-load-metrics-bin`.
///
/// The report is written when the status is. Nothing is sent where nothing was written down.
#[derive(Clone, Debug)]
pub struct ServerOrca<S> {
    inner: S,
    server: Option<ServerMetrics>,
}

inner_service!(ServerOrca<S>);

impl<S, B> Service<Request<Body>> for ServerOrca<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ServerOrcaFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let call = CallMetrics::default();
        request.extensions_mut().insert(call.clone());
        let server = self.server.clone();
        ServerOrcaFuture {
            inner: self.inner.call(request),
            sources: Some(Sources { call, server }),
        }
    }
}

/// Where the report of one call comes from.
struct Sources {
    call: CallMetrics,
    server: Option<ServerMetrics>,
}

impl Sources {
    fn report_to(&self, trailers: &mut HeaderMap) {
        let mut metrics = self.call.metrics();
        if let Some(server) = &self.server {
            metrics = metrics.over(server.metrics());
        }
        if let Some(report) = metrics.report() {
            add_report(&report, trailers);
        }
    }

    /// Puts the report where the status is: after the messages, or in the headers if there are none
    /// (PROTOCOL-HTTP2, *Responses*: Trailers-Only).
    fn follow<B>(self, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        let (mut head, body) = response.into_parts();
        if head.headers.contains_key(Status::GRPC_STATUS) {
            self.report_to(&mut head.headers);
            return Response::from_parts(head, Body::new(body));
        }
        let body = body.map_frame(move |mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                self.report_to(trailers);
            }
            frame
        });
        Response::from_parts(head, Body::new(body))
    }
}

pin_project! {
    /// The response of a [`ServerOrca`].
    pub struct ServerOrcaFuture<F> {
        #[pin]
        inner: F,
        sources: Option<Sources>,
    }
}

impl<F, B, E> Future for ServerOrcaFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx));
        let sources = this.sources.take();
        Poll::Ready(response.map(|response| match sources {
            Some(sources) => sources.follow(response),
            None => response.map(Body::new),
        }))
    }
}
