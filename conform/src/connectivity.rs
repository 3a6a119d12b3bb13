//! Shows what state a channel's connection is in. tonic knows, and doesn't tell.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tonic::codegen::http::Uri;
use tonic::codegen::{BoxFuture, Service};

mod guarded_io;

pub use guarded_io::GuardedIo;

/// The state of a channel, as in gRPC's document "Connectivity Semantics and API".
///
/// Its fifth state, SHUTDOWN, is the end of the [`watch::Receiver`]: the channel is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is no connection, and no call that would need one.
    Idle,
    /// A connection is being made.
    Connecting,
    /// There is a connection.
    Ready,
    /// The last attempt to connect failed.
    TransientFailure,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "IDLE",
            Self::Connecting => "CONNECTING",
            Self::Ready => "READY",
            Self::TransientFailure => "TRANSIENT_FAILURE",
        })
    }
}

/// Watches over a connector. Give the first to [`connect_with_connector_lazy`], and read the
/// second.
///
/// The second knows the newest state, not all that were: whoever looks seldom misses some. It
/// knows less than a channel of gRPC's other libraries. READY means that the other end took the
/// connection, not that it speaks HTTP/2. A connection that the server is about to close is
/// READY until it is closed. And there is no backoff: TRANSIENT_FAILURE lasts until the next
/// call, which tries again at once.
///
/// [`connect_with_connector_lazy`]: tonic::transport::Endpoint::connect_with_connector_lazy
pub fn observe<C>(connector: C) -> (Observed<C>, watch::Receiver<State>) {
    let (states, receiver) = watch::channel(State::Idle);
    let observed = Observed {
        connector,
        states,
        newest: Arc::default(),
    };
    (observed, receiver)
}

/// A connector that tells what it does.
#[derive(Debug)]
pub struct Observed<C> {
    connector: C,
    states: watch::Sender<State>,
    newest: Arc<AtomicU64>,
}

impl<C, T> Service<Uri> for Observed<C>
where
    C: Service<Uri, Response = TokioIo<T>, Future: Send + 'static>,
{
    type Response = TokioIo<GuardedIo<T, Attempt>>;
    type Error = C::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let attempt = Attempt {
            number: 1 + self.newest.fetch_add(1, Ordering::SeqCst),
            newest: self.newest.clone(),
            states: self.states.clone(),
        };
        attempt.report(|_| State::Connecting);
        let connecting = self.connector.call(uri);
        Box::pin(async move {
            // An error, or a timeout that drops this future, drops the attempt.
            let stream = connecting.await?.into_inner();
            attempt.report(|_| State::Ready);
            Ok(TokioIo::new(GuardedIo::new(stream, attempt)))
        })
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
