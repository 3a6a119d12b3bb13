use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use greeter::Name;
use greeter::greeter_client::GreeterClient;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use opentelemetry::metrics::Meter;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, HistogramDataPoint, Metric, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use prost::Message;
use tokio::time::sleep;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response, StatusCode};
use tonic::codegen::{Service, StdError};
use tonic::{Code, Status};
use tower::{Layer, ServiceExt};

use super::*;
use crate::status::ClientStatusLayer;
use crate::testing::{Frames, channel, passes_on_readiness, post, replies, serve, soon, unary};
use crate::testing::{call, framed, read, stream};

const METHOD: &str = "test.Test/Call";

mod client;
mod scrape;
mod server;
mod text_server;

/// A66, letter for letter: names, types, units, and the bounds of the buckets.
#[tokio::test]
async fn the_instruments_are_those_of_a66() {
    let recorded = Recorded::new();
    let server = ServerMetricsLayer::new(&recorded.meter()).method(METHOD);
    let client = ClientMetricsLayer::new(&recorded.meter(), "http://greeter.example");
    for layered in [
        server.layer(channel(ok)).boxed(),
        client.layer(channel(ok)).boxed(),
    ] {
        finish(layered, request()).await;
    }
    let mut got: Vec<_> = recorded.metrics().into_keys().collect();
    got.sort();
    assert_eq!(
        got,
        [
            "grpc.client.attempt.duration s, 41 bounds",
            "grpc.client.attempt.rcvd_total_compressed_message_size By, 14 bounds",
            "grpc.client.attempt.sent_total_compressed_message_size By, 14 bounds",
            "grpc.client.attempt.started {attempt}, counter",
            "grpc.client.call.duration s, 41 bounds",
            "grpc.server.call.duration s, 41 bounds",
            "grpc.server.call.rcvd_total_compressed_message_size By, 14 bounds",
            "grpc.server.call.sent_total_compressed_message_size By, 14 bounds",
            "grpc.server.call.started {call}, counter",
        ]
    );
    // As A66 writes them, with its typography.
    let latency = "0, 0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, \
        0.004, 0.005, 0.006, 0.008, 0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, \
        0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1, 2, 5, 10, 20, 50, 100";
    let size = "0, 1024, 2048, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864, \
        268435456, 1073741824, 4294967296";
    for (bounds, expected) in [(&LATENCY_BOUNDS[..], latency), (&SIZE_BOUNDS[..], size)] {
        let expected: Vec<f64> = expected
            .split(", ")
            .map(|bound| bound.parse().unwrap())
            .collect();
        assert_eq!(bounds, expected);
    }
    assert_eq!(recorded.bounds("grpc.server.call.duration"), LATENCY_BOUNDS);
    assert_eq!(
        recorded.bounds("grpc.client.attempt.sent_total_compressed_message_size"),
        SIZE_BOUNDS
    );
}

#[tokio::test]
async fn each_instrument_says_what_it_measures() {
    let recorded = Recorded::new();
    let server = ServerMetricsLayer::new(&recorded.meter());
    let client = ClientMetricsLayer::new(&recorded.meter(), "greeter.example");
    finish(server.layer(channel(ok)), request()).await;
    finish(client.layer(channel(ok)), request()).await;
    recorded.flush(|metric| assert!(metric.description().len() > 20, "{}", metric.name()));
}

/// A66: "creation should use a `name` that identifies the library", and its version.
#[tokio::test]
async fn the_meter_says_who_measures() {
    let recorded = Recorded::new();
    let layer = ServerMetricsLayer::new(&recorded.meter());
    finish(layer.layer(channel(ok)), request()).await;
    recorded.provider.force_flush().unwrap();
    let metrics = recorded.exporter.get_finished_metrics().unwrap();
    let scope = metrics[0].scope_metrics().next().unwrap().scope();
    assert_eq!(scope.name(), "grpc-rust-conform");
    assert_eq!(scope.version(), Some(env!("CARGO_PKG_VERSION")));
}

/// A66: "gRPC implementations should *NOT* fallback on this global." And tonic records nothing
/// with it, nor with anything else.
#[tokio::test]
async fn tonic_alone_measures_nothing_and_nothing_goes_to_the_global_provider() {
    let global = Recorded::new();
    opentelemetry::global::set_meter_provider(global.provider.clone());
    let served = serve(
        tower::layer::util::Identity::new(),
        replies(&[Ok(b"hello")]),
    )
    .await;
    call(served.channel(), "hello").await.unwrap();

    let own = Recorded::new();
    let layer = ServerMetricsLayer::new(&own.meter());
    let served = serve(layer, replies(&[Ok(b"hello")])).await;
    let layer = ClientMetricsLayer::new(&own.meter(), "greeter.example");
    call(layer.layer(served.channel()), "hello").await.unwrap();
    assert_eq!(own.metrics().len(), 9);
    assert_eq!(global.metrics(), BTreeMap::new());
}

