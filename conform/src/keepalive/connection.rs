//! A connection that does what its limits say: frames put in between the server's, and an end.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::transport::server::Connected;

use super::Closed;
use super::limits::{Limits, Settings, Step};

/// How long closing may take, from the last GOAWAY until the client has closed its side. Until
/// then what it sends is read and dropped: a socket that is closed with unread bytes is reset, and
/// the reset overtakes the GOAWAY.
const LINGER: Duration = Duration::from_secs(2);

/// How much is read and dropped in that time. More is a flood.
const DRAINED: usize = 1024 * 1024;

pub(crate) type OnClose = Arc<dyn Fn(Closed) + Send + Sync>;

/// A connection under limits. See [`enforce`](super::enforce).
pub struct Enforced<IO> {
    io: IO,
    limits: Limits,
    write_timeout: Duration,
    /// Frames of this module's that are yet to be sent.
    pending: Vec<u8>,
    /// How many of their bytes are sent.
    sent: usize,
    /// Since when the operating system has taken nothing.
    blocked_since: Option<Instant>,
    closing: Option<Closing>,
    timer: Pin<Box<Sleep>>,
    /// How the connection ended, as far as it's known.
    closed: Option<Closed>,
    on_close: Option<OnClose>,
}

#[derive(Debug)]
struct Closing {
    until: Instant,
    is_shut_down: bool,
    drained: usize,
}

impl<IO> Enforced<IO> {
    pub(crate) fn new(io: IO, settings: Settings, on_close: Option<OnClose>) -> Self {
        let now = Instant::now();
        Self {
            io,
            limits: Limits::new(settings, now),
            write_timeout: settings.write_timeout,
            pending: Vec::new(),
            sent: 0,
            blocked_since: None,
            closing: None,
            timer: Box::pin(sleep_until(now)),
            closed: None,
            on_close,
        }
    }

    /// The connection inside.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Enforced<IO> {
    /// Does what is due, and sees to it that the task is woken for what comes next.
    ///
    /// Asked wherever the connection is polled: one side may wait for the other for ever.
    fn drive(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        loop {
            let now = Instant::now();
            match self.limits.step(now) {
                Some(Step::Send(frames)) => self.pending.extend(frames),
                Some(Step::Close(frames, why)) => {
                    self.pending.extend(frames);
                    self.closed = Some(why);
                    self.closing = Some(Closing {
                        until: now + LINGER,
                        is_shut_down: false,
                        drained: 0,
                    });
                }
                None => {}
            }
            self.send_pending(context)?;
            let until_closed = self.closing.as_ref().map(|closing| closing.until);
            if until_closed.is_some_and(|until| until <= now) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let blocked = self.blocked_since;
            let until_given_up = blocked.and_then(|since| since.checked_add(self.write_timeout));
            if until_given_up.is_some_and(|until| until <= now) {
                self.closed = Some(Closed::WriteTimeout);
                let message = "the peer took nothing in time";
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            let due = self.limits.due().into_iter();
            let Some(due) = due.chain(until_closed).chain(until_given_up).min() else {
                return Ok(());
            };
            if due < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(due);
            }
            // Set for something that has passed by, it is set anew in the next round.
            if self.timer.as_mut().poll(context).is_pending() {
                return Ok(());
            }
        }
    }

    fn send_pending(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while let Some(left @ [_, ..]) = self.pending.get(self.sent..)
            && self.limits.may_send()
        {
            let written = Pin::new(&mut self.io).poll_write(context, left);
            match self.note(written)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => self.sent += written,
                Poll::Pending => return Ok(()),
            }
        }
        if self.sent == self.pending.len() {
            self.pending.clear();
            self.sent = 0;
            if let Some(closing) = &mut self.closing
                && !closing.is_shut_down
            {
                let shut_down = Pin::new(&mut self.io).poll_shutdown(context);
                closing.is_shut_down = shut_down?.is_ready();
            }
        }
        Ok(())
    }

    /// Remembers whether the operating system takes anything.
    fn note(&mut self, written: Poll<io::Result<usize>>) -> io::Result<Poll<usize>> {
        match written {
            Poll::Pending => {
                self.blocked_since.get_or_insert_with(Instant::now);
                Ok(Poll::Pending)
            }
            Poll::Ready(result) => {
                self.blocked_since = None;
                result
                    .map(Poll::Ready)
                    .inspect_err(|error| self.broke(error))
            }
        }
    }

    fn broke(&mut self, error: &io::Error) {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        let closed = match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset => Closed::ByPeer,
            _ => Closed::Broken,
        };
        self.closed.get_or_insert(closed);
    }

    /// Whether everything is said, so that what the server still writes is dropped.
    fn has_said_all(&self) -> bool {
        self.closing.is_some() && self.pending.is_empty()
    }

    /// Reads what the client still sends, and drops it; ready once it has closed its side, or has
    /// sent too much.
    fn drain(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(closing) = &mut self.closing
            && closing.drained < DRAINED
        {
            let mut bytes = [0; 4096];
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            closing.drained += buffer.filled().len();
        }
        Poll::Ready(())
    }

    /// Writes one slice, up to where pending frames can be put in.
    fn write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let allowed = if self.pending.is_empty() {
            bytes.len()
        } else if self.limits.may_send() {
            // They couldn't be written just now; the task is woken when they can.
            return Poll::Pending;
        } else {
            self.limits.up_to_next_place(bytes)
        };
        let bytes = bytes.get(..allowed).unwrap_or(bytes);
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        let written = ready!(self.note(written)?);
        let written_bytes = bytes.get(..written).unwrap_or(bytes);
        self.limits.sent(written_bytes, Instant::now());
        Poll::Ready(Ok(written))
    }
}

impl<IO> Drop for Enforced<IO> {
    fn drop(&mut self) {
        let Some(on_close) = &self.on_close else {
            return;
        };
        let unanswered = self.limits.is_unanswered;
        let by_server = if unanswered {
            Closed::NoAnswer
        } else {
            Closed::ByServer
        };
        on_close(self.closed.unwrap_or(by_server));
    }
}

impl<IO: fmt::Debug> fmt::Debug for Enforced<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enforced")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}

impl<IO: Connected> Connected for Enforced<IO> {
    type ConnectInfo = IO::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Enforced<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.drive(context)?;
        if this.closing.is_some() {
            // Nothing more comes: the server ends the calls, and closes.
            return this.drain(context).map(Ok);
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut this.io).poll_read(context, buffer));
        read.inspect_err(|error| this.broke(error))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if read.is_empty() && buffer.remaining() > 0 {
            this.closed.get_or_insert(Closed::ByPeer);
        }
        this.limits.received(read, Instant::now());
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Enforced<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.drive(context)?;
        if this.has_said_all() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = this.write(context, bytes)?;
        // A call may be over, or there may be a place for pending frames.
        this.drive(context)?;
        written.map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.drive(context)?;
        if this.closing.is_some() || !this.pending.is_empty() {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(context, first.map_or(&[], |slice| slice));
        }
        let written = Pin::new(&mut this.io).poll_write_vectored(context, slices);
        let written = match this.note(written)? {
            Poll::Ready(written) => written,
            Poll::Pending => {
                // For the time by which something has to be taken.
                this.drive(context)?;
                return Poll::Pending;
            }
        };
        let mut left = written;
        for slice in slices {
            let taken = slice.get(..left).unwrap_or(slice);
            this.limits.sent(taken, Instant::now());
            left -= taken.len();
        }
        this.drive(context)?;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.drive(context)?;
        Pin::new(&mut this.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.drive(context)?;
        if this.closing.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.io).poll_shutdown(context)
    }
}
