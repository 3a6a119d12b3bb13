use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Mutex;

use bytes::Bytes;
use futures::channel::oneshot;
use hyper::rt;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::server::Connected;
use tower::layer::util::Identity;

use super::*;
use crate::testing::{call, endpoint, peer, replies, serve, soon};

async fn becomes(states: &mut watch::Receiver<State>, state: State) {
    let came = soon(states.wait_for(|now| *now == state)).await;
    came.expect("the channel is still there");
}

#[tokio::test]
async fn a_channel_tells_of_its_connection() {
    let server = serve(Identity::new(), replies(&[Ok(b"reply")])).await;
    let (connector, mut states) = observe(HttpConnector::new());
    let channel = server.endpoint().connect_with_connector_lazy(connector);
    assert_eq!(*states.borrow(), State::Idle, "nobody has called");
    call(channel.clone(), "hello").await.unwrap();
    assert_eq!(*states.borrow_and_update(), State::Ready);
    call(channel.clone(), "hello").await.unwrap();
    assert!(!states.has_changed().unwrap(), "the same connection");
    drop(channel);
    becomes_shut_down(&mut states).await;
}

async fn becomes_shut_down(states: &mut watch::Receiver<State>) {
    while soon(states.changed()).await.is_ok() {}
}

#[tokio::test]
async fn a_connection_that_the_server_closes_leaves_the_channel_idle() {
    let closes = peer(|mut stream| async move {
        let _ = stream.read(&mut [0; 100]).await;
    });
    let server = closes.await;
    let (connector, mut states) = observe(HttpConnector::new());
    let channel = server.endpoint().connect_with_connector_lazy(connector);
    for _ in 0..2 {
        call(channel.clone(), "hello").await.unwrap_err();
        becomes(&mut states, State::Idle).await;
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_a_transient_failure_until_the_next_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (connector, mut states) = observe(HttpConnector::new());
    let channel = endpoint(address).connect_with_connector_lazy(connector);
    for _ in 0..2 {
        let status = call(channel.clone(), "hello").await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(states.has_changed().unwrap(), "the call has tried");
        assert_eq!(*states.borrow_and_update(), State::TransientFailure);
    }
}

/// That no method tells more is shown by the module's example that must not compile.
#[tokio::test]
async fn tonic_alone_is_as_ready_without_a_server_as_with_one() {
    let server = serve(Identity::new(), replies(&[Ok(b"reply")])).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = endpoint(listener.local_addr().unwrap());
    drop(listener);
    let mut seen = Vec::new();
    for (endpoint, is_there) in [(server.endpoint(), true), (nowhere, false)] {
        let mut channel = endpoint.connect_lazy();
        for _ in 0..2 {
            let ready = poll_fn(|context| channel.poll_ready(context));
            let is_ready = soon(ready).await.is_ok();
            seen.push((is_ready, format!("{channel:?}")));
            let called = call(channel.clone(), "hello").await;
            assert_eq!(called.is_ok(), is_there);
        }
    }
    assert_eq!(seen, vec![(true, "Channel".to_owned()); 4]);
}

type Connecting = oneshot::Receiver<TokioIo<tokio::io::DuplexStream>>;

/// A connector whose connections are made as the test wants it.
fn by_hand(
    attempts: impl IntoIterator<Item = Connecting>,
) -> impl Service<
    Uri,
    Response = TokioIo<tokio::io::DuplexStream>,
    Error = oneshot::Canceled,
    Future = Connecting,
> + Clone {
    let attempts = Arc::new(Mutex::new(attempts.into_iter().collect::<Vec<_>>()));
    tower::service_fn(move |_| attempts.lock().unwrap().pop().unwrap())
}

fn stream() -> TokioIo<tokio::io::DuplexStream> {
    TokioIo::new(tokio::io::duplex(1).0)
}

#[tokio::test]
async fn an_attempt_goes_from_connecting_to_ready_to_idle() {
    let (connected, connecting) = oneshot::channel();
    let (mut connector, states) = observe(by_hand([connecting]));
    let attempt = connector.call(Uri::default());
    assert_eq!(*states.borrow(), State::Connecting);
    assert!(connected.send(stream()).is_ok());
    assert_eq!(*states.borrow(), State::Connecting, "nobody has looked");
    let connection = soon(attempt).await.unwrap();
    assert_eq!(*states.borrow(), State::Ready);
    drop(connection);
    assert_eq!(*states.borrow(), State::Idle);
    drop(connector);
    assert!(states.has_changed().is_err(), "SHUTDOWN");
}

#[tokio::test]
async fn an_attempt_that_fails_or_is_given_up_is_a_transient_failure() {
    let (fails, failing) = oneshot::channel();
    let (_open, given_up) = oneshot::channel();
    let (mut connector, states) = observe(by_hand([given_up, failing]));
    let attempt = connector.call(Uri::default());
    drop(fails);
    soon(attempt).await.unwrap_err();
    assert_eq!(*states.borrow(), State::TransientFailure);
    let attempt = connector.clone().call(Uri::default());
    assert_eq!(*states.borrow(), State::Connecting);
    drop(attempt);
    assert_eq!(*states.borrow(), State::TransientFailure);
}

#[tokio::test]
async fn an_old_connection_says_nothing_of_the_new_one() {
    let [(first, old), (second, new)] = [oneshot::channel(), oneshot::channel()];
    let (mut connector, states) = observe(by_hand([new, old]));
    let old = connector.call(Uri::default());
    assert!(first.send(stream()).is_ok());
    let old = soon(old).await.unwrap();
    let new = connector.call(Uri::default());
    drop(old);
    assert_eq!(*states.borrow(), State::Connecting);
    assert!(second.send(stream()).is_ok());
    let _new = soon(new).await.unwrap();
    assert_eq!(*states.borrow(), State::Ready);
}

#[derive(Clone)]
struct NeverReady;

impl Service<Uri> for NeverReady {
    type Response = TokioIo<tokio::io::DuplexStream>;
    type Error = &'static str;
    type Future = std::future::Pending<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Err("no sockets left"))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        std::future::pending()
    }
}

