//! A server whose connections have limits: none of them can use it up.
//!
//! # The promise
//!
//! A server goes on serving, whatever comes over one connection. HTTP/2 gives it the means: a
//! limit on the calls that are open at once ([RFC 9113], section 5.1.2), on the size of headers
//! (section 6.5.2), and the right to close a connection that costs too much (section 10.5,
//! *Denial-of-Service Considerations*). [gRPC over HTTP/2] asks servers to limit the size of
//! headers too.
//!
//! # What tonic 0.14.9 does
//!
//! * [`Server::builder`] sets no limit on open calls, though hyper's own default is 200: a stranger
//!   held 30,000 on one connection. It also takes away hyper's limit on streams that the server
//!   itself had to reset.
//! * There is no limit on connections, and no time by which one has to begin a call, or the next one.
//!   Two thousand silent ones are kept for ever; a process with 128 descriptors is full after two
//!   hundred. So are those whose client has lost power.
//! * A peer may send SETTINGS and pings without end, and each is answered (CVE-2019-9515, -9512).
//! * An error in accepting, such as a lack of descriptors, is tried again at once: the server
//!   spins.
//! * A listener that is handed over is served without TCP_NODELAY.
//!
//! # Example
//!
//! Write [`builder()`] for `Server::builder()`, and hand [`incoming()`] over in place of the
//! listener:
//!
//! ```
//! use std::time::Duration;
//!
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use tokio::net::TcpListener;
//! use tonic::{Request, Response, Status};
//!
//! struct Polite;
//!
//! #[tonic::async_trait]
//! impl Greeter for Polite {
//!     async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
//!         let Name { name } = request.into_inner();
//!         let text = format!("Hello, {name}!");
//!         Ok(Response::new(Greeting { text }))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("http://{}", listener.local_addr()?);
//! let incoming = conform::server::incoming(listener)
//!     .max_connections(1000)
//!     .first_request_timeout(Duration::from_secs(5));
//! tokio::spawn(
//!     conform::server::builder()
//!         .add_service(GreeterServer::new(Polite))
//!         .serve_with_incoming(incoming),
//! );
//!
//! let mut stub = GreeterClient::connect(url).await?;
//! let name = "Ann".to_owned();
//! assert_eq!(stub.greet(Name { name }).await?.into_inner().text, "Hello, Ann!");
//! # Ok(())
//! # }
//! ```
//!
//! # What one connection can cost
//!
//! Open calls, times the bytes of one message that has come in part: 200 × 4 MiB, with tonic's
//! limit for a message. Lower [`max_concurrent_streams`](Server::max_concurrent_streams), or the
//! service's `max_decoding_message_size`, if that is too much; beside it there are 1 MiB of
//! received bytes (hyper's window), and 16 KiB of headers for each call.
//!
//! Frames that have to be answered are counted as [`keepalive`] has it.
//!
//! # What it doesn't do
//!
//! * A connection is closed once it has been without a call for [`MAX_CONNECTION_IDLE`], or once
//!   nothing answers at its other end for [`KEEPALIVE_TIME`]. One whose client calls now and then stays:
//!   a limit by age is [`enforce`](crate::keepalive::enforce)'s, and so is one on pings.
//! * So one client that opens all connections and uses them keeps the others out, silently: they wait
//!   in the listener's queue. Who a client is can only be told by authentication, or by a proxy that
//!   counts by address. Choose [`max_connections`](Incoming::max_connections) above the number of
//!   your clients, and below that of your descriptors.
//! * All connections together may cost what one costs, times their number. With the defaults that's
//!   512 × 200 × 4 MiB, more than any machine has. The product of the three numbers is yours to
//!   choose.
//! * Inside TLS a call can't be seen from here: the time then covers the handshake, up to the first
//!   byte after it, and neither idleness nor frames to answer have a limit. Put
//!   [`enforce`](crate::keepalive::enforce) around [`accept_tls`](crate::credentials::accept_tls) for that.
//! * A client that connects early and calls late is disconnected in between, and connects again
//!   when it calls. A call in the very moment of closing fails, as it does whenever a connection
//!   closes. A client that connects again at once though it has nothing to call, as balancing
//!   clients of other languages do, is disconnected every [`FIRST_REQUEST_TIMEOUT`].
//!
//! [RFC 9113]: https://www.rfc-editor.org/rfc/rfc9113
//! [gRPC over HTTP/2]: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests

use std::time::Duration;

use tokio::net::TcpListener;
use tonic::transport::Server;

use crate::keepalive;

mod connection;
mod first_call;
mod incoming;

pub use self::connection::Connection;
pub use self::incoming::{FIRST_REQUEST_TIMEOUT, Incoming, MAX_CONNECTION_IDLE, MAX_CONNECTIONS};

#[cfg(test)]
mod tests;

/// How many calls may be open at once on one connection: 200, hyper's own default.
///
/// RFC 9113, section 6.5.2, recommends no fewer than 100. A call past the limit is refused with
/// REFUSED_STREAM, which a client may try again; clients that know the limit queue.
pub const MAX_CONCURRENT_STREAMS: u32 = 200;

/// How many streams that the server itself had to reset, for a fault of the peer, are borne: 1024,
/// hyper's own default. Past it the connection is closed.
pub const MAX_LOCAL_ERROR_RESET_STREAMS: usize = 1024;

/// How many streams a peer may open and reset before the server has looked at them: 20, h2's own
/// default. Past it the connection is closed. See CVE-2023-44487, *rapid reset*.
pub const MAX_PENDING_ACCEPT_RESET_STREAMS: usize = 20;

/// How many bytes the headers of one call may have, counted as RFC 9113, section 6.5.2, counts
/// them: 16 KiB, hyper's own default.
///
/// gRPC over HTTP/2 suggests 8 KiB as a server's default. A call past it is answered with the
/// HTTP status 431.
pub const MAX_HEADER_LIST_SIZE: u32 = 16 * 1024;

/// After how much silence a connection's client is pinged: 2 hours (gRFC A9, KEEPALIVE_TIME).
///
/// It gets [`keepalive::TIMEOUT`] to answer. Set
/// [`http2_keepalive_interval`](Server::http2_keepalive_interval) lower where dead clients hold what
/// others need.
pub const KEEPALIVE_TIME: Duration = Duration::from_secs(2 * 60 * 60);

/// tonic's [`Server::builder`], with the limits of this module. Each may be set again.
pub fn builder() -> Server {
    Server::builder()
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .http2_max_local_error_reset_streams(Some(MAX_LOCAL_ERROR_RESET_STREAMS))
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_ACCEPT_RESET_STREAMS))
        .http2_max_header_list_size(MAX_HEADER_LIST_SIZE)
        .http2_keepalive_interval(Some(KEEPALIVE_TIME))
        .http2_keepalive_timeout(Some(keepalive::TIMEOUT))
}

/// The connections to `listener`, with TCP_NODELAY, a limit on how many there are, and a time by
/// which each has to begin a call. For `serve_with_incoming` and `serve_with_incoming_shutdown`.
pub fn incoming(listener: TcpListener) -> Incoming {
    Incoming::new(listener)
}
