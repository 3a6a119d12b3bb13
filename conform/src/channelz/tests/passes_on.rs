//! A counted connection passes everything on as it is.

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;

use hyper::rt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use super::*;
use crate::testing::Recorder;

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
        let recorder = Recorder::new(is_vectored);
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
        assert_eq!(recorder.asked(), Recorder::ALL);
    }
}

#[tokio::test]
async fn a_connection_of_a_client() {
    for is_vectored in [false, true] {
        let channelz = Channelz::new();
        let recorder = Recorder::new(is_vectored);
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
        let mut expected = Recorder::ALL.to_vec();
        expected.insert(0, "read");
        assert_eq!(recorder.asked(), expected);
    }
}
