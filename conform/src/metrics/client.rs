//! The client's half.

use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::Body as HttpBody;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tower::Layer;

use super::call::{Instruments, Measurement, ResponseFuture, duration, size};
use super::methods::Methods;

/// Measures every call of a channel: makes [`ClientMetrics`]. See the [module](super).
///
/// A **call** is what the program makes, an **attempt** what is sent. They are the same as long as
/// nothing below this layer repeats a call, and then one layer measures both.
#[derive(Clone, Debug)]
pub struct ClientMetricsLayer {
    meter: Meter,
    target: KeyValue,
    instruments: Arc<Instruments>,
    methods: Methods,
}

impl ClientMetricsLayer {
    /// Records calls and attempts with `meter`, as made to `target`, which is what the channel was
    /// made from: a URL, `https://greeter.example`, or the name of one server for all. It's
    /// recorded in its [canonical form](canonical_target).
    ///
    /// There is one set of numbers for each target. Where targets are many addresses, choose a
    /// common name for them.
    pub fn new(meter: &Meter, target: impl AsRef<str>) -> Self {
        let target: Arc<str> = canonical_target(target.as_ref()).into();
        let mut instruments = attempt(meter);
        instruments.durations.push(call_duration(meter));
        Self {
            meter: meter.clone(),
            target: KeyValue::new("grpc.target", target),
            instruments: Arc::new(instruments),
            methods: Methods::new(),
        }
    }

    /// Records calls, `grpc.client.call.duration`: for a layer outside of one that repeats calls.
    pub fn calls_only(mut self) -> Self {
        self.instruments = Arc::new(Instruments {
            durations: vec![call_duration(&self.meter)],
            ..Instruments::default()
        });
        self
    }

    /// Records attempts, `grpc.client.attempt.*`: for a layer inside of one that repeats calls.
    pub fn attempts_only(mut self) -> Self {
        self.instruments = Arc::new(attempt(&self.meter));
        self
    }

    /// Has a method that no generated stub calls go by its name if `record` says so. Else it's
    /// called [`OTHER`](super::OTHER).
    pub fn generic_methods(
        mut self,
        record: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.methods.record_generic(Arc::new(record));
        self
    }
}

pub(super) fn call_duration(meter: &Meter) -> opentelemetry::metrics::Histogram<f64> {
    duration(
        meter,
        "grpc.client.call.duration",
        "Time taken to complete an RPC from the application's perspective.",
    )
}

pub(super) fn attempt(meter: &Meter) -> Instruments {
    let started = meter.u64_counter("grpc.client.attempt.started");
    let started = started.with_unit("{attempt}");
    let started = started.with_description(
        "The total number of RPC attempts started, including those that have not completed.",
    );
    Instruments {
        started: Some(started.build()),
        durations: vec![duration(
            meter,
            "grpc.client.attempt.duration",
            "End-to-end time taken to complete an RPC attempt.",
        )],
        request_size: Some(size(
            meter,
            "grpc.client.attempt.sent_total_compressed_message_size",
            "Compressed bytes sent across all request messages of an RPC attempt.",
        )),
        response_size: Some(size(
            meter,
            "grpc.client.attempt.rcvd_total_compressed_message_size",
            "Compressed bytes received across all response messages of an RPC attempt.",
        )),
    }
}

impl<S> Layer<S> for ClientMetricsLayer {
    type Service = ClientMetrics<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientMetrics {
            inner,
            settings: self.clone(),
        }
    }
}

/// A channel whose calls are measured. Give it to a stub as if it were the channel.
#[derive(Clone, Debug)]
pub struct ClientMetrics<S> {
    inner: S,
    settings: ClientMetricsLayer,
}

inner_service!(ClientMetrics<S>);

impl<S, B> Service<Request<Body>> for ClientMetrics<S>
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
        let settings = &self.settings;
        let mut attributes = Vec::with_capacity(3);
        attributes.push(settings.methods.of_client(&request));
        attributes.push(settings.target.clone());
        let (measurement, request) = Measurement::begin(&settings.instruments, attributes, request);
        ResponseFuture::new(self.inner.call(request), measurement)
    }
}

/// A target with its scheme, as A66, *Attributes*, `grpc.target`, has it: `dns:///host:port`.
///
/// tonic's URLs begin with `http://` or `https://`, which is no scheme of gRPC's. They stand for a
/// host that is looked up, with port 80 or 443 if they name none. What else a URL may hold, names
/// and passwords too, is left out.
///
/// ```
/// use conform::metrics::canonical_target;
///
/// assert_eq!(canonical_target("https://greeter.example"), "dns:///greeter.example:443");
/// assert_eq!(canonical_target("greeter.example:8000"), "dns:///greeter.example:8000");
/// assert_eq!(canonical_target("xds:///greeter"), "xds:///greeter");
/// ```
pub fn canonical_target(target: &str) -> String {
    for (scheme, port) in [("http://", 80), ("https://", 443)] {
        let begin = target.get(..scheme.len());
        if begin.is_some_and(|begin| begin.eq_ignore_ascii_case(scheme)) {
            let rest = &target[scheme.len()..];
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            // A colon may be part of an IPv6 address, which ends with a bracket.
            let has_port = host
                .rsplit_once(':')
                .is_some_and(|(_, end)| !end.ends_with(']'));
            return match has_port {
                true => format!("dns:///{host}"),
                false => format!("dns:///{host}:{port}"),
            };
        }
    }
    let scheme = target.split_once(':').map(|(scheme, _)| scheme);
    match scheme {
        Some(scheme) if SCHEMES.contains(&scheme) => target.to_owned(),
        _ => format!("dns:///{target}"),
    }
}

/// Those that gRPC knows (*gRPC Name Resolution*), and that of its tests.
const SCHEMES: [&str; 8] = [
    "dns",
    "ipv4",
    "ipv6",
    "passthrough",
    "unix",
    "unix-abstract",
    "vsock",
    "xds",
];
