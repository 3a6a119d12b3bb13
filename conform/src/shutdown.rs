//! A server stops in order: nothing is lost, and it is over in time.
//!
//! # The promise
//!
//! A server that is told to stop takes no new calls, finishes those that it has, and tells its
//! clients, so that they go elsewhere ([the guide to graceful shutdown]). What isn't done in time is
//! broken off. For a load balancer that asks before it sends, the server is not serving a while
//! before that: "Servers should … set all services to NOT_SERVING" ([Health checking]). On the wire,
//! GOAWAY does it ([RFC 9113], section 6.8): one that names no stream yet, then, after a round trip,
//! one with the last stream that counts; so no call is lost on the way.
//!
//! # What tonic 0.14.9 does
//!
//! `serve_with_incoming_shutdown` closes the listener, sends GOAWAY, and waits until all calls have
//! ended: for ever, if there's a stream that doesn't end, or a client that says nothing. To drop a
//! server in place of that closes nothing: each connection is a task of its own, which goes on
//! serving for as long as the process lives. (One of `serve_with_incoming_shutdown` sends GOAWAY
//! then, and nobody waits.) There is no way to close it by force, and handlers aren't told.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use conform::health;
//! use conform::shutdown::{Draining, Ended, Shutdown};
//! use futures::StreamExt;
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use tokio::net::TcpListener;
//! use tonic::codegen::BoxStream;
//! use tonic::{Code, Request, Response, Status};
//!
//! struct Endless;
//!
//! #[tonic::async_trait]
//! impl Greeter for Endless {
//!     async fn greet_often(
//!         &self,
//!         request: Request<Name>,
//!     ) -> Result<Response<BoxStream<Greeting>>, Status> {
//!         let draining = Draining::of(&request);
//!         let greetings = futures::stream::repeat(Ok(Greeting::default()));
//!         // Without this, it would be broken off after the limit.
//!         Ok(Response::new(Box::pin(draining.end(greetings))))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("http://{}", listener.local_addr()?);
//! let (reporter, health) = health::server();
//! let (on_goaway, last) = (reporter.clone(), Duration::from_secs(20));
//! let shutdown = Shutdown::new()
//!     .on_not_serving(move || reporter.shutdown())
//!     .notice(Duration::from_millis(10))
//!     .on_goaway(move || on_goaway.close())
//!     .limit(last);
//! let server = conform::server::builder()
//!     .layer(shutdown.layer())
//!     .add_service(health)
//!     .add_service(GreeterServer::new(Endless))
//!     .serve_with_incoming_shutdown(
//!         shutdown.incoming(conform::server::incoming(listener)),
//!         shutdown.goaway(),
//!     );
//! // In a program: `Signals::new()?`.
//! let (stop, signals) = futures::channel::mpsc::unbounded::<&str>();
//! let server = tokio::spawn(shutdown.serve(server, signals));
//!
//! let mut stub = GreeterClient::connect(url).await?;
//! let mut greetings = stub.greet_often(Name::default()).await?.into_inner();
//! assert!(greetings.message().await?.is_some());
//! stop.unbounded_send("SIGTERM")?;
//! let end = loop {
//!     if let Err(status) = greetings.message().await {
//!         break status;
//!     }
//! };
//! assert_eq!(end.code(), Code::Unavailable);
//! assert_eq!(server.await??, Ended::Drained);
//! # Ok(())
//! # }
//! ```
//!
//! # The order
//!
//! 1. The first signal. [`on_not_serving`](Shutdown::on_not_serving): whoever asks for health hears
//!    NOT_SERVING. Calls are served as before.
//! 2. [`notice`](Shutdown::notice) later, [`on_goaway`](Shutdown::on_goaway), and GOAWAY on all
//!    connections. The listener is closed. Each [`Draining`] has begun, so that streams without an
//!    end come to one.
//! 3. All calls have ended: [`Ended::Drained`].
//! 4. Or [`limit`](Shutdown::limit) after the GOAWAY: calls that are left end with UNAVAILABLE, and
//!    connections whose client doesn't even read that are closed a moment later. A second signal
//!    closes them at once. [`Ended::Forced`] counts both.
//!
//! Give the two times less, together, than whoever starts your process gives it: Kubernetes kills
//! after 30 s unless told otherwise. The defaults are [`NOTICE`] and [`LIMIT`].
//!
//! # A new process on the same address
//!
//! Nothing is refused in between if both listen on one socket that outlives the old process: its
//! queue holds connections that nobody has accepted. Inherit it (as inetd and systemd do it), or
//! let a parent hold it. Two sockets that share the port (SO_REUSEPORT) have a queue each, and what
//! waits in the old one's is reset when it closes.
//!
//! # What it can't do
//!
//! * A blocking thread isn't stopped: it has to look whether its call is over. A
//!   runtime waits for its blocking threads: use `Runtime::shutdown_timeout`, or leave the
//!   process.
//! * A call that a client sends in the moment of GOAWAY comes back to it unprocessed. gRPC's
//!   clients send it again by themselves (*transparent retry*); tonic's says CANCELLED.
//!
//! [the guide to graceful shutdown]: https://grpc.io/docs/guides/server-graceful-stop/
//! [Health checking]: https://grpc.io/docs/guides/health-checking/
//! [RFC 9113]: https://www.rfc-editor.org/rfc/rfc9113#section-6.8

