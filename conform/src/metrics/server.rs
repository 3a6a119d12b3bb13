//! The server's half.

use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::Body as HttpBody;
use opentelemetry::metrics::Meter;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tower::Layer;

use super::call::{Instruments, Measurement, ResponseFuture, duration, size};
use super::methods::Methods;

/// Measures every call of a server: makes [`ServerMetrics`]. See the [module](super).
///
/// Its clones record together, whatever connection they stand on. A second layer with another
/// meter records for itself.
#[derive(Clone, Debug)]
pub struct ServerMetricsLayer {
    instruments: Arc<Instruments>,
    methods: Methods,
}

impl ServerMetricsLayer {
    /// Records with `meter`. All methods are called [`OTHER`](super::OTHER) until they're
    /// registered.
    pub fn new(meter: &Meter) -> Self {
        let started = meter.u64_counter("grpc.server.call.started");
        let started = started.with_unit("{call}");
        let started = started.with_description(
            "The total number of RPCs started, including those that have not completed.",
        );
        let instruments = Instruments {
            started: Some(started.build()),
            durations: vec![duration(
                meter,
                "grpc.server.call.duration",
                "Time an RPC takes from the server transport's perspective.",
            )],
            request_size: Some(size(
                meter,
                "grpc.server.call.rcvd_total_compressed_message_size",
                "Compressed bytes received across all request messages of an RPC.",
            )),
            response_size: Some(size(
                meter,
                "grpc.server.call.sent_total_compressed_message_size",
                "Compressed bytes sent across all response messages of an RPC.",
            )),
        };
        Self {
            instruments: Arc::new(instruments),
            methods: Methods::new(),
        }
    }

    /// Registers a method, which then goes by its name: `greeter.v1.Greeter/Greet`.
    pub fn method(mut self, name: impl Into<String>) -> Self {
        self.methods.register(name.into());
        self
    }

    /// Registers methods, as those of [`methods_in`](super::methods_in).
    pub fn methods<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        for name in names {
            self.methods.register(name.into());
        }
        self
    }

    /// Has a method that isn't registered go by its name if `record` says so, as A66 allows for
    /// servers with generic handlers.
    ///
    /// `record` should know the names it lets through: each costs memory for as long as the
    /// program runs, and anyone can make them up.
    pub fn generic_methods(
        mut self,
        record: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.methods.record_generic(Arc::new(record));
        self
    }
}

impl<S> Layer<S> for ServerMetricsLayer {
    type Service = ServerMetrics<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerMetrics {
            inner,
            settings: self.clone(),
        }
    }
}

/// A server whose calls are measured.
#[derive(Clone, Debug)]
pub struct ServerMetrics<S> {
    inner: S,
    settings: ServerMetricsLayer,
}

inner_service!(ServerMetrics<S>);

impl<S, B> Service<Request<Body>> for ServerMetrics<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = StdError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let ServerMetricsLayer {
            instruments,
            methods,
        } = &self.settings;
        let mut attributes = Vec::with_capacity(2);
        attributes.push(methods.of_server(&request));
        let (measurement, request) = Measurement::begin(instruments, attributes, request);
        ResponseFuture::new(self.inner.call(request), measurement)
    }
}
