//! Accepts connections, no more at once than there is room for.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use futures::task::AtomicWaker;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

use super::connection::Connection;
use crate::keepalive::{self, set_tcp_user_timeout};

/// How many connections are open at once unless [`Incoming::max_connections`] says otherwise: 512,
/// half of the 1,024 file descriptors that a process has by default on most systems. The other half
/// is left for files and for connections of its own.
pub const MAX_CONNECTIONS: usize = 512;

/// How long a connection may take to begin its first call unless
/// [`Incoming::first_request_timeout`] says otherwise: 10 seconds.
///
/// Long enough for handshakes over a bad line; a third of what hyper gives a client of HTTP/1 for its
/// headers, so that a client which waits 30 seconds gets its turn although silent connections held
/// all places.
pub const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be without an open call unless [`Incoming::max_connection_idle`] says
/// otherwise: 5 minutes.
///
/// gRFC A9's own default is for ever, in a server without a limit on connections. Here those that
/// do nothing take places from others. Five minutes are long enough that whoever calls now and then
/// keeps a connection, and what the rest pays for it is one handshake: the connection ends with a
/// GOAWAY, calls that cross it are answered, and gRPC's clients connect again by themselves.
pub const MAX_CONNECTION_IDLE: Duration = Duration::from_secs(5 * 60);

/// How long accepting rests after an error that isn't of one connection: long enough not to spin.
const REST: Duration = Duration::from_millis(100);

/// The connections to a listener. See the [module](super).
#[derive(Debug)]
pub struct Incoming {
    accepting: Accepting<TcpListener>,
    first_request_timeout: Duration,
    max_connection_idle: Duration,
}

impl Incoming {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            accepting: Accepting::new(listener),
            first_request_timeout: FIRST_REQUEST_TIMEOUT,
            max_connection_idle: MAX_CONNECTION_IDLE,
        }
    }

    /// Lets `limit` connections be open at once, and at least one.
    ///
    /// The next one waits in the listener's queue until one closes.
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.accepting.limit = limit.max(1);
        self
    }

    /// Closes a connection that hasn't begun a call `timeout` after it was accepted.
    pub fn first_request_timeout(mut self, timeout: Duration) -> Self {
        self.first_request_timeout = timeout;
        self
    }

    /// Closes a connection that has had no open call for `time`, without harm to calls: see
    /// [`keepalive`](crate::keepalive). [`Duration::MAX`] is never.
    pub fn max_connection_idle(mut self, time: Duration) -> Self {
        self.max_connection_idle = time;
        self
    }

    /// The address that the listener is bound to.
    ///
    /// # Errors
    ///
    /// If the operating system doesn't know it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.accepting.listener.local_addr()
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    /// Never ends, and never returns an error: accepting goes on after a rest.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (stream, slot) = ready!(self.accepting.poll_accept(context));
        // An error here is a connection that is gone already: its first read will tell.
        let _ = stream.set_nodelay(true);
        let _ = set_tcp_user_timeout(&stream, keepalive::TIMEOUT);
        let (first, idle) = (self.first_request_timeout, self.max_connection_idle);
        let connection = Connection::new(stream, slot, first, idle);
        Poll::Ready(Some(Ok(connection)))
    }
}

/// Where connections come from.
pub(super) trait Accept {
    type Stream;

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Self::Stream>>;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        let accepted = ready!(TcpListener::poll_accept(self, context));
        Poll::Ready(accepted.map(|(stream, _)| stream))
    }
}

/// Accepts while there are slots, and rests after errors.
#[derive(Debug)]
pub(super) struct Accepting<L> {
    pub(super) listener: L,
    slots: Arc<Slots>,
    limit: usize,
    rest: Option<Pin<Box<Sleep>>>,
}

impl<L: Accept> Accepting<L> {
    pub(super) fn new(listener: L) -> Self {
        Self {
            listener,
            slots: Arc::default(),
            limit: MAX_CONNECTIONS,
            rest: None,
        }
    }

    pub(super) fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<(L::Stream, Slot)> {
        // Registered before the count is read, so that a slot that comes free in between wakes us.
        self.slots.freed.register(context.waker());
        if self.slots.taken.load(Ordering::Acquire) >= self.limit {
            return Poll::Pending;
        }
        loop {
            if let Some(rest) = &mut self.rest {
                ready!(rest.as_mut().poll(context));
                self.rest = None;
            }
            match ready!(self.listener.poll_accept(context)) {
                Ok(stream) => return Poll::Ready((stream, self.slots.take())),
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => self.rest = Some(Box::pin(sleep(REST))),
            }
        }
    }
}

/// Whether the error says that one connection has gone, and nothing of the listener. The others,
/// most often a lack of file descriptors (EMFILE), would come again at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Counts open connections.
#[derive(Debug, Default)]
pub(super) struct Slots {
    taken: AtomicUsize,
    freed: AtomicWaker,
}

impl Slots {
    fn take(self: &Arc<Self>) -> Slot {
        self.taken.fetch_add(1, Ordering::AcqRel);
        Slot(Arc::clone(self))
    }
}

/// The place of one connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.wake();
    }
}
