//! A backend tells how busy it is, and what each call has cost.
//!
//! # The promise
//!
//! A server reports its load to its clients, in the form that *ORCA* defines: with each call, in the
//! trailers, and *out of band*, on a stream of its own. A client's balancer sends more calls to those
//! that can take more. So says gRPC's guide [Custom backend metrics]; the reports are defined in
//! [orca_load_report.proto] and [orca.proto], what server and client do with them in [gRFC A51], and
//! how they become weights in [gRFC A58].
//!
//! # What tonic 0.14.9 does
//!
//! Nothing. A handler can't send trailers with a single reply: what it writes into the metadata of
//! its response goes into the headers, where no client looks for a report. `Channel::balance_list`
//! knows no weights.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use conform::orca::{
//!     CallMetrics, ClientOrcaLayer, Load, LoadWatch, OutOfBand, ServerMetrics, ServerOrcaLayer,
//! };
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use tokio::net::TcpListener;
//! use tonic::transport::server::TcpIncoming;
//! use tonic::transport::{Endpoint, Server};
//! use tonic::{Request, Response, Status};
//! use tower::ServiceBuilder;
//!
//! struct Counting;
//!
//! #[tonic::async_trait]
//! impl Greeter for Counting {
//!     async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
//!         let metrics = CallMetrics::of(&request);
//!         let name = request.into_inner().name;
//!         metrics.request_cost("letters", name.len() as f64);
//!         let text = format!("Hello, {name}!");
//!         Ok(Response::new(Greeting { text }))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
//! // The program measures itself, and writes it down here at a steady pace.
//! let load = ServerMetrics::new();
//! load.cpu_utilization(0.25).qps(120.0);
//! tokio::spawn(
//!     Server::builder()
//!         .layer(ServerOrcaLayer::new().server(&load))
//!         .add_service(OutOfBand::new(&load).service())
//!         .add_service(GreeterServer::new(Counting))
//!         .serve_with_incoming(TcpIncoming::from(listener)),
//! );
//!
//! // With each call:
//! let channel = endpoint.connect_lazy();
//! let (sender, reports) = std::sync::mpsc::channel();
//! let counted = ServiceBuilder::new()
//!     .layer(ClientOrcaLayer::on_report(move |report| drop(sender.send(report))))
//!     .service(channel.clone());
//! GreeterClient::new(counted).greet(Name { name: "Ann".into() }).await?;
//! let report = reports.try_recv()?;
//! assert_eq!((report.request_cost["letters"], report.cpu_utilization), (3.0, 0.25));
//!
//! // Out of band, every 30 seconds:
//! let watch = LoadWatch::new(channel, Duration::from_secs(30));
//! let mut loads = watch.subscribe();
//! let news = loads.wait_for(|load| *load != Load::Waiting).await?;
//! let Load::Reported(report) = &*news else { panic!("{news:?}") };
//! assert_eq!(report.rps_fractional, 120.0);
//! # Ok(())
//! # }
//! ```
//!
//! # The server's side
//!
//! A handler writes into its call's [`CallMetrics`], the program into its [`ServerMetrics`]. Both can
//! be in the report of a call; where both say something, the call's is sent. Out of band there are
//! only the server's, so no request costs and no named metrics.
//!
//! What is written once stays, until it's written again or taken back with `None`. So a program that
//! stops measuring should take back what it measured: a client can't tell that a report is old, as it
//! is sent again and again.
//!
//! To stop: [`ServerMetrics::close`] in the moment at which the connections get their GOAWAY. A stream
//! of reports has no end of its own, and the server would wait for it.
//!
//! [`ServerOrcaLayer`] stands next to the handlers, beside `metadata`: a status that a layer outside
//! of it makes, such as that of a deadline or a panic, has no report.
//!
//! # The client's side
//!
//! [`ClientOrcaLayer`] hands each call's report to a function, [`report_from`] reads one from a map,
//! and [`LoadWatch`] keeps a stream of them open. Between two attempts of it lie the waits of the
//! [connection backoff protocol], 1 s to 120 s. If a stream ends that had a report, the next begins at
//! once, but only once a second. UNIMPLEMENTED ends it for good.
//!
//! A report is what a peer says. Those which a balancer uses go through [`WeightRules::weight`], which
//! believes no number that is negative, NaN, infinite or too large, and a [`Scheduler`], which gives
//! nobody more than ten times the mean.
//!
//! # Weights
//!
//! A58's policy is `weighted_round_robin`, in the module `balance`. [`BackendWeight`] and [`Scheduler`]
//! are its two halves, for a policy of one's own:
//!
//! ```
//! use std::sync::atomic::AtomicU64;
//!
//! use conform::orca::Scheduler;
//!
//! // The second hasn't reported yet: it gets the mean of the others, 2.
//! let scheduler = Scheduler::new(&[Some(3.0), None, Some(1.0)]);
//! let sequence = AtomicU64::new(0);
//! let mut picks = [0; 3];
//! for _ in 0..6 {
//!     picks[scheduler.pick(&sequence).expect("three backends")] += 1;
//! }
//! assert_eq!(picks, [3, 2, 1]);
//! ```
//!
//! # What it can't do
//!
//! * proto3 doesn't tell 0 from nothing: a utilization of 0 looks as if it weren't reported, and makes
//!   no weight.
//! * A backend that lies plausibly gets more calls than its share: up to ten times the mean.
//! * A channel hides its connections, so a [`LoadWatch`] doesn't end at a GOAWAY but with the
//!   connection, and doesn't ask again when there may be another server behind the same address.
//! * A51 has one stream a connection, however many listen, at the shortest interval that anybody
//!   wants. Here each [`LoadWatch`] is a stream; clones share it.
//! * A server that goes silent with its connection open keeps its last report, until a balancer takes
//!   it for expired. HTTP/2's keepalive finds out sooner.
//!
//! [Custom backend metrics]: https://grpc.io/docs/guides/custom-backend-metrics/
//! [orca_load_report.proto]: https://github.com/cncf/xds/blob/main/xds/data/orca/v3/orca_load_report.proto
//! [orca.proto]: https://github.com/cncf/xds/blob/main/xds/service/orca/v3/orca.proto
//! [gRFC A51]: https://github.com/grpc/proposal/blob/master/A51-custom-backend-metrics.md
//! [gRFC A58]: https://github.com/grpc/proposal/blob/master/A58-client-side-weighted-round-robin-lb-policy.md
//! [connection backoff protocol]: https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md

