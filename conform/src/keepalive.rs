//! A dead peer is found in time; a client that pings too often, idles or stays too long is sent
//! away.
//!
//! # The promise
//!
//! A cable that is pulled, a router that forgets, a machine that loses power: none of them says
//! goodbye. Whoever only waits isn't told for ever; whoever sends is told by TCP after a quarter of
//! an hour. So either side sends HTTP/2's PING when nothing has come for a while, and gives the
//! connection up if nothing comes after it: gRPC's guide [Keepalive], gRFCs [A8] (client) and [A9]
//! (server), and [A18] for bytes that TCP can't get rid of. Because pings from a million clients
//! are an attack, a server closes the connection of a client that sends more than it permits: GOAWAY,
//! ENHANCE_YOUR_CALM, `too_many_pings`; the client then pings half as often (A8). A server also
//! closes connections that are idle or old (A9), without harm to calls.
//!
//! # What tonic 0.14.9 does
//!
//! * It answers any number of pings and of SETTINGS, and sees nothing in a GOAWAY that asks for fewer.
//! * It has no limit by idleness. [`max_connection_age`] has no jitter, and with a grace beside it no
//!   GOAWAY is sent: the calls that are open then are cut.
//! * A client sends no pings for replies that have outlived the last handle of their channel: the
//!   reader waits for ever.
//! * A server that finds a peer dead while it has something to send to it doesn't close the
//!   connection: it waits until its last GOAWAY can be sent.
//! * The timeouts exist: [`http2_keepalive_interval`] on a server, [`http2_keep_alive_interval`] and
//!   more on an [`Endpoint`](tonic::transport::Endpoint). All are off by default.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use conform::keepalive::{ClientKeepalive, enforce};
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use tokio::net::TcpListener;
//! use tonic::transport::Endpoint;
//! use tonic::{Request, Response, Status};
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
//! let incoming = enforce(conform::server::incoming(listener))
//!     .min_ping_time(Duration::from_secs(60))
//!     .max_connection_age(Duration::from_secs(30 * 60))
//!     .max_connection_age_grace(Duration::from_secs(5 * 60))
//!     .on_close(|closed| println!("a connection has ended: {closed}"));
//! tokio::spawn(
//!     conform::server::builder()
//!         .http2_keepalive_interval(Some(Duration::from_secs(60)))
//!         .http2_keepalive_timeout(Some(Duration::from_secs(20)))
//!         .add_service(GreeterServer::new(Polite))
//!         .serve_with_incoming(incoming),
//! );
//!
//! let channel = ClientKeepalive::new(Duration::from_secs(60))
//!     .timeout(Duration::from_secs(20))
//!     .connect_lazy(endpoint);
//! let mut stub = GreeterClient::new(channel);
//! let name = "Ann".to_owned();
//! assert_eq!(stub.greet(Name { name }).await?.into_inner().text, "Hello, Ann!");
//! # Ok(())
//! # }
//! ```
//!
//! # The server's side
//!
//! [`enforce`] takes any stream of connections and gives one of [`Enforced`] connections, so it can
//! stand around [`server::incoming`](crate::server::incoming) and be wrapped again. It reads
//! along: which calls are open, which pings come. It puts frames of its own between those of tonic:
//!
//! * *Pings*: gRFC A8's algorithm, as grpc-core and grpc-go have it. The third ping that comes too
//!   early ends the connection, with its calls. Too early is: less than
//!   [`min_ping_time`](Enforce::min_ping_time) after the one before; with no call open and
//!   [`permit_without_calls`](Enforce::permit_without_calls) off, less than two hours. Headers and
//!   messages that the server sends set this back.
//! * *Answers*: HTTP/2 has the server answer each SETTINGS and each PING, which costs the client nothing
//!   (CVE-2019-9512, CVE-2019-9515). Past 2,000 of them, and 100 more a second, and one more for each
//!   piece that the server sends, the connection ends with ENHANCE_YOUR_CALM. This limit is always on.
//! * *Idle* and *age*: GOAWAY, which refuses nothing yet, and a ping. Once that is answered (or after
//!   five seconds) the client knows; calls that waited behind its answer may still come for a second.
//!   Once the calls that it had begun by then are over, or the grace is, the connection ends with a
//!   second GOAWAY. So no call is lost to idleness, and to age only past the grace; what a client
//!   begins later than that, though it knows, holds nothing up and is cut. The second GOAWAY names
//!   the last call that the server was given, so that none that ran is made again.
//!
//! The server's own pings are tonic's: [`server::builder`](crate::server::builder) has gRFC A9's
//! numbers, two hours and twenty seconds. [`write_timeout`](Enforce::write_timeout) makes the end
//! certain.
//!
//! # The client's side
//!
//! [`ClientKeepalive`] makes a channel with pings, which doubles its time when a server asks for
//! that, and keeps the connection's handle as long as replies are read. Put
//! [`ClientStatusLayer`](crate::status::ClientStatusLayer) around it: tonic says UNKNOWN to a stream
//! whose connection is found dead.
//!
//! # TCP_USER_TIMEOUT
//!
//! On Linux and Android, A18: bytes that the peer's machine hasn't acknowledged for so long end the
//! connection. [`ClientKeepalive`] sets it to its timeout,
//! [`server::incoming`](crate::server::incoming) to 20 seconds; for other sockets there is
//! [`set_tcp_user_timeout`].
//!
//! # What it can't do
//!
//! * Inside TLS nothing can be seen from outside. Around connections that tonic itself makes TLS of
//!   (`tls_config`), [`enforce`] keeps [`write_timeout`](Enforce::write_timeout) and nothing else. Put it
//!   around [`credentials::accept_tls`], and all of it works. A client with `tls_config` pings and finds
//!   a dead server in time, but doesn't hear `too_many_pings`, unless its connector makes the TLS.
//! * HTTP/1 has no pings and no GOAWAY: such connections pass as they are.
//! * h2 logs a warning at the answer to the ping that follows a GOAWAY, one a connection: "recv PING
//!   ack that we never sent".
//! * A peer whose machine is alive and answers pings, but whose program hangs, isn't dead. That's what
//!   health checking is for.
//!
//! [Keepalive]: https://grpc.io/docs/guides/keepalive/
//! [A8]: https://github.com/grpc/proposal/blob/master/A8-client-side-keepalive.md
//! [A9]: https://github.com/grpc/proposal/blob/master/A9-server-side-conn-mgt.md
//! [A18]: https://github.com/grpc/proposal/blob/master/A18-tcp-user-timeout.md
//! [`credentials::accept_tls`]: crate::credentials::accept_tls
//! [`max_connection_age`]: tonic::transport::Server::max_connection_age
//! [`http2_keepalive_interval`]: tonic::transport::Server::http2_keepalive_interval
//! [`http2_keep_alive_interval`]: tonic::transport::Endpoint::http2_keep_alive_interval

