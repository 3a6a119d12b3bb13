//! What gRPC's guides promise and [tonic] does not keep, as [tower] layers.
//!
//! One module a promise, one feature a module. Each module begins with its promise and the
//! promise's source, says what tonic 0.14.9 does instead, and shows itself in an example that runs.
//! Each has a test `tonic_alone_…` that fails on the day tonic keeps the promise: then the module
//! goes. Only `framing` has none: tonic keeps that promise, where no layer can reach it.
//!
//! | promise | source | tonic 0.14.9 | module | lesson |
//! |---|---|---|---|---|
//! | A call ends at its deadline, on both sides, with DEADLINE_EXCEEDED. | [Deadlines] | CANCELLED; only until the headers come | [`deadline`] | 05 |
//! | Work stops with its call; an upload that broke off isn't finished. | [Cancellation] | a reset upload looks finished | [`cancel`] | 03, 08 |
//! | A stream ends with OK only if all of it was sent. | [gRPC over HTTP/2] | a sender that is gone looks like success | [`stream`] | 02 |
//! | A server goes on serving, whatever comes over one connection. | [RFC 9113], 10.5 | no limit on calls, connections, silence | [`server`] | 01 |
//! | A lost connection is UNAVAILABLE; every answer has the right code. | [Status codes] | UNKNOWN, INTERNAL or CANCELLED | [`status`] | 09 |
//! | A message that is too large is RESOURCE_EXHAUSTED. | [Status codes] | OUT_OF_RANGE, INTERNAL | [`message_limit`] | 09 |
//! | A panic ends one call, with UNKNOWN. | [Status codes] | CANCELLED | [`panic`](mod@panic) | 09 |
//! | Malformed details of an error do no harm. | [Error handling] | the client panics | [`error_details`] | 10 |
//! | Trailers on every call; reserved names; limits on headers. | [Metadata] | merged, sent, learned by 431 | [`metadata`] | 06 |
//! | Messages can be told apart below the codec. | [gRPC over HTTP/2] | only inside the codec | [`framing`] | 11, 12 |
//! | A channel tells what state it is in. | [Connectivity] | says nothing | [`connectivity`] | 07 |
//! | Only those who may call do; a token never travels in the clear. | [Authentication] | sends tokens over anything | [`credentials`] | 14 |
//! | A method that nobody listed is refused. | [Authentication] | no table of methods | [`method_policy`] | 14 |
//! | A server tells what it serves, and can be called by that alone. | [Reflection] | the server's half | [`reflection`] | 15 |
//! | A backend that is ill gets no calls, until it recovers; all are told of each change. | [Health checking] | balances over the dead; the server's half, with faults | [`health`] | 16 |
//! | What each channel, server and connection does can be read at any time. | [Debugging] | says nothing | [`channelz`] | 17 |
//! | A server stops without losing a call, and in time. | [Graceful shutdown] | waits for a stream without an end; a dropped server's connections go on | [`shutdown`] | 18 |
//! | A dead peer is found in time; one that pings too often is sent away. | [Keepalive] | no limit on pings or idleness; at its max age, with a grace, no GOAWAY | [`keepalive`] | 19 |
//! | Each call is measured, by names that every dashboard knows. | [OpenTelemetry metrics] | measures nothing | [`metrics`] | 20 |
//! | What servers write down of one trace can be put together. | [Trace Context] | passes nothing on | [`trace_context`] | 20 |
//! | A call waits for its server, if it's told to; attempts to connect keep a distance. | [Wait-for-ready] | fails at once, tries with each call | [`wait_for_ready`] | 21 |
//! | A call that fails is made again, as its policy and the server say; one that nobody has seen, in any case. | [Retry] | makes none again | [`retry`] | 22 |
//! | The first answer of several attempts counts; the others stop. | [Request hedging] | sends each call once | [`hedging`] | 23 |
//! | The owner of a service says how its clients call it; a bad config changes nothing. | [Service config] | has none | [`service_config`] | 24 |
//! | A channel finds its servers by a name, and hears of each change. | [Custom name resolution] | one URL, one server; refuses `dns:` | [`resolver`] | 25 |
//! | Calls are spread over all backends that can take them, by a policy that one chooses or writes. | [Custom load balancing policies] | at random, and to the dead; no other policy | [`balance`] | 26, 27 |
//! | A backend tells how busy it is, and gets calls accordingly. | [Custom backend metrics] | no report with a reply; knows no weights | [`orca`] | 28 |
//! | All of the client's promises hold together, on one channel to a name. | [gRPC core concepts] | one connection, or a random one of several | [`channel`] | 21–28 |
//!
//! # How to depend on it
//!
//! By path, with the features that are needed; none is on by default, `full` is all of them, and
//! `light` all that need few crates besides tonic's own. `client` is what a channel is made of; `dns`,
//! which is no module, lets `resolver` ask DNS servers itself. The version of tonic has to be 0.14.
//!
//! ```toml
//! [dependencies]
//! conform = { path = "../grpc-course/conform", features = ["deadline", "status"] }
//! ```
//!
//! # The order of layers
//!
//! A layer covers what stands below it. `metrics` stands outermost on both sides, so that it counts
//! what the others answer too. On a client, from the outside in: `deadline` covers
//! everything, then `cancel`; nothing that decodes an error's details may stand between
//! `error_details` and the channel, and `message_limit`, `status` and `metadata`, which come
//! next, don't. `hedging`, then `retry`, stand below `deadline` and `cancel`, and above `status`: what
//! is below them sees each attempt. On a server `panic` covers everything, `shutdown` stands right
//! inside of it; `deadline` stops the rest; then `cancel`, `message_limit`, and `metadata` next to the
//! handler. Who calls, and whether they may, comes
//! right below `deadline`: `credentials`, then `method_policy`. On a client `credentials` stands
//! there too, so that the deadline covers fetching a token.
//!
//! `health`'s `Pool` is the channel itself: all layers of the client may stand around it, and then
//! `deadline` covers the wait for a healthy backend. Around the channels in it stand only layers
//! that a Watch needs too, and that let it last: no default timeout, and no limit on the server.
//! `channelz` stands beside `metrics`, for the same reason; a subchannel's layer next to its channel.
//! `orca` stands next to the handlers on a server, beside `metadata`, and next to the channel on a
//! client.
//! `wait_for_ready` stands right above the channel, and `service_config` outside of all layers that do
//! what it says. `channel` has all of these in their order already: around it stand `metrics`,
//! `credentials` and `cancel`.
//! `keepalive` is no layer: `enforce` stands around the server's connections, and
//! `ClientKeepalive` makes the channel that the client's layers stand around.
//!
//! ```
//! use std::time::Duration;
//!
//! use conform::cancel::{CancelOnDropLayer, CancellationLayer, DetectAbortedUploadLayer};
//! use conform::deadline::{ClientDeadlineLayer, ServerDeadlineLayer};
//! use conform::error_details::SanitizeDetailsLayer;
//! use conform::message_limit::{ClientMessageLimitLayer, ServerMessageLimitLayer};
//! use conform::metadata::{HeaderLimitLayer, TrailersLayer};
//! use conform::method_policy::{MethodPolicy, MethodPolicyLayer};
//! use conform::metrics::{ClientMetricsLayer, ServerMetricsLayer};
//! use conform::panic::CatchPanicLayer;
//! use conform::status::ClientStatusLayer;
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use opentelemetry_sdk::metrics::SdkMeterProvider;
//! use tokio::net::TcpListener;
//! use tonic::transport::Endpoint;
//! use tonic::{Code, Request, Response, Status};
//! use tower::ServiceBuilder;
//!
//! const MESSAGE: usize = 1024 * 1024;
//! const HEADERS: usize = 8 * 1024;
//!
//! struct Careless;
//!
//! #[tonic::async_trait]
//! impl Greeter for Careless {
//!     async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
//!         match &*request.into_inner().name {
//!             "" => panic!("nobody to greet"),
//!             "Godot" => std::future::pending().await,
//!             name => Ok(Response::new(Greeting { text: format!("Hello, {name}!") })),
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("http://{}", listener.local_addr()?);
//! // Without a reader it collects nothing: see the module `metrics`.
//! let meter = conform::metrics::meter(&SdkMeterProvider::default());
//! let policy = MethodPolicy::<()>::new().allow_anyone("/greeter.v1.Greeter/Greet");
//! let server = conform::server::builder()
//!     .layer(ServerMetricsLayer::new(&meter).method("greeter.v1.Greeter/Greet"))
//!     .layer(CatchPanicLayer::new())
//!     .layer(ServerDeadlineLayer::new().limit(Duration::from_secs(30)))
//!     .layer(MethodPolicyLayer::new(policy))
//!     .layer(CancellationLayer::new())
//!     .layer(DetectAbortedUploadLayer::new())
//!     .layer(ServerMessageLimitLayer::new(MESSAGE))
//!     .layer(TrailersLayer::new())
//!     .add_service(GreeterServer::new(Careless))
//!     .serve_with_incoming(conform::server::incoming(listener));
//! tokio::spawn(server);
//!
//! let channel = ServiceBuilder::new()
//!     .layer(ClientMetricsLayer::new(&meter, &url))
//!     .layer(ClientDeadlineLayer::new().default_timeout(Duration::from_secs(10)))
//!     .layer(CancelOnDropLayer::new())
//!     .layer(SanitizeDetailsLayer::new())
//!     .layer(ClientMessageLimitLayer::new(MESSAGE))
//!     .layer(ClientStatusLayer::new())
//!     .layer(HeaderLimitLayer::new(HEADERS))
//!     .service(Endpoint::from_shared(url)?.connect_lazy());
//! let mut stub = GreeterClient::new(channel);
//!
//! let name = |name: &str| Name { name: name.into() };
//! assert_eq!(stub.greet(name("Ann")).await?.into_inner().text, "Hello, Ann!");
//! assert_eq!(stub.greet(name("")).await.unwrap_err().code(), Code::Unknown);
//! let mut request = Request::new(name("Godot"));
//! request.set_timeout(Duration::from_millis(20));
//! assert_eq!(stub.greet(request).await.unwrap_err().code(), Code::DeadlineExceeded);
//! # Ok(())
//! # }
//! ```
//!
//! # What all layers have in common
//!
//! They are `Layer` and `Service` over `http::Request<tonic::body::Body>`; the response's body
//! may be any. Services are `Clone` when the inner one is, and have `get_ref`, `get_mut` and
//! `into_inner`. Their future is named after them, but for that
//! of `metrics` and `keepalive`, which is `ResponseFuture`, and that of `credentials` and `health`,
//! which is boxed. Settings take effect in any order.
//! Nothing grows without bound. They need tokio, with its timer where time is the subject, and
//! panic only without it. A response that is at its end already, as an error in one block of
//! headers is (*Trailers-Only*), is passed on untouched: other stacks refuse it otherwise.
//!
//! A layer that changes the request's body, such as tower-http's limits, has to stand inside of
//! these, or to be followed by `MapRequestBodyLayer::new(tonic::body::Body::new)`.
//!
//! [tonic]: https://docs.rs/tonic/0.14.9
//! [tower]: https://docs.rs/tower
//! [Deadlines]: https://grpc.io/docs/guides/deadlines/
//! [Cancellation]: https://grpc.io/docs/guides/cancellation/
//! [Status codes]: https://grpc.github.io/grpc/core/md_doc_statuscodes.html
//! [Error handling]: https://grpc.io/docs/guides/error/
//! [Metadata]: https://grpc.io/docs/guides/metadata/
//! [Retry]: https://grpc.io/docs/guides/retry/
//! [Request hedging]: https://grpc.io/docs/guides/request-hedging/
//! [Authentication]: https://grpc.io/docs/guides/auth/
//! [Reflection]: https://grpc.io/docs/guides/reflection/
//! [Health checking]: https://grpc.io/docs/guides/health-checking/
//! [Debugging]: https://grpc.io/docs/guides/debugging/
//! [Graceful shutdown]: https://grpc.io/docs/guides/server-graceful-stop/
//! [Keepalive]: https://grpc.io/docs/guides/keepalive/
//! [OpenTelemetry metrics]: https://grpc.io/docs/guides/opentelemetry-metrics/
//! [Wait-for-ready]: https://grpc.io/docs/guides/wait-for-ready/
//! [Service config]: https://grpc.io/docs/guides/service-config/
//! [Trace Context]: https://www.w3.org/TR/trace-context/
//! [Custom load balancing policies]: https://grpc.io/docs/guides/custom-load-balancing/
//! [Custom name resolution]: https://grpc.io/docs/guides/custom-name-resolution/
//! [Custom backend metrics]: https://grpc.io/docs/guides/custom-backend-metrics/
//! [Connectivity]: https://grpc.github.io/grpc/core/md_doc_connectivity-semantics-and-api.html
//! [gRPC core concepts]: https://grpc.io/docs/what-is-grpc/core-concepts/#channels
//! [gRPC over HTTP/2]: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
//! [RFC 9113]: https://www.rfc-editor.org/rfc/rfc9113#section-10.5

