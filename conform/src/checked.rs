//! A connector that says in a sentence when one side speaks TLS and the other doesn't.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::timeout;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::Scheme;
use tonic::codegen::{BoxFuture, Service, StdError};
use tonic::transport::Endpoint;

/// Connections over TCP as `endpoint` has it set.
pub(crate) fn tcp(endpoint: &Endpoint) -> CheckedConnector<HttpConnector> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(endpoint.get_tcp_nodelay());
    connector.set_keepalive(endpoint.get_tcp_keepalive());
    connector.set_keepalive_interval(endpoint.get_tcp_keepalive_interval());
    connector.set_keepalive_retries(endpoint.get_tcp_keepalive_retries());
    connector.set_connect_timeout(endpoint.get_connect_timeout());
    CheckedConnector::new(connector)
}

/// Compares what is spoken over a connection with what the URL asks for, and ends the connection
/// with a sentence if they differ. For HTTP/2, which all of gRPC is.
///
/// * A server that doesn't speak TLS, at an `https://` URL.
/// * A server that speaks TLS, at an `http://` URL: such a connection counts as made when the server
///   has said something, which takes one round trip. If it says nothing for two seconds, so be it.
/// * A client without TLS settings, at an `https://` URL. tonic without a TLS feature would send
///   everything in plain text, without a word.
#[derive(Clone, Debug)]
pub struct CheckedConnector<C> {
    pub(crate) inner: C,
}

impl<C> CheckedConnector<C> {
    /// Checks the connections that `inner` makes.
    pub fn new(inner: C) -> Self {
        Self { inner }
    }
}

impl<C> Service<Uri> for CheckedConnector<C>
where
    C: Service<Uri>,
    C::Response: Read + Write + Send + Unpin + 'static,
    C::Error: Into<StdError>,
    C::Future: Send + 'static,
{
    type Response = CheckedIo<C::Response>;
    type Error = io::Error;
    type Future = BoxFuture<CheckedIo<C::Response>, io::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(io::Error::other)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let wants_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let connecting = self.inner.call(uri);
        Box::pin(async move {
            let stream = connecting.await.map_err(io::Error::other)?;
            let mut stream = CheckedIo {
                stream,
                wants_tls,
                first_read: None,
                has_read: false,
                has_written: false,
                preface_left: &[],
            };
            if !wants_tls {
                stream.exchange_first_bytes().await?;
            }
            Ok(stream)
        })
    }
}

/// A connection of a [`CheckedConnector`].
#[derive(Debug)]
pub struct CheckedIo<T> {
    stream: T,
    wants_tls: bool,
    /// A byte that was read before it was asked for.
    first_read: Option<u8>,
    has_read: bool,
    has_written: bool,
    /// What the client will write, and what was sent already.
    preface_left: &'static [u8],
}

/// What a client says first. RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long the first byte of a server without TLS is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// A handshake or an alert: nothing else begins a conversation in TLS. HTTP/2's SETTINGS begin with
/// a zero, HTTP/1 with a letter. RFC 8446, section 5.1.
fn is_tls(first: u8) -> bool {
    matches!(first, 0x15 | 0x16)
}

impl<T> CheckedIo<T> {
    fn check_read(&self, first: u8) -> io::Result<()> {
        match (self.wants_tls, is_tls(first)) {
            (true, false) => Err(io::Error::other(
                "the server doesn't speak TLS: its URL begins with http://",
            )),
            (false, true) => Err(io::Error::other(
                "the server speaks TLS: its URL begins with https://",
            )),
            _ => Ok(()),
        }
    }

    /// How many of these bytes are sent already.
    fn check_written(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let first = bytes
            .first()
            .filter(|_| self.wants_tls && !self.has_written);
        if first.is_some_and(|first| !is_tls(*first)) {
            return Err(io::Error::other(
                "https:// asks for TLS, and this client has no TLS settings",
            ));
        }
        let length = bytes.len().min(self.preface_left.len());
        let (sent, left) = self.preface_left.split_at(length);
        if !bytes.starts_with(sent) {
            return Err(io::Error::other("this connection is for HTTP/2"));
        }
        self.preface_left = left;
        Ok(length)
    }
}

impl<T: Read + Write + Unpin> CheckedIo<T> {
    /// Sends the preface, to which a server that speaks TLS answers with an alert.
    async fn exchange_first_bytes(&mut self) -> io::Result<()> {
        let mut rest = PREFACE;
        while !rest.is_empty() {
            let write = poll_fn(|cx| Pin::new(&mut self.stream).poll_write(cx, rest));
            rest = rest.get(write.await?..).unwrap_or_default();
        }
        poll_fn(|cx| Pin::new(&mut self.stream).poll_flush(cx)).await?;
        self.preface_left = PREFACE;
        match timeout(PATIENCE, poll_fn(|cx| self.poll_first(cx))).await {
            Ok(Ok(Some(byte))) => self.first_read = Some(byte),
            Ok(Ok(None)) => {
                let sentence = "the server closed the connection at once";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, sentence));
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }
}

impl<T: Read + Unpin> CheckedIo<T> {
    /// The first byte; `None` at the end.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        let mut bytes = [0; 1];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer.unfilled()))?;
        self.has_read = true;
        let first = buffer.filled().first().copied();
        if let Some(first) = first {
            self.check_read(first)?;
        }
        Poll::Ready(Ok(first))
    }
}

impl<T: Read + Unpin> Read for CheckedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let first = match self.first_read.take() {
            Some(first) => Some(first),
            None if self.has_read => return Pin::new(&mut self.stream).poll_read(cx, buffer),
            None => ready!(self.poll_first(cx))?,
        };
        if let Some(first) = first {
            buffer.put_slice(&[first]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Write + Unpin> Write for CheckedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = self.check_written(bytes)?;
        if sent > 0 {
            return Poll::Ready(Ok(sent));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.has_written |= written > 0;
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = buffers.iter().find(|bytes| !bytes.is_empty());
        let sent = self.check_written(first.map_or(&[][..], |bytes| bytes))?;
        if sent > 0 {
            return Poll::Ready(Ok(sent));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, buffers))?;
        self.has_written |= written > 0;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
