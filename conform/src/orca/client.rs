//! Hands the report of each call to whoever wants it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body_util::BodyExt;
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tower::Layer;

use super::pb::OrcaLoadReport;
use super::report_from;

type OnReport = Arc<dyn Fn(OrcaLoadReport) + Send + Sync>;

/// Makes [`ClientOrca`].
#[derive(Clone)]
pub struct ClientOrcaLayer {
    on_report: OnReport,
}

impl ClientOrcaLayer {
    /// Will call `on_report` with the report of each call that has one, when the call's status
    /// comes: at most once a call. A report that can't be read is left out.
    ///
    /// `on_report` is called while the response is read, so it must be quick.
    pub fn on_report(on_report: impl Fn(OrcaLoadReport) + Send + Sync + 'static) -> Self {
        let on_report = Arc::new(on_report);
        Self { on_report }
    }
}

impl<S> Layer<S> for ClientOrcaLayer {
    type Service = ClientOrca<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let on_report = self.on_report.clone();
        ClientOrca { inner, on_report }
    }
}

impl fmt::Debug for ClientOrcaLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOrcaLayer").finish_non_exhaustive()
    }
}

/// A channel that tells of the reports that its calls bring. The calls themselves pass unchanged.
#[derive(Clone)]
pub struct ClientOrca<S> {
    inner: S,
    on_report: OnReport,
}

inner_service!(ClientOrca<S>);

impl<S: fmt::Debug> fmt::Debug for ClientOrca<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut this = f.debug_struct("ClientOrca");
        this.field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<Body>> for ClientOrca<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ClientOrcaFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        ClientOrcaFuture {
            inner: self.inner.call(request),
            told: Told(self.on_report.clone()),
        }
    }
}

/// Who is told.
#[derive(Clone)]
struct Told(OnReport);

impl Told {
    fn of(&self, trailers: &HeaderMap) {
        if let Some(report) = report_from(trailers) {
            (self.0)(report);
        }
    }

    fn follow<B>(self, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        // Trailers-Only: these headers are the trailers. Otherwise a report among them is none.
        if response.headers().contains_key(Status::GRPC_STATUS) {
            self.of(response.headers());
            return response.map(Body::new);
        }
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                if let Some(trailers) = frame.trailers_ref() {
                    self.of(trailers);
                }
                frame
            }))
        })
    }
}

pin_project! {
    /// The response of a [`ClientOrca`].
    pub struct ClientOrcaFuture<F> {
        #[pin]
        inner: F,
        told: Told,
    }
}

impl<F, B, E> Future for ClientOrcaFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx));
        Poll::Ready(response.map(|response| this.told.clone().follow(response)))
    }
}
