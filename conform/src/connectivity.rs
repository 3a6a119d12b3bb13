//! What state a channel's connection is in.
//!
//! # The promise
//!
//! A channel is IDLE, CONNECTING, READY, in TRANSIENT_FAILURE or SHUTDOWN, and tells its
//! application: [*gRPC Connectivity Semantics and API*], [core concepts, *Channels*].
//!
//! # What tonic 0.14.9 does
//!
//! It connects, and connects again, without a word:
//!
//! ```compile_fail,E0599
//! # fn ask(channel: tonic::transport::Channel) {
//! let state = channel.get_state();
//! # }
//! ```
//!
//! # Example
//!
//! A connector makes each connection of a channel. This one tells what it does:
//!
//! ```
//! use conform::connectivity::{State, observe};
//! use hyper_util::client::legacy::connect::HttpConnector;
//! use tonic::transport::Endpoint;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), tonic::transport::Error> {
//! let mut connector = HttpConnector::new();
//! connector.set_nodelay(true);
//! let (connector, states) = observe(connector);
//! let channel = Endpoint::from_static("http://127.0.0.1:50051")
//!     .connect_with_connector_lazy(connector);
//!
//! assert_eq!(*states.borrow(), State::Idle);
//! # drop(channel);
//! # Ok(())
//! # }
//! ```
//!
//! To wait for a state: [`states.wait_for(|state| *state ==
//! State::Ready)`](watch::Receiver::wait_for).
//!
//! # What it doesn't know
//!
//! READY means that the other end took the connection, not that it speaks HTTP/2. A connection
//! that the server is about to close is READY until it is closed. And tonic has no backoff:
//! TRANSIENT_FAILURE lasts until the next call, which tries again at once. A channel over
//! several addresses has a state for each.
//!
//! [*gRPC Connectivity Semantics and API*]: https://github.com/grpc/grpc/blob/master/doc/connectivity-semantics-and-api.md
//! [core concepts, *Channels*]: https://grpc.io/docs/what-is-grpc/core-concepts/#channels

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::sync::watch;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

mod guarded_io;
#[cfg(test)]
mod tests;

pub use guarded_io::GuardedIo;

/// The state of a channel.
///
/// A [`watch::Receiver`] of [`observe`] never says SHUTDOWN: it ends, since the channel is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// There is no connection, and no call that would need one.
    Idle,
    /// A connection is being made.
    Connecting,
    /// There is a connection.
    Ready,
    /// The last attempt to connect failed.
    TransientFailure,
    /// The channel was closed, and takes no more calls.
    Shutdown,
}

impl fmt::Display for State {
    /// As gRPC writes it: `TRANSIENT_FAILURE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "IDLE",
            Self::Connecting => "CONNECTING",
            Self::Ready => "READY",
            Self::TransientFailure => "TRANSIENT_FAILURE",
            Self::Shutdown => "SHUTDOWN",
        })
    }
}

/// Watches over a connector. Give the first to [`connect_with_connector_lazy`], and read the
/// second, which knows the newest state: a slow reader misses those between.
///
/// [`connect_with_connector_lazy`]: tonic::transport::Endpoint::connect_with_connector_lazy
pub fn observe<C>(connector: C) -> (Observed<C>, watch::Receiver<State>) {
    let (states, receiver) = watch::channel(State::Idle);
    let observed = Observed {
        inner: connector,
        states,
        newest: Arc::default(),
    };
    (observed, receiver)
}

/// A connector that tells what it does. Clones tell the same receiver.
#[derive(Clone, Debug)]
pub struct Observed<C> {
    inner: C,
    states: watch::Sender<State>,
    newest: Arc<AtomicU64>,
}

inner_service!(Observed<C>);

impl<C: Service<Uri>> Service<Uri> for Observed<C> {
    type Response = GuardedIo<C::Response, Attempt>;
    type Error = C::Error;
    type Future = ObservedFuture<C::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(|error| {
            self.states.send_replace(State::TransientFailure);
            error
        })
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let attempt = Attempt {
            number: 1 + self.newest.fetch_add(1, Ordering::SeqCst),
            newest: self.newest.clone(),
            states: self.states.clone(),
        };
        attempt.report(|_| State::Connecting);
        ObservedFuture {
            connecting: self.inner.call(uri),
            attempt: Some(attempt),
        }
    }
}

pin_project! {
    /// A connection in the making. An error, or a timeout that drops this, ends the attempt.
    pub struct ObservedFuture<F> {
        #[pin]
        connecting: F,
        attempt: Option<Attempt>,
    }
}

impl<F, T, E> Future for ObservedFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<GuardedIo<T, Attempt>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let connected = ready!(this.connecting.poll(cx));
        let Some(attempt) = this.attempt.take() else {
            return Poll::Pending;
        };
        Poll::Ready(connected.map(|stream| {
            attempt.report(|_| State::Ready);
            GuardedIo::new(stream, attempt)
        }))
    }
}

/// One attempt to connect, and the connection that came of it.
#[derive(Debug)]
pub struct Attempt {
    number: u64,
    newest: Arc<AtomicU64>,
    states: watch::Sender<State>,
}

impl Attempt {
    /// Only the newest attempt counts: an old connection may end after a new one has begun.
    fn report(&self, change: impl FnOnce(State) -> State) {
        self.states.send_if_modified(|state| {
            let before = *state;
            if self.newest.load(Ordering::SeqCst) == self.number {
                *state = change(before);
            }
            *state != before
        });
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.report(|state| match state {
            State::Connecting => State::TransientFailure,
            State::Ready => State::Idle,
            other => other,
        });
    }
}
