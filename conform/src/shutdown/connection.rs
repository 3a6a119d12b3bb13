//! Connections that can be closed by force.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use super::Stages;
use super::count::Counted;

pin_project! {
    /// The connections of a server that a [`Shutdown`](super::Shutdown) may have to close.
    #[derive(Debug)]
    pub struct Incoming<I> {
        #[pin]
        inner: I,
        stages: Stages,
    }
}

impl<I> Incoming<I> {
    pub(super) fn new(inner: I, stages: Stages) -> Self {
        Self { inner, stages }
    }
}

impl<I, C> Stream for Incoming<I>
where
    I: Stream<Item = io::Result<C>>,
{
    type Item = io::Result<Connection<C>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let next = ready!(this.inner.poll_next(context));
        let stages = &*this.stages;
        Poll::Ready(next.map(|connection| connection.map(|inner| Connection::new(inner, stages))))
    }
}

pin_project! {
    /// One connection of an [`Incoming`].
    #[derive(Debug)]
    pub struct Connection<C> {
        #[pin]
        inner: C,
        closed: Pin<Box<WaitForCancellationFutureOwned>>,
        _counted: Counted,
    }
}

impl<C> Connection<C> {
    pub(super) fn new(inner: C, stages: &Stages) -> Self {
        Self {
            inner,
            closed: Box::pin(stages.close.clone().cancelled_owned()),
            _counted: stages.connections.enter(),
        }
    }

    /// An error once it is to be closed. Asked wherever the connection is polled: a peer that
    /// doesn't read keeps the server from reading too.
    fn check(self: Pin<&mut Self>, context: &mut Context<'_>) -> io::Result<()> {
        match self.project().closed.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the server has shut down",
            )),
        }
    }
}

impl<C: Connected> Connected for Connection<C> {
    type ConnectInfo = C::ConnectInfo;

    fn connect_info(&self) -> C::ConnectInfo {
        self.inner.connect_info()
    }
}

impl<C: AsyncRead> AsyncRead for Connection<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.as_mut().check(context)?;
        self.project().inner.poll_read(context, buffer)
    }
}

impl<C: AsyncWrite> AsyncWrite for Connection<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.as_mut().check(context)?;
        self.project().inner.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.as_mut().check(context)?;
        self.project().inner.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.as_mut().check(context)?;
        self.project().inner.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.as_mut().check(context)?;
        self.project().inner.poll_shutdown(context)
    }
}
