//! A counted connection passes everything on as it is.

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use hyper::rt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use super::*;

/// Writes down what it is asked to do. Takes no more than five bytes at once.
#[derive(Clone)]
struct Recorder {
    asked: Arc<Mutex<Vec<&'static str>>>,
    is_vectored: bool,
}

impl Recorder {
    fn asked(&self, what: &'static str) {
        self.asked.lock().unwrap().push(what);
    }
}

impl AsyncRead for Recorder {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.asked("read");
        buffer.put_slice(&b"what there is to read"[..buffer.remaining().min(21)]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked("write");
        Poll::Ready(Ok(bytes.len().min(5)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.asked("write vectored");
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        Poll::Ready(Ok(length.min(5)))
    }

    fn is_write_vectored(&self) -> bool {
        self.is_vectored
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.asked("flush");
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.asked("shutdown");
        Poll::Ready(Ok(()))
    }
}

impl Connected for Recorder {
    type ConnectInfo = &'static str;

    fn connect_info(&self) -> &'static str {
        "who it is"
    }
}

const ALL: [&str; 5] = ["read", "write", "write vectored", "flush", "shutdown"];

fn recorder(is_vectored: bool) -> Recorder {
    Recorder {
        asked: Arc::default(),
        is_vectored,
    }
}

/// Bytes sent and received.
fn bytes(channelz: &Channelz) -> [String; 2] {
    let options = newest_socket(channelz).option;
    let values: Vec<_> = options.into_iter().map(|option| option.value).collect();
    values.try_into().unwrap()
}

#[tokio::test]
async fn a_connection_of_a_server() {
    for is_vectored in [false, true] {
        let channelz = Channelz::new();
        let recorder = recorder(is_vectored);
        let connections = futures::stream::iter([Ok::<_, io::Error>(recorder.clone())]);
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 50051));
        let mut incoming = channelz.server("server").incoming(address, connections);
        let io = futures::TryStreamExt::try_next(&mut incoming).await;
        let mut io = io.unwrap().unwrap();
        assert_eq!(io.connect_info(), "who it is");
        assert_eq!(AsyncWrite::is_write_vectored(&io), is_vectored);

        let mut memory = [0; 30];
        let mut buffer = ReadBuf::new(&mut memory);
        buffer.put_slice(b"before: ");
        poll_fn(|cx| AsyncRead::poll_read(Pin::new(&mut io), cx, &mut buffer))
            .await
            .unwrap();
        assert_eq!(buffer.filled(), b"before: what there is to read");
        assert_eq!(bytes(&channelz), ["0", "21"]);
        let written = poll_fn(|cx| AsyncWrite::poll_write(Pin::new(&mut io), cx, b"seven b"));
        assert_eq!(written.await.unwrap(), 5);
        assert_eq!(bytes(&channelz), ["5", "21"]);
        let slices = [IoSlice::new(b"a"), IoSlice::new(b"bcdefghi")];
        let written = AsyncWriteExt::write_vectored(&mut io, &slices).await;
        assert_eq!(written.unwrap(), 5);
        assert_eq!(bytes(&channelz), ["10", "21"]);
        AsyncWriteExt::flush(&mut io).await.unwrap();
        AsyncWriteExt::shutdown(&mut io).await.unwrap();
        assert_eq!(*recorder.asked.lock().unwrap(), ALL);
    }
}

#[tokio::test]
async fn a_connection_of_a_client() {
    for is_vectored in [false, true] {
        let channelz = Channelz::new();
        let recorder = recorder(is_vectored);
        let made = TokioIo::new(recorder.clone());
        let mut made = Some(made);
        let connector = tower::service_fn(move |_: Uri| {
            std::future::ready(made.take().ok_or(io::Error::other("one connection only")))
        });
        let backend = channelz.channel("channel").subchannel("backend");
        let mut io = backend
            .connector(connector)
            .call(Uri::default())
            .await
            .unwrap();
        assert_eq!(rt::Write::is_write_vectored(&io), is_vectored);

        let mut memory = [0; 25];
        let mut buffer = rt::ReadBuf::new(&mut memory);
        for (expected, bytes_read) in [
            (&b"what there is to read"[..], "21"),
            (b"what there is to readwhat", "25"),
        ] {
            poll_fn(|cx| rt::Read::poll_read(Pin::new(&mut io), cx, buffer.unfilled()))
                .await
                .unwrap();
            assert_eq!(buffer.filled(), expected);
            assert_eq!(bytes(&channelz), ["0", bytes_read]);
        }
        let written = poll_fn(|cx| rt::Write::poll_write(Pin::new(&mut io), cx, b"seven b"));
        assert_eq!(written.await.unwrap(), 5);
        let slices = [IoSlice::new(b"a"), IoSlice::new(b"bcdefghi")];
        let written = poll_fn(|cx| rt::Write::poll_write_vectored(Pin::new(&mut io), cx, &slices));
        assert_eq!(written.await.unwrap(), 5);
        assert_eq!(bytes(&channelz), ["10", "25"]);
        poll_fn(|cx| rt::Write::poll_flush(Pin::new(&mut io), cx))
            .await
            .unwrap();
        poll_fn(|cx| rt::Write::poll_shutdown(Pin::new(&mut io), cx))
            .await
            .unwrap();
        let mut expected = ALL.to_vec();
        expected.insert(0, "read");
        assert_eq!(*recorder.asked.lock().unwrap(), expected);
    }
}