/// A66: "allow installing multiple OpenTelemetry plugins", each with its own provider.
#[tokio::test]
async fn two_layers_record_for_two_providers() {
    let (one, two) = (Recorded::new(), Recorded::new());
    let inner = ServerMetricsLayer::new(&one.meter())
        .method(METHOD)
        .layer(channel(ok));
    let outer = ServerMetricsLayer::new(&two.meter()).layer(inner);
    finish(outer, request()).await;
    assert_eq!(
        one.counts("grpc.server.call.started"),
        ["test.Test/Call: 1"]
    );
    assert_eq!(two.counts("grpc.server.call.started"), ["other: 1"]);
}

/// The full list of the specification, by number.
#[tokio::test]
async fn a_status_is_recorded_by_the_name_that_the_specification_gives_it() {
    let names = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    for (code, name) in names.into_iter().enumerate() {
        let code = Code::from(code as i32);
        assert_eq!(code_name(code), name);
        // In the headers, and in the trailers.
        for trailers_only in [true, false] {
            let recorded = Recorded::new();
            let layer = ServerMetricsLayer::new(&recorded.meter()).method(METHOD);
            let respond = move |_| -> Result<_, StdError> {
                Ok(match trailers_only {
                    true => Status::new(code, "").into_http(),
                    false => Response::new(Body::new(Frames::new([trailers(code)]))),
                })
            };
            finish(layer.layer(channel(respond)), request()).await;
            let expected = [format!("test.Test/Call {name}: 1")];
            assert_eq!(recorded.counts("grpc.server.call.duration"), expected);
        }
    }
}

#[test]
fn methods_are_found_in_a_descriptor_set() {
    let set = protox::compile(["greeter.proto"], ["greeter"]).unwrap();
    let mut bytes = set.encode_to_vec();
    assert_eq!(
        methods_in(&bytes).unwrap(),
        [
            "greeter.v1.Greeter/Greet",
            "greeter.v1.Greeter/GreetOften",
            "greeter.v1.Greeter/GreetAll",
            "greeter.v1.Greeter/GreetEach",
        ]
    );
    bytes.truncate(100);
    methods_in(&bytes).unwrap_err();

    let method = prost_types::MethodDescriptorProto {
        name: Some("Call".into()),
        ..Default::default()
    };
    let service = prost_types::ServiceDescriptorProto {
        name: Some("Test".into()),
        method: vec![method],
        ..Default::default()
    };
    let file = prost_types::FileDescriptorProto {
        service: vec![service],
        ..Default::default()
    };
    let without_package = prost_types::FileDescriptorSet { file: vec![file] };
    let methods = methods_in(&without_package.encode_to_vec()).unwrap();
    assert_eq!(methods, ["Test/Call"]);
}

#[test]
fn both_layers_ask_the_service_below() {
    let recorded = Recorded::new();
    let meter = recorded.meter();
    passes_on_readiness_as_text(ServerMetricsLayer::new(&meter));
    passes_on_readiness_as_text(ClientMetricsLayer::new(&meter, "greeter.example"));
}

/// As [`passes_on_readiness`], for a service whose error is made a `StdError`.
fn passes_on_readiness_as_text<L>(layer: L)
where
    L: Layer<crate::testing::Readiness, Service: Service<Request<Body>, Error = StdError>>,
{
    struct Plain<S>(S);
    impl<S: Service<Request<Body>, Error = StdError>> Service<Request<Body>> for Plain<S> {
        type Response = S::Response;
        type Error = &'static str;
        type Future = std::future::Pending<Result<S::Response, &'static str>>;

        fn poll_ready(
            &mut self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), &'static str>> {
            let ready = self.0.poll_ready(cx);
            ready.map_err(|error| match error.to_string() == "never" {
                true => "never",
                false => "another error",
            })
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            std::future::pending()
        }
    }
    let plain = |inner| Plain(layer.layer(inner));
    passes_on_readiness(tower::layer::layer_fn(plain));
}

