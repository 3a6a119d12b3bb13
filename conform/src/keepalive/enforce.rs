//! The stream of connections under limits, and its numbers.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Enforced, OnClose};
use super::limits::{PingSettings, Settings};
use super::{Closed, MIN_PING_TIME, TIMEOUT};

pin_project! {
    /// Connections under limits. See [`enforce`].
    pub struct Enforce<I> {
        #[pin]
        incoming: I,
        settings: Settings,
        on_close: Option<OnClose>,
    }
}

/// Puts limits on each connection of `incoming`: on pings at once, with gRFC A8's numbers; on
/// idleness and age when they are set.
///
/// For `serve_with_incoming` and `serve_with_incoming_shutdown`, around
/// [`server::incoming`](crate::server::incoming) or any other stream of connections.
pub fn enforce<I, IO>(incoming: I) -> Enforce<I>
where
    I: Stream<Item = io::Result<IO>>,
    IO: AsyncRead + AsyncWrite,
{
    let pings = PingSettings {
        min_time: MIN_PING_TIME,
        without_calls: false,
    };
    Enforce {
        incoming,
        settings: Settings {
            pings: Some(pings),
            write_timeout: TIMEOUT,
            ..Settings::NONE
        },
        on_close: None,
    }
}

impl<I> Enforce<I> {
    /// The least time between two pings of a client: 5 minutes, if it isn't set
    /// (PERMIT_KEEPALIVE_TIME). [`Duration::ZERO`] permits any number while a call is open, up to what is
    /// borne of [frames to answer](super).
    ///
    /// Leave clients some room: set it lower than what they are told to use.
    pub fn min_ping_time(mut self, time: Duration) -> Self {
        self.pings().min_time = time;
        self
    }

    /// Whether a client may ping as often with no call open: no, if it isn't set
    /// (PERMIT_KEEPALIVE_WITHOUT_CALLS). Otherwise it may every two hours, as TCP does.
    pub fn permit_without_calls(mut self, permitted: bool) -> Self {
        self.pings().without_calls = permitted;
        self
    }

    /// Closes a connection that has had no open call for `time`, without harm to calls: never, if
    /// it isn't set.
    pub fn max_connection_idle(mut self, time: Duration) -> Self {
        self.settings.max_idle = time;
        self
    }

    /// Sends a connection's client away that is older than `time`, a tenth more or less by chance:
    /// never, if it isn't set. Calls that are open go on for the grace.
    pub fn max_connection_age(mut self, time: Duration) -> Self {
        self.settings.max_age = time;
        self
    }

    /// Closes such a connection with what is open after `time` more: never, if it isn't set.
    pub fn max_connection_age_grace(mut self, time: Duration) -> Self {
        self.settings.max_age_grace = time;
        self
    }

    /// Gives up a connection whose client takes nothing of what is to be sent for `time`: 20
    /// seconds, if it isn't set. On every system what [`set_tcp_user_timeout`] is on Linux; not to
    /// be confused with a client that leaves a call's messages unread: HTTP/2 sends it none.
    ///
    /// [`set_tcp_user_timeout`]: super::set_tcp_user_timeout
    pub fn write_timeout(mut self, time: Duration) -> Self {
        self.settings.write_timeout = time;
        self
    }

    /// Calls `tell` when a connection ends, for a log. It must not block.
    pub fn on_close(mut self, tell: impl Fn(Closed) + Send + Sync + 'static) -> Self {
        self.on_close = Some(Arc::new(tell));
        self
    }

    /// The stream inside.
    pub fn get_ref(&self) -> &I {
        &self.incoming
    }

    fn pings(&mut self) -> &mut PingSettings {
        self.settings.pings.get_or_insert(PingSettings {
            min_time: MIN_PING_TIME,
            without_calls: false,
        })
    }
}

impl<I, IO> Stream for Enforce<I>
where
    I: Stream<Item = io::Result<IO>>,
{
    type Item = io::Result<Enforced<IO>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let next = ready!(this.incoming.poll_next(context));
        let enforce = |io| Enforced::new(io, *this.settings, this.on_close.clone());
        Poll::Ready(next.map(|io| io.map(enforce)))
    }
}

impl<I: fmt::Debug> fmt::Debug for Enforce<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enforce")
            .field("incoming", &self.incoming)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
