//! A server tells whether it can take calls, and a client keeps away from one that can't.
//!
//! # The promise
//!
//! A server says how it does, as a whole and for each of its services, to whoever asks once (Check),
//! asks for all of them (List), or wants to hear of each change (Watch). A client that watches its
//! backends sends no call to one before that is SERVING, none while it isn't, and comes back once
//! it is. So says gRPC's guide [Health checking]; the service is defined in [health.proto], what a
//! client does in [gRFC A17].
//!
//! # What tonic 0.14.9 does
//!
//! The crate tonic-health has the server's half:
//!
//! * Watch for a service that isn't known ends with NOT_FOUND. The caller should be told
//!   SERVICE_UNKNOWN and be kept: the service may be known later.
//! * There's no List, no `shutdown` that overrides what the rest of the program says, and no limit
//!   on those who watch. A Watch never ends, and with it neither does a graceful shutdown.
//! * A status that is set again to what it was is sent again.
//!
//! tonic has nothing of the client's half. Its `Channel::balance_list` goes on calling a backend
//! that is dead or says that it's ill.
//!
//! # Example
//!
//! ```
//! use conform::health::{self, Health, Pool, ServingStatus};
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer, SERVICE_NAME};
//! use greeter::{Greeting, Name};
//! use tokio::net::TcpListener;
//! use tonic::transport::server::TcpIncoming;
//! use tonic::transport::{Endpoint, Server};
//! use tonic::{Code, Request, Response, Status};
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
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
//! let (reporter, service) = health::server();
//! reporter.set(SERVICE_NAME, ServingStatus::Serving);
//! tokio::spawn(
//!     Server::builder()
//!         .add_service(service)
//!         .add_service(GreeterServer::new(Polite))
//!         .serve_with_incoming(TcpIncoming::from(listener)),
//! );
//!
//! // As many backends as there are; here it's one.
//! let pool = Pool::new([("ours", endpoint.connect_lazy())], SERVICE_NAME);
//! let mut stub = GreeterClient::new(pool.clone());
//! let ann = Name { name: "Ann".into() };
//! assert_eq!(stub.greet(ann.clone()).await?.into_inner().text, "Hello, Ann!");
//!
//! reporter.set(SERVICE_NAME, ServingStatus::NotServing);
//! pool.health().wait_for(|health| !health[0].is_healthy()).await?;
//! let status = stub.greet(ann.clone()).await.unwrap_err();
//! assert_eq!(status.code(), Code::Unavailable);
//! assert_eq!(status.message(), "no backend is healthy: ours (NOT_SERVING)");
//!
//! reporter.set(SERVICE_NAME, ServingStatus::Serving);
//! pool.health().wait_for(|health| health[0] == Health::Serving).await?;
//! assert!(stub.greet(ann).await.is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! # The server's side
//!
//! [`server()`] makes the service, and a [`Reporter`] for the program: it says SERVING when it can
//! work, and NOT_SERVING when something that it needs is gone. A Watch always tells the newest
//! status, but may leave out those between, if its reader is slow; it costs one entry however long
//! nobody reads.
//!
//! To stop: [`Reporter::shutdown`], wait until clients have gone elsewhere, then
//! [`Reporter::close`] in the moment at which the connections get their GOAWAY, and drain. Whoever
//! forgets `close` waits for [`SHUTDOWN_GRACE`], not for ever.
//!
//! Watch is a call without an end, so a limit on the time of calls ends it, such as
//! `ServerDeadlineLayer::limit`. The client asks again at once, but takes the backend for ill until
//! the answer comes.
//!
//! # The client's side
//!
//! There are three ways to keep away from backends that are ill; take the first that fits:
//!
//! 1. The module `channel`, with `"healthCheckConfig": { "serviceName": … }` in its service config and
//!    a policy other than `pick_first`. It finds its backends by a name.
//! 2. [`Pool`], a channel over a few backends that the program knows, which calls the healthy ones in
//!    turn.
//! 3. [`HealthWatch`], which watches one connection, for a balancer of your own.
//!
//! A plain channel, to one backend, doesn't ask how that does, and neither does gRPC's own
//! `pick_first`: there is nobody else to call.
//!
//! Between two attempts to watch a backend lie the waits of the [connection backoff protocol]: 1 s
//! from the beginning of one attempt to that of the next, 1.6 times as much after each failure, up
//! to 120 s, each give or take a fifth. If a Watch ends that had an answer, the next begins at once;
//! but only once a second, which A17 doesn't say: a server whose Watch ends after each answer would
//! be called without a pause.
//!
//! A backend without the service (UNIMPLEMENTED) counts as healthy, [`Health::Unchecked`], and isn't
//! asked again before a call to it has failed in transport.
//!
//! # What it can't do
//!
//! * A service that the server doesn't know (SERVICE_UNKNOWN) is ill, as A17 has it: one slip in its
//!   name, and no backend gets calls.
//! * A call that was sent just before the news came still reaches the ill backend: it may fail.
//! * A server that goes silent with its connection open stays SERVING: use HTTP/2's keepalive.
//! * A channel hides its connections, so the Watch that A17 cancels at a GOAWAY goes on until the
//!   server ends it.
//! * Each Watch is one of the calls that a connection may have open (MAX_CONCURRENT_STREAMS).
//! * Strangers who hold [`MAX_WATCHERS`] calls of Watch keep the next client from watching, and it
//!   takes the backend for ill. Let only those ask whom you know, or serve health on an address of
//!   its own.
//!
//! [Health checking]: https://grpc.io/docs/guides/health-checking/
//! [health.proto]: https://github.com/grpc/grpc-proto/blob/master/grpc/health/v1/health.proto
//! [gRFC A17]: https://github.com/grpc/proposal/blob/master/A17-client-side-health-checking.md
//! [connection backoff protocol]: https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md

mod client;
mod pool;
mod server;

/// Messages, stub and server of `grpc/health/v1/health.proto`, as tonic generates them.
#[rustfmt::skip]
#[path = "health/generated.rs"]
pub mod pb;

pub use crate::backoff::{BACKOFF_JITTER, BACKOFF_MULTIPLIER, INITIAL_BACKOFF, MAX_BACKOFF};

pub use self::client::{FIRST_ANSWER_TIMEOUT, Health, HealthWatch};
pub use self::pb::health_check_response::ServingStatus;
pub use self::pool::Pool;
pub use self::server::{
    HealthService, MAX_LISTED, MAX_UNKNOWN_NAME, MAX_WATCHERS, Reporter, SHUTDOWN_GRACE, server,
};

#[cfg(test)]
mod tests;