#![deny(missing_docs)]

#[macro_use]
mod inner_service;

#[cfg(feature = "balance")]
pub mod balance;
#[cfg(feature = "cancel")]
pub mod cancel;
#[cfg(feature = "channel")]
pub mod channel;
#[cfg(feature = "channelz")]
pub mod channelz;
#[cfg(feature = "connectivity")]
pub mod connectivity;
#[cfg(feature = "credentials")]
pub mod credentials;
#[cfg(feature = "deadline")]
pub mod deadline;
#[cfg(feature = "error_details")]
pub mod error_details;
#[cfg(feature = "framing")]
pub mod framing;
#[cfg(feature = "health")]
pub mod health;
#[cfg(feature = "hedging")]
pub mod hedging;
#[cfg(feature = "keepalive")]
pub mod keepalive;
#[cfg(feature = "message_limit")]
pub mod message_limit;
#[cfg(feature = "metadata")]
pub mod metadata;
#[cfg(feature = "method_policy")]
pub mod method_policy;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "orca")]
pub mod orca;
#[cfg(feature = "panic")]
pub mod panic;
#[cfg(feature = "reflection")]
pub mod reflection;
#[cfg(feature = "resolver")]
pub mod resolver;
#[cfg(feature = "retry")]
pub mod retry;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "service_config")]
pub mod service_config;
#[cfg(feature = "shutdown")]
pub mod shutdown;
#[cfg(feature = "status")]
pub mod status;
#[cfg(feature = "stream")]
pub mod stream;
#[cfg(feature = "trace_context")]
pub mod trace_context;
#[cfg(feature = "wait_for_ready")]
pub mod wait_for_ready;

#[cfg(feature = "retry")]
mod attempts;
#[cfg(any(
    feature = "health",
    feature = "orca",
    feature = "resolver",
    feature = "wait_for_ready"
))]
mod backoff;
#[cfg(any(feature = "credentials", feature = "reflection"))]
mod checked;
#[cfg(any(feature = "channel", feature = "keepalive", feature = "server"))]
mod frames;
#[cfg(feature = "balance")]
mod json_duration;
#[cfg(any(feature = "deadline", feature = "message_limit"))]
mod per_call;
#[cfg(feature = "retry")]
mod replay;
#[cfg(any(feature = "cancel", feature = "deadline"))]
mod upload;

#[cfg(test)]
mod testing;

/// The page's example is a test too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

#[cfg(test)]
mod tests;
