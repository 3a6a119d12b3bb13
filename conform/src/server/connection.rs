//! A connection that has to begin a call in time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::first_call::FirstCall;
use super::incoming::Slot;
use crate::keepalive::{Enforced, Settings};

/// One connection of an [`Incoming`](super::Incoming).
///
/// Its place among the open connections comes free when it is dropped.
#[derive(Debug)]
pub struct Connection {
    // Closed before its slot is given back.
    pub(super) stream: Enforced<TcpStream>,
    pub(super) waiting: Option<Waiting>,
    _slot: Slot,
}

/// What there is until the first call has begun.
#[derive(Debug)]
pub(super) struct Waiting {
    first_call: FirstCall,
    expired: Pin<Box<Sleep>>,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        slot: Slot,
        first_request_timeout: Duration,
        max_idle: Duration,
    ) -> Self {
        Self {
            stream: Enforced::new(stream, Settings::idle(max_idle), None),
            waiting: Some(Waiting {
                first_call: FirstCall::default(),
                expired: Box::pin(sleep(first_request_timeout)),
            }),
            _slot: slot,
        }
    }

    /// An error once the time for the first call is up. Asked wherever the connection is polled: a
    /// peer that doesn't read keeps the server from reading too.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(waiting) = &mut self.waiting else {
            return Ok(());
        };
        if waiting.expired.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "no call began in time",
        ))
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let Some(waiting) = &mut self.waiting {
            let read = buffer.filled().get(before..).unwrap_or_default();
            if waiting.first_call.has_begun(read) {
                self.waiting = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