#[test]
fn debug_output_says_what_is_measured() {
    let recorded = Recorded::new();
    let layer = ServerMetricsLayer::new(&recorded.meter()).methods(["/a.B/C", "a.B/A"]);
    let debug = format!("{:?}", layer.layer(()));
    assert!(debug.contains(r#"{"a.B/A", "a.B/C"}"#), "{debug}");
    let service = channel(ok);
    let future = ServerMetricsLayer::new(&recorded.meter())
        .layer(service)
        .call(request());
    assert_eq!(format!("{future:?}"), "ResponseFuture { .. }");
}

/// What a provider has recorded.
pub(crate) struct Recorded {
    exporter: InMemoryMetricExporter,
    provider: SdkMeterProvider,
}

impl Recorded {
    pub(crate) fn new() -> Self {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone())
            .with_interval(Duration::from_secs(3600))
            .build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        Self { exporter, provider }
    }

    pub(crate) fn meter(&self) -> Meter {
        meter(&self.provider)
    }

    fn flush(&self, mut each: impl FnMut(&Metric)) {
        self.exporter.reset();
        self.provider.force_flush().unwrap();
        let metrics = self.exporter.get_finished_metrics().unwrap();
        for scope in metrics.iter().flat_map(|metrics| metrics.scope_metrics()) {
            scope.metrics().for_each(&mut each);
        }
    }

    /// Name and form of each instrument; and its points: attributes, count, sum.
    pub(crate) fn metrics(&self) -> BTreeMap<String, Vec<(String, u64, f64)>> {
        let mut all = BTreeMap::new();
        self.flush(|metric| {
            let (form, mut points) = match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    assert!(sum.is_monotonic());
                    let points = sum.data_points();
                    let points = points.map(|it| (attributes(it.attributes()), it.value(), 0.0));
                    ("counter".to_owned(), points.collect::<Vec<_>>())
                }
                AggregatedMetrics::U64(MetricData::Histogram(histogram)) => {
                    let points = histogram.data_points();
                    let points: Vec<_> = points.map(|it| point(it, it.sum() as f64)).collect();
                    let bounds = histogram.data_points().next().unwrap().bounds().count();
                    (format!("{bounds} bounds"), points)
                }
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                    let points = histogram.data_points();
                    let points: Vec<_> = points.map(|it| point(it, it.sum())).collect();
                    let bounds = histogram.data_points().next().unwrap().bounds().count();
                    (format!("{bounds} bounds"), points)
                }
                other => panic!("{other:?}"),
            };
            points.sort_by(|a, b| a.0.cmp(&b.0));
            let name = format!("{} {}, {form}", metric.name(), metric.unit());
            all.insert(name, points);
        });
        all
    }

    pub(crate) fn points(&self, name: &str) -> Vec<(String, u64, f64)> {
        let mut metrics = self.metrics().into_iter();
        metrics
            .find(|(it, _)| it.split(' ').next() == Some(name))
            .map(|(_, points)| points)
            .unwrap_or_default()
    }

    /// `attributes: count`
    pub(crate) fn counts(&self, name: &str) -> Vec<String> {
        let points = self.points(name).into_iter();
        points
            .map(|(attributes, count, _)| format!("{attributes}: {count}"))
            .collect()
    }

    /// `attributes: sum`
    pub(crate) fn sums(&self, name: &str) -> Vec<String> {
        let points = self.points(name).into_iter();
        points
            .map(|(attributes, _, sum)| format!("{attributes}: {sum}"))
            .collect()
    }

    pub(crate) fn bounds(&self, name: &str) -> Vec<f64> {
        let mut bounds = Vec::new();
        self.flush(|metric| {
            if metric.name() == name {
                bounds = match metric.data() {
                    AggregatedMetrics::U64(MetricData::Histogram(histogram)) => {
                        let point = histogram.data_points().next().unwrap();
                        point.bounds().collect()
                    }
                    AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                        let point = histogram.data_points().next().unwrap();
                        point.bounds().collect()
                    }
                    other => panic!("{other:?}"),
                };
            }
        });
        bounds
    }
}

fn point<T>(point: &HistogramDataPoint<T>, sum: f64) -> (String, u64, f64) {
    (attributes(point.attributes()), point.count(), sum)
}

/// Method, target, status; each must be called as A66 calls it.
fn attributes<'a>(attributes: impl Iterator<Item = &'a opentelemetry::KeyValue>) -> String {
    let by_key: BTreeMap<_, _> = attributes
        .map(|attribute| (attribute.key.to_string(), attribute.value.to_string()))
        .collect();
    let known = ["grpc.method", "grpc.target", "grpc.status"];
    assert!(by_key.keys().all(|key| known.contains(&&**key)));
    let values = known.iter().filter_map(|&key| by_key.get(key).cloned());
    values.collect::<Vec<_>>().join(" ")
}

fn request() -> Request<Body> {
    request_with(Body::empty())
}

fn request_with(body: Body) -> Request<Body> {
    Request::post("http://greeter.example/test.Test/Call")
        .body(body)
        .unwrap()
}

fn ok(_: Request<Body>) -> Result<Response<Body>, StdError> {
    Ok(Response::new(Body::new(Frames::new([trailers(Code::Ok)]))))
}

fn trailers(code: Code) -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    trailers.insert(Status::GRPC_STATUS, (code as i32).into());
    Ok(Frame::trailers(trailers))
}

fn data(bytes: &'static [u8]) -> Result<Frame<Bytes>, Status> {
    Ok(Frame::data(Bytes::from_static(bytes)))
}

/// Calls, and reads the response to its end, as a stub does.
async fn finish<S>(service: S, request: Request<Body>) -> bool
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: std::fmt::Debug,
{
    match service.oneshot(request).await {
        Ok(response) => response.into_body().collect().await.is_ok(),
        Err(_) => false,
    }
}