mod client;
#[rustfmt::skip]
mod generated_report;
#[rustfmt::skip]
mod generated_service;
mod metrics;
mod out_of_band;
mod scheduler;
mod server;
mod trailer;
mod watch;
mod weight;

/// Messages, stub and server of `xds/data/orca/v3/orca_load_report.proto` and
/// `xds/service/orca/v3/orca.proto`, as tonic generates them.
pub mod pb {
    pub use super::generated_report::*;
    pub use super::generated_service::*;
}

pub use self::client::{ClientOrca, ClientOrcaFuture, ClientOrcaLayer};
pub use self::metrics::{CallMetrics, MAX_NAME, MAX_NAMES, ServerMetrics};
pub use self::out_of_band::{
    LEAST_REPORT_INTERVAL, MAX_REPORT_STREAMS, MIN_REPORT_INTERVAL, OutOfBand,
};
pub use self::pb::OrcaLoadReport;
pub use self::scheduler::Scheduler;
pub use self::server::{ServerOrca, ServerOrcaFuture, ServerOrcaLayer};
pub use self::trailer::{MAX_REPORT, REPORT_TRAILER, report_from};
pub use self::watch::{Load, LoadWatch};
pub use self::weight::{BackendWeight, MAX_WEIGHT, WeightRules};

#[cfg(test)]
mod tests;