#[tokio::test]
async fn a_connector_that_cannot_begin_is_a_transient_failure() {
    let (mut connector, states) = observe(NeverReady);
    let ready = poll_fn(|cx| connector.poll_ready(cx)).await;
    assert_eq!(ready, Err("no sockets left"));
    assert_eq!(*states.borrow(), State::TransientFailure);
}

#[test]
fn states_are_written_as_grpc_writes_them() {
    let all = [
        State::Idle,
        State::Connecting,
        State::Ready,
        State::TransientFailure,
    ];
    let all = all.map(|state| state.to_string());
    assert_eq!(all, ["IDLE", "CONNECTING", "READY", "TRANSIENT_FAILURE"]);
    assert_eq!(format!("{:>6}", State::Idle), "  IDLE");
}

/// Writes down what it is asked to do.
struct Recorder {
    asked: Arc<Mutex<Vec<&'static str>>>,
    vectored: bool,
}

impl AsyncRead for Recorder {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.asked.lock().unwrap().push("read");
        buffer.put_slice(b"in");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked.lock().unwrap().push("write");
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.asked.lock().unwrap().push("write vectored");
        Poll::Ready(Ok(buffers.iter().map(|buffer| buffer.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.asked.lock().unwrap().push("flush");
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.asked.lock().unwrap().push("shutdown");
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

#[tokio::test]
async fn a_guarded_connection_of_a_server_passes_everything_on() {
    for vectored in [false, true] {
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let log = asked.clone();
        let mut io = GuardedIo::new(Recorder { asked, vectored }, ());
        assert_eq!(io.connect_info(), "who it is");
        assert_eq!(AsyncWrite::is_write_vectored(&io), vectored);
        let mut read = [0; 2];
        io.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"in");
        assert_eq!(AsyncWriteExt::write(&mut io, b"out").await.unwrap(), 3);
        let buffers = [IoSlice::new(b"a"), IoSlice::new(b"bc")];
        let written = AsyncWriteExt::write_vectored(&mut io, &buffers).await;
        assert_eq!(written.unwrap(), 3);
        AsyncWriteExt::flush(&mut io).await.unwrap();
        AsyncWriteExt::shutdown(&mut io).await.unwrap();
        assert_eq!(*log.lock().unwrap(), ALL);
    }
}

#[tokio::test]
async fn a_guarded_connection_of_a_client_passes_everything_on() {
    for vectored in [false, true] {
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let log = asked.clone();
        let recorder = TokioIo::new(Recorder { asked, vectored });
        let mut io = GuardedIo::new(recorder, ());
        assert_eq!(rt::Write::is_write_vectored(&io), vectored);
        let mut memory = [0; 10];
        let mut buffer = rt::ReadBuf::new(&mut memory);
        poll_fn(|cx| rt::Read::poll_read(Pin::new(&mut io), cx, buffer.unfilled()))
            .await
            .unwrap();
        assert_eq!(buffer.filled(), b"in");
        let written = poll_fn(|cx| rt::Write::poll_write(Pin::new(&mut io), cx, b"out"));
        assert_eq!(written.await.unwrap(), 3);
        let buffers = [IoSlice::new(b"a"), IoSlice::new(b"bc")];
        let written = poll_fn(|cx| rt::Write::poll_write_vectored(Pin::new(&mut io), cx, &buffers));
        assert_eq!(written.await.unwrap(), 3);
        poll_fn(|cx| rt::Write::poll_flush(Pin::new(&mut io), cx))
            .await
            .unwrap();
        poll_fn(|cx| rt::Write::poll_shutdown(Pin::new(&mut io), cx))
            .await
            .unwrap();
        assert_eq!(*log.lock().unwrap(), ALL);
    }
}

#[test]
fn what_is_kept_is_dropped_with_the_connection() {
    let kept = Arc::new(Bytes::new());
    let io = GuardedIo::new((), kept.clone());
    assert_eq!(Arc::strong_count(&kept), 2);
    drop(io);
    assert_eq!(Arc::strong_count(&kept), 1);
}
