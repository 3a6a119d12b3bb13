//! A call ends when its deadline passes, with DEADLINE_EXCEEDED, on both sides.
//!
//! # The promise
//!
//! A client says how long it waits for a call. When that time is up the call is over, wherever it
//! stands: the client sees DEADLINE_EXCEEDED, and the server stops working for nobody. A server
//! knows how much time a call has left and passes that on to the calls that it makes itself. So
//! says gRPC's guide [Deadlines]; the header that carries the time is defined in [gRPC over
//! HTTP/2], *Requests*.
//!
//! # What tonic 0.14.9 does
//!
//! * A call whose time is up ends with CANCELLED, "Timeout expired".
//! * The time covers a call until its response's headers come. It covers neither connecting nor the
//!   messages of a stream.
//! * A handler has no means to learn its deadline. A `grpc-timeout` that breaks the grammar is
//!   overlooked.
//! * [`tonic::Request::set_timeout`] panics past 99,999,999 hours.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use conform::deadline::{ClientDeadlineLayer, Deadline, ServerDeadlineLayer};
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use tokio::net::TcpListener;
//! use tonic::transport::server::TcpIncoming;
//! use tonic::transport::{Endpoint, Server};
//! use tonic::{Code, Request, Response, Status};
//! use tower::Layer;
//!
//! struct Slow;
//!
//! #[tonic::async_trait]
//! impl Greeter for Slow {
//!     async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
//!         let deadline = Deadline::of(&request).ok_or(Status::internal("no layer"))?;
//!         // A call that this one depends on has the time that is left.
//!         let mut next = Request::new(Name::default());
//!         deadline.pass_on(&mut next);
//!         // Dropped when the deadline passes.
//!         std::future::pending().await
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
//! tokio::spawn(
//!     Server::builder()
//!         .layer(ServerDeadlineLayer::new().limit(Duration::from_secs(30)))
//!         .add_service(GreeterServer::new(Slow))
//!         .serve_with_incoming(TcpIncoming::from(listener)),
//! );
//!
//! let layer = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(5));
//! let mut stub = GreeterClient::new(layer.layer(endpoint.connect_lazy()));
//! let mut request = Request::new(Name::default());
//! request.set_timeout(Duration::from_millis(20));
//! let status = stub.greet(request).await.unwrap_err();
//! assert_eq!(status.code(), Code::DeadlineExceeded);
//! # Ok(())
//! # }
//! ```
//!
//! # The client's side
//!
//! [`ClientDeadlineLayer`] counts from the call to the stub. Connecting, waiting for a place on the
//! connection, the response's headers, each message of a stream and the status are all covered.
//! When the time is up, the call is dropped, which resets it: also a bidirectional one whose upload
//! is still open. Put it outside of all other layers, so that it covers their time too.
//!
//! The header that travels holds the time that is left when the layer below has room for the call.
//! A [`Channel`](tonic::transport::Channel) takes calls before it has connected; time spent
//! connecting isn't taken off, since nothing above a channel can see it. The server then counts
//! from a later moment than the client; the client's reset ends the call on time all the same.
//!
//! Replies that nobody reads are dropped at the deadline too, and the server hears of it then. Who
//! reads on gets DEADLINE_EXCEEDED.
//!
//! A server that gives up a moment before the client says CANCELLED if it is tonic alone. Within
//! the last millisecond that is taken for the deadline's own doing, as grpc-go takes it.
//!
//! # The server's side
//!
//! [`ServerDeadlineLayer`] puts a [`Deadline`] into the request. When it passes, the handler's
//! future, or the stream that it has returned, is dropped, and the call ends with
//! DEADLINE_EXCEEDED. What the handler has spawned goes on: give it a token of the module `cancel`,
//! or a deadline of its own.
//!
//! That holds against a client that doesn't read, too: the handler's stream is dropped on time. The
//! HTTP/2 stream itself stays open, with what it has of replies, until the client reads or leaves,
//! since the status comes after the replies.
//!
//! Don't set [`Server::timeout`](tonic::transport::Server::timeout): it stands outside of all
//! layers and answers CANCELLED. Use [`limit`](ServerDeadlineLayer::limit).
//!
//! A client that gives up resets its call, and a reset upload looks finished to a handler of tonic:
//! see `DetectAbortedUpload` in the module `cancel`.
//!
//! A `grpc-timeout` that breaks the grammar is refused with INTERNAL, as grpc-go refuses it, and so
//! is a second one beside the first.
//!
//! [Deadlines]: https://grpc.io/docs/guides/deadlines/
//! [gRPC over HTTP/2]: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests

use std::time::Duration;

use tokio::time::Instant;
#[cfg(feature = "wait_for_ready")]
use tonic::codegen::http::Extensions;
#[cfg(any(feature = "retry", feature = "wait_for_ready"))]
use tonic::codegen::http::HeaderMap;
use tonic::{Request, Status};

pub(crate) mod body;
mod client;
mod held;
mod server;
mod timeout;

pub use self::client::{ClientDeadline, ClientDeadlineFuture, ClientDeadlineLayer};
pub use self::server::{ServerDeadline, ServerDeadlineFuture, ServerDeadlineLayer};
#[cfg(feature = "service_config")]
pub(crate) use self::timeout::Timeout;
pub use self::timeout::parse_timeout;

#[cfg(test)]
mod tests;

/// A point in time by which a call must be over.
///
/// What travels is a timeout, the time that is left, so two machines' clocks need not agree. Each
/// side counts from the moment at which it began the call or received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `timeout` from now; `None` if that is further away than the clock can count.
    pub fn after(timeout: Duration) -> Option<Self> {
        Instant::now().checked_add(timeout).map(Self)
    }

    /// The deadline of the call that `request` belongs to, as [`ServerDeadlineLayer`] has set it.
    /// The layers below a [`ClientDeadlineLayer`] find it in the same place.
    ///
    /// `None` if the caller set no deadline and the layer has no limit, or if there is no layer.
    pub fn of<T>(request: &Request<T>) -> Option<Self> {
        request.extensions().get().copied()
    }

    /// How much time is left; zero once the deadline has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether there is no time left.
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// Gives a call that this call depends on the time that is left.
    ///
    /// A timeout that `request` already has stays if it is the smaller one.
    pub fn pass_on<T>(self, request: &mut Request<T>) {
        let left = self.remaining().min(timeout::LONGEST);
        // One that breaks the grammar gives no time to compare with.
        match timeout::read(request.metadata().as_ref()) {
            Ok(Some(own)) if own <= left => {}
            _ => request.set_timeout(left),
        }
    }

    /// The deadline of a call on the client, for the layers below [`ClientDeadlineLayer`]; without
    /// that layer what the caller says, counted from now.
    #[cfg(feature = "wait_for_ready")]
    pub(crate) fn of_call(headers: &HeaderMap, extensions: &Extensions) -> Option<Self> {
        let deadline = extensions.get().copied();
        deadline.or_else(|| Self::after(timeout::read(headers).ok()??))
    }

    /// Tells a server the time that is left.
    #[cfg(any(feature = "retry", feature = "wait_for_ready"))]
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        timeout::write(self.remaining(), headers);
    }

    pub(crate) fn instant(self) -> Instant {
        self.0
    }

    /// Whether the deadline has passed or will within a millisecond, the precision of tokio's
    /// timer.
    fn is_due(self) -> bool {
        self.remaining() <= Duration::from_millis(1)
    }
}

/// How a call ends whose deadline has passed.
pub(crate) fn exceeded() -> Status {
    Status::deadline_exceeded("the deadline has passed")
}
