//! Each call is measured, by the names, units and attributes that gRPC has given its metrics.
//!
//! # The promise
//!
//! A service that is measured looks the same on every dashboard, whatever its language: gRFC
//! [A66] lists the instruments, and gRPC's guide [OpenTelemetry metrics] says how to read them.
//!
//! | instrument | type, unit | attributes | of |
//! |---|---|---|---|
//! | `grpc.server.call.started` | counter, `{call}` | method | [`ServerMetrics`] |
//! | `grpc.server.call.duration` | histogram, `s` | method, status | [`ServerMetrics`] |
//! | `grpc.server.call.sent_total_compressed_message_size` | histogram, `By` | method, status | [`ServerMetrics`] |
//! | `grpc.server.call.rcvd_total_compressed_message_size` | histogram, `By` | method, status | [`ServerMetrics`] |
//! | `grpc.client.attempt.started` | counter, `{attempt}` | method, target | [`ClientMetrics`] |
//! | `grpc.client.attempt.duration` | histogram, `s` | method, target, status | [`ClientMetrics`] |
//! | `grpc.client.attempt.sent_total_compressed_message_size` | histogram, `By` | method, target, status | [`ClientMetrics`] |
//! | `grpc.client.attempt.rcvd_total_compressed_message_size` | histogram, `By` | method, target, status | [`ClientMetrics`] |
//! | `grpc.client.call.duration` | histogram, `s` | method, target, status | [`ClientMetrics`] |
//!
//! [`channel`](crate::channel) measures itself, with [`ChannelBuilder::metrics`]: each call, and each
//! attempt that it makes. With [`ChannelBuilder::retry_metrics`] it also records what gRFC [A96] says:
//!
//! | instrument | type, unit | attributes | how many of a call's attempts were |
//! |---|---|---|---|
//! | `grpc.client.call.retries` | histogram, `{retry}` | method, target | retries, if there were any |
//! | `grpc.client.call.hedges` | histogram, `{hedge}` | method, target | hedges, if there were any |
//! | `grpc.client.call.transparent_retries` | histogram, `{transparent_retry}` | method, target | transparent retries, if there were any |
//! | `grpc.client.call.retry_delay` | histogram, `s` | method, target | for how long none ran, after the first: 0 for most calls |
//!
//! The attributes are called `grpc.method` (`greeter.v1.Greeter/Greet`), `grpc.status`
//! (`DEADLINE_EXCEEDED`) and `grpc.target` (`dns:///greeter.example:443`). The histograms have the
//! bounds that A66 recommends, [`LATENCY_BOUNDS`] and [`SIZE_BOUNDS`]; a view of the SDK may choose
//! others.
//!
//! * A call lasts until its status is known, or until it's dropped: a stream to its last message.
//! * Every call is counted, and with the status that it ended with, also if that came in the
//!   headers, or nobody waited for it.
//! * Sizes are those of the messages as they travel: after compression, without the five bytes
//!   before each message, without metadata.
//! * A stranger can call methods by any name. Those that nobody registered are all called `other`
//!   (A66, *Attributes*), so that they don't fill memory.
//!
//! # What tonic 0.14.9 does
//!
//! Nothing. Ready-made layers for HTTP count gRPC's errors as successes, since the HTTP status is
//! 200 either way, and measure a stream up to its headers.
//!
//! # Example
//!
//! ```
//! use conform::metrics::{ClientMetricsLayer, ServerMetricsLayer};
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
//! use tokio::net::TcpListener;
//! use tonic::transport::{Endpoint, Server};
//! use tonic::transport::server::TcpIncoming;
//! use tonic::{Request, Response, Status};
//! use tower::Layer;
//!
//! struct Polite;
//!
//! #[tonic::async_trait]
//! impl Greeter for Polite {
//!     async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
//!         let text = format!("Hello, {}!", request.into_inner().name);
//!         Ok(Response::new(Greeting { text }))
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In place of the exporter of these tests: Prometheus's or OTLP's.
//! let exporter = InMemoryMetricExporter::default();
//! let reader = PeriodicReader::builder(exporter.clone()).build();
//! let provider = SdkMeterProvider::builder().with_reader(reader).build();
//! let meter = conform::metrics::meter(&provider);
//!
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("http://{}", listener.local_addr()?);
//! tokio::spawn(
//!     Server::builder()
//!         .layer(ServerMetricsLayer::new(&meter).method("greeter.v1.Greeter/Greet"))
//!         .add_service(GreeterServer::new(Polite))
//!         .serve_with_incoming(TcpIncoming::from(listener)),
//! );
//!
//! let metrics = ClientMetricsLayer::new(&meter, &url);
//! let channel = Endpoint::from_shared(url)?.connect_lazy();
//! let mut stub = GreeterClient::new(metrics.layer(channel));
//! stub.greet(Name { name: "Ann".into() }).await?;
//!
//! provider.force_flush()?;
//! let metrics = exporter.get_finished_metrics()?;
//! let names = metrics[0].scope_metrics().flat_map(|scope| scope.metrics());
//! let names: Vec<_> = names.map(|metric| metric.name()).collect();
//! assert!(names.contains(&"grpc.client.call.duration"));
//! assert!(names.contains(&"grpc.server.call.started"));
//! # Ok(())
//! # }
//! ```
//!
//! Only the API of OpenTelemetry is needed here, the crate `opentelemetry` in version 0.33: the
//! program's SDK has to be of the same one. Who collects, and where to, is the business of the
//! program, which brings the SDK and an exporter. Nothing is recorded with the global provider.
//!
//! [`serve_text`] puts a page of numbers, as Prometheus collects them, on a port of their own:
//!
//! ```
//! use conform::metrics::serve_text;
//! use prometheus::{Registry, TextEncoder};
//! use tokio::net::TcpListener;
//!
//! async fn show(listener: TcpListener, registry: Registry) {
//!     serve_text(listener, move || TextEncoder::new().encode_to_string(&registry.gather())).await
//! }
//! # let _ = show;
//! ```
//!
//! [`scrape`] reads such a page.
//!
//! # Its place
//!
//! Outermost, on both sides: on a server outside of `panic` and `deadline`, so that it sees their
//! answers too; on a client outside of `deadline` and whatever makes attempts of its own. Then
//! [`attempts_only`](ClientMetricsLayer::attempts_only) belongs right above the channel, and
//! [`calls_only`](ClientMetricsLayer::calls_only) outermost.
//!
//! # Decisions
//!
//! * A call that was dropped is CANCELLED. If it had a `grpc-timeout` and this was over, but for a
//!   tenth, or 100 milliseconds, it's DEADLINE_EXCEEDED: a client resets its call in both cases, and
//!   has begun to count before the server. Else a dashboard would show by chance the one or the other.
//! * A client whose connection broke has the status that its stub sees: put `conform::status` below
//!   for UNAVAILABLE.
//! * A response that ends without a status has the one that its HTTP status stands for, or UNKNOWN.
//!
//! # What it doesn't do
//!
//! * On a server the time begins when hyper has the headers, and ends when it takes the trailers:
//!   what waits in buffers after that is not part of it (nor is it in A66).
//! * A server whose connection breaks notices when it next writes or reads. Only then has the call
//!   ended (see lesson 19).
//! * The instruments of other parts, as of balancing (A78), aren't here. Those of retries (A96) are
//!   where the retries are: in [`channel`](crate::channel), not in the layers of this module.
//!
//! [`ChannelBuilder::metrics`]: crate::channel::ChannelBuilder::metrics
//! [`ChannelBuilder::retry_metrics`]: crate::channel::ChannelBuilder::retry_metrics
//! [A66]: https://github.com/grpc/proposal/blob/master/A66-otel-stats.md
//! [A96]: https://github.com/grpc/proposal/blob/master/A96-retry-otel-stats.md
//! [OpenTelemetry metrics]: https://grpc.io/docs/guides/opentelemetry-metrics/