use std::fmt;
use std::io;
use std::time::Duration;

mod client;
mod connection;
mod enforce;
mod limits;

pub use self::client::{ClientKeepalive, KeepaliveBody, KeepaliveChannel, ResponseFuture};
pub use self::connection::Enforced;
pub use self::enforce::{Enforce, enforce};

#[cfg(feature = "server")]
pub(crate) use self::limits::Settings;

#[cfg(test)]
mod tests;

/// How long a peer may take to answer a ping: 20 seconds (gRFCs A8, A9, A18).
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// How often a client may ping a server: every 5 minutes (gRFC A8, PERMIT_KEEPALIVE_TIME).
pub const MIN_PING_TIME: Duration = Duration::from_secs(5 * 60);

/// The least time between a client's pings: 10 seconds (gRFC A8, KEEPALIVE_TIME).
pub const MIN_CLIENT_TIME: Duration = Duration::from_secs(10);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Closed {
    /// The client has closed or reset it.
    ByPeer,
    /// The server has: it was told to stop, or the client broke the rules of HTTP/2.
    ByServer,
    /// Reading or writing failed: TCP_USER_TIMEOUT, for example.
    Broken,
    /// The server has given it up: the client answered no ping.
    NoAnswer,
    /// The client took nothing for [`Enforce::write_timeout`].
    WriteTimeout,
    /// The client sent more pings than it may.
    TooManyPings,
    /// The client sent more SETTINGS and pings than anybody needs, each of which has to be answered.
    TooManyAnswers,
    /// It had no calls for [`Enforce::max_connection_idle`].
    MaxIdle,
    /// It was older than [`Enforce::max_connection_age`].
    MaxAge,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ByPeer => "closed by the client",
            Self::ByServer => "closed by the server",
            Self::Broken => "broken",
            Self::NoAnswer => "no answer to a ping",
            Self::WriteTimeout => "the client takes nothing",
            Self::TooManyPings => "too_many_pings",
            Self::TooManyAnswers => "too_many_answers",
            Self::MaxIdle => "max_idle",
            Self::MaxAge => "max_age",
        })
    }
}

/// Has the operating system end the connection when the peer's machine hasn't acknowledged what was
/// sent for `timeout`: TCP_USER_TIMEOUT, gRFC A18. `false` where there is no such option: it's there
/// on Linux and Android.
///
/// # Errors
///
/// If the operating system refuses.
pub fn set_tcp_user_timeout(stream: &tokio::net::TcpStream, timeout: Duration) -> io::Result<bool> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        socket2::SockRef::from(stream).set_tcp_user_timeout(Some(timeout))?;
        Ok(true)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (stream, timeout);
        Ok(false)
    }
}