use std::fmt;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures::future::{Either, pending, select};
use futures::{Stream, StreamExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

mod connection;
mod count;
mod draining;
mod layer;
mod signals;

#[cfg(test)]
mod tests;

pub use self::connection::{Connection, Incoming};
pub use self::draining::{Draining, DrainingStream};
pub use self::layer::{Drain, DrainFuture, DrainLayer};
pub use self::signals::{Signal, Signals};

use self::count::Count;

/// How long a server goes on as before, once it has said NOT_SERVING: 5 s, unless told otherwise.
///
/// Kubernetes and most load balancers need a few seconds until no new call comes.
pub const NOTICE: Duration = Duration::from_secs(5);

/// How long calls may take to end after GOAWAY: 20 s, unless told otherwise. With [`NOTICE`] that's
/// less than the 30 s after which Kubernetes kills.
pub const LIMIT: Duration = Duration::from_secs(20);

/// How long it takes, at most, to tell those that are broken off.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Stops a server in order. See the [module](self).
#[must_use]
pub struct Shutdown {
    notice: Duration,
    limit: Duration,
    not_serving: Action,
    goaway: Action,
    forced: Action,
    stages: Stages,
}

type Action = Box<dyn FnOnce() + Send>;

/// What calls and connections look at.
#[derive(Clone, Debug, Default)]
struct Stages {
    /// Clients are told to go.
    goaway: CancellationToken,
    /// Calls are broken off.
    end_calls: CancellationToken,
    /// Connections are closed.
    close: CancellationToken,
    calls: Count,
    connections: Count,
}

/// How a server has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nobody has told it to.
    ByItself,
    /// All calls had ended.
    Drained,
    /// Not in time, or there was a second signal.
    Forced {
        /// How many calls were broken off.
        calls: usize,
        /// How many connections were open then.
        connections: usize,
    },
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// With [`NOTICE`] and [`LIMIT`], and nobody to be told.
    pub fn new() -> Self {
        Self {
            notice: NOTICE,
            limit: LIMIT,
            not_serving: Box::new(|| ()),
            goaway: Box::new(|| ()),
            forced: Box::new(|| ()),
            stages: Stages::default(),
        }
    }

    /// How long the server goes on as before, after the first signal.
    pub fn notice(self, notice: Duration) -> Self {
        Self { notice, ..self }
    }

    /// How long calls may take to end, after GOAWAY.
    pub fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// What is to be done at the first signal: say NOT_SERVING.
    pub fn on_not_serving(self, action: impl FnOnce() + Send + 'static) -> Self {
        let not_serving = Box::new(action);
        Self {
            not_serving,
            ..self
        }
    }

    /// What is to be done right before GOAWAY.
    pub fn on_goaway(self, action: impl FnOnce() + Send + 'static) -> Self {
        let goaway = Box::new(action);
        Self { goaway, ..self }
    }

    /// What is to be done right before calls are broken off.
    pub fn on_forced(self, action: impl FnOnce() + Send + 'static) -> Self {
        let forced = Box::new(action);
        Self { forced, ..self }
    }

    /// A layer that tells handlers ([`Draining`]), counts calls, and breaks them off in the end. Its
    /// place is near to the outside: inside of `panic`, outside of everything else.
    pub fn layer(&self) -> DrainLayer {
        DrainLayer::new(self.stages.clone())
    }

    /// The same connections, which can be closed by force now.
    pub fn incoming<I>(&self, incoming: I) -> Incoming<I> {
        Incoming::new(incoming, self.stages.clone())
    }

    /// For `serve_with_incoming_shutdown`: the moment of GOAWAY.
    pub fn goaway(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stages.goaway.clone().cancelled_owned()
    }

    /// Serves until `signals` has an item, then stops in order; the next one ends it at once.
    ///
    /// `server` has to have this shutdown's [`layer`](Self::layer), its
    /// [`incoming`](Self::incoming) and its [`goaway`](Self::goaway): without one of the three the
    /// rest still holds, but what that one does isn't done.
    ///
    /// # Errors
    ///
    /// The server's own.
    pub async fn serve<E>(
        self,
        server: impl Future<Output = Result<(), E>>,
        signals: impl Stream,
    ) -> Result<Ended, E> {
        let Self {
            notice,
            limit,
            not_serving,
            goaway,
            forced,
            stages,
        } = self;
        let (mut server, mut signals) = (pin!(server), pin!(signals));

        if let Either::Left((result, _)) = select(server.as_mut(), pin!(next(&mut signals))).await {
            return result.map(|()| Ended::ByItself);
        }
        not_serving();
        let again = match select(server.as_mut(), pin!(within(notice, &mut signals))).await {
            Either::Left((result, _)) => return result.map(|()| Ended::ByItself),
            Either::Right((again, _)) => again,
        };
        goaway();
        stages.goaway.cancel();
        let limit = if again { Duration::ZERO } else { limit };
        let again = match select(server.as_mut(), pin!(within(limit, &mut signals))).await {
            Either::Left((result, _)) => return result.map(|()| Ended::Drained),
            Either::Right((second, _)) => again || second,
        };
        forced();
        let ended = Ended::Forced {
            calls: stages.calls.get(),
            connections: stages.connections.get(),
        };
        stages.end_calls.cancel();
        if again {
            stages.close.cancel();
        }
        for _ in 0..2 {
            if let Ok(result) = timeout(LAST_WORDS, server.as_mut()).await {
                return result.map(|()| ended);
            }
            stages.close.cancel();
        }
        Ok(ended)
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("notice", &self.notice)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Whether a signal comes in this time.
async fn within<S: Stream>(time: Duration, signals: &mut Pin<&mut S>) -> bool {
    timeout(time, next(signals)).await.is_ok()
}

/// The next signal. To have no more of them isn't one.
async fn next<S: Stream>(signals: &mut Pin<&mut S>) {
    if signals.next().await.is_none() {
        pending().await
    }
}