use opentelemetry::InstrumentationScope;
use opentelemetry::metrics::{Meter, MeterProvider};
use prost::{DecodeError, Message};
use prost_types::FileDescriptorSet;

mod body;
mod call;
#[cfg(feature = "channel")]
mod channel;
mod client;
mod methods;
mod scrape;
mod server;
#[cfg(feature = "channel")]
mod tally;
mod text_server;

#[cfg(test)]
pub(crate) mod tests;

#[cfg(feature = "channel")]
pub(crate) use self::call::Measurement;
pub use self::call::{ResponseFuture, code_name};
#[cfg(feature = "channel")]
pub(crate) use self::channel::{Attempts, ChannelMetrics};
pub use self::client::{ClientMetrics, ClientMetricsLayer, canonical_target};
pub use self::scrape::{MAX_PAGE, Sample, parse_text, scrape};
pub use self::server::{ServerMetrics, ServerMetricsLayer};
#[cfg(feature = "channel")]
#[cfg_attr(not(feature = "hedging"), allow(unused_imports))]
pub(crate) use self::tally::Tally;
pub use self::text_server::{MAX_SCRAPE_REQUEST, MAX_SCRAPES, SCRAPE_LIMIT, serve_text};

/// Upper bounds in seconds: A66, *Units*, "Latency".
pub const LATENCY_BOUNDS: [f64; 41] = [
    0.0, 0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005,
    0.006, 0.008, 0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16,
    0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0,
];

/// Upper bounds in bytes: A66, *Units*, "Size".
pub const SIZE_BOUNDS: [f64; 14] = [
    0.0,
    1024.0,
    2048.0,
    4096.0,
    16384.0,
    65536.0,
    262144.0,
    1048576.0,
    4194304.0,
    16777216.0,
    67108864.0,
    268435456.0,
    1073741824.0,
    4294967296.0,
];

/// Upper bounds of A96's numbers of transparent retries. The first five are those of retries and of
/// hedges.
#[cfg(feature = "channel")]
const RETRY_BOUNDS: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 10.0];

/// What methods are called that nobody registered: A66, *Attributes*, `grpc.method`.
pub const OTHER: &str = "other";

/// A meter that says who measures, by name and version, as A66, *Language-Specific Details*, asks.
pub fn meter(provider: &impl MeterProvider) -> Meter {
    let scope = InstrumentationScope::builder("grpc-rust-conform").with_version(VERSION);
    provider.meter_with_scope(scope.build())
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The methods of all services in a descriptor set, for [`ServerMetricsLayer::methods`]:
/// `greeter.v1.Greeter/Greet`.
///
/// Such a set is what a server's reflection is built from, too.
///
/// # Errors
///
/// If these bytes aren't a `FileDescriptorSet`.
pub fn methods_in(file_descriptor_set: &[u8]) -> Result<Vec<String>, DecodeError> {
    let set = FileDescriptorSet::decode(file_descriptor_set)?;
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let package = file.package();
            let dot = if package.is_empty() { "" } else { "." };
            for method in &service.method {
                let (service, method) = (service.name(), method.name());
                methods.push(format!("{package}{dot}{service}/{method}"));
            }
        }
    }
    Ok(methods)
}
