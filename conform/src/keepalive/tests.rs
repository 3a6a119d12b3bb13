//! Clients and servers over memory, in paused time: hours pass at once.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream;
use futures::{Stream, StreamExt};
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::server::Router;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Request, Response, Status, Streaming};
use tower::ServiceExt;

use super::*;

mod client;
mod frames;
mod server;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const LAST_STREAM: u32 = u32::MAX >> 1;
const NO_ERROR: u32 = 0;
const ENHANCE_YOUR_CALM: u32 = 11;

const HOUR: Duration = Duration::from_secs(3600);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

type Greetings = tonic::codegen::BoxStream<Greeting>;

/// Answers as the name says.
struct Obedient;

#[tonic::async_trait]
impl Greeter for Obedient {
    /// After as many seconds as the name says.
    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        let pause = request.into_inner().name.parse().unwrap_or_default();
        sleep(seconds(pause)).await;
        Ok(Response::new(Greeting::default()))
    }

    /// Every so many seconds, or without a pause, and without end.
    async fn greet_often(&self, request: Request<Name>) -> Result<Response<Greetings>, Status> {
        let pause = request.into_inner().name.parse().unwrap_or_default();
        let text = "x".repeat(4096);
        let greetings = stream::repeat(text).then(move |text| async move {
            if pause > 0 {
                sleep(seconds(pause)).await;
            }
            Ok(Greeting { text })
        });
        let greetings: Greetings = Box::pin(greetings);
        Ok(Response::new(greetings))
    }

    /// Never.
    async fn greet_all(&self, _: Request<Streaming<Name>>) -> Result<Response<Greeting>, Status> {
        std::future::pending().await
    }
}

type Accepted = UnboundedReceiverStream<io::Result<DuplexStream>>;

/// A server over memory. It ends with the test's runtime.
#[derive(Clone)]
struct Running {
    connections: mpsc::UnboundedSender<io::Result<DuplexStream>>,
    closed: Arc<Mutex<Vec<Closed>>>,
}

/// A server whose connections are enforced as `set` says. It sends no pings itself.
fn start(set: impl FnOnce(Enforce<Accepted>) -> Enforce<Accepted>) -> Running {
    start_as(Server::builder(), set)
}

fn start_as(
    mut server: Server,
    set: impl FnOnce(Enforce<Accepted>) -> Enforce<Accepted>,
) -> Running {
    let closed: Arc<Mutex<Vec<_>>> = Arc::default();
    let log = closed.clone();
    let router = server.add_service(GreeterServer::new(Obedient));
    let connections = serve(router, |accepted| {
        set(enforce(accepted)).on_close(move |why| log.lock().unwrap().push(why))
    });
    Running {
        connections,
        closed,
    }
}

/// tonic without this module.
fn start_alone(mut server: Server) -> Running {
    let router = server.add_service(GreeterServer::new(Obedient));
    Running {
        connections: serve(router, |accepted| accepted),
        closed: Arc::default(),
    }
}

fn serve<I, IO>(
    router: Router,
    wrap: impl FnOnce(Accepted) -> I,
) -> mpsc::UnboundedSender<io::Result<DuplexStream>>
where
    I: Stream<Item = io::Result<IO>> + Send + 'static,
    IO: tokio::io::AsyncRead
        + tokio::io::AsyncWrite
        + tonic::transport::server::Connected
        + Unpin
        + Send
        + 'static,
{
    let (connections, accepted) = mpsc::unbounded_channel();
    let incoming = wrap(UnboundedReceiverStream::new(accepted));
    tokio::spawn(router.serve_with_incoming(incoming));
    connections
}

impl Running {
    fn accept(&self) -> DuplexStream {
        let (client, server) = duplex(64 * 1024);
        self.connections.send(Ok(server)).unwrap();
        client
    }

    async fn raw(&self) -> Raw {
        let mut raw = Raw(self.accept());
        raw.send(&opening()).await;
        raw
    }

    /// How the connections have ended so far.
    fn closed(&self) -> Vec<Closed> {
        self.closed.lock().unwrap().clone()
    }

    /// A connector to this server, for a channel.
    fn connector(
        &self,
    ) -> impl Service<
        tonic::codegen::http::Uri,
        Response = TokioIo<DuplexStream>,
        Error = io::Error,
        Future = std::future::Ready<io::Result<TokioIo<DuplexStream>>>,
    > + Clone
    + Send
    + Sync
    + 'static {
        let server = self.clone();
        tower::service_fn(move |_| std::future::ready(Ok(TokioIo::new(server.accept()))))
    }
}

/// A client by hand.
struct Raw(DuplexStream);

impl Raw {
    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    async fn ping(&mut self) {
        self.send(&frame(PING, 0, 0, b"are you?")).await;
    }

    /// Lets the server send as much as it likes.
    async fn open_window(&mut self) {
        let initial = [0, 4, 0x7f, 0xff, 0xff, 0xff];
        self.send(&frame(SETTINGS, 0, 0, &initial)).await;
        self.send(&frame(8, 0, 0, &[0x7f, 0xfe, 0, 0])).await;
    }

    /// Begins a call that ends when the server ends it.
    async fn call(&mut self, stream: u32, method: &str, name: &str) {
        self.send(&call(stream, method, name)).await;
    }

    async fn frame(&mut self) -> Option<Frame> {
        let mut prefix = [0; 9];
        self.0.read_exact(&mut prefix).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = prefix;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes(stream);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// The next frame that isn't the server's settings, window or answer to one of our pings.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            let is_ack = frame.flags == ACK && matches!(frame.kind, SETTINGS | PING);
            if !is_ack && !matches!(frame.kind, SETTINGS | 8) {
                return Some(frame);
            }
        }
    }

    /// The server's farewell that refuses nothing yet, and its ping, not yet answered.
    async fn farewell(&mut self) -> (Frame, Frame) {
        loop {
            let frame = self.next().await.unwrap();
            if frame.kind == GOAWAY {
                let ping = self.next().await.unwrap();
                assert_eq!((ping.kind, ping.flags), (PING, 0));
                return (frame, ping);
            }
        }
    }

    async fn answer(&mut self, ping: &Frame) {
        self.send(&answer(ping)).await;
    }

    /// Everything up to the end of the connection.
    async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    /// Whether the server keeps the connection open for `time`, whatever it sends.
    async fn stays_open(&mut self, time: Duration) -> bool {
        timeout(time, self.rest()).await.is_err()
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The last stream, the reason and the debug data of a GOAWAY.
fn goaway(frame: &Frame) -> (u32, u32, &str) {
    assert_eq!(frame.kind, GOAWAY, "{frame:?}");
    let number = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
    (
        number(0),
        number(4),
        std::str::from_utf8(&frame.payload[8..]).unwrap(),
    )
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn call(stream: u32, method: &str, name: &str) -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_HEADERS, stream, &headers(method));
    let name = name.as_bytes();
    let length = u8::try_from(name.len()).unwrap();
    let message = [&[0, 0, 0, 0, length + 2, 0x0a, length], name].concat();
    bytes.extend(frame(DATA, END_STREAM, stream, &message));
    bytes
}

fn answer(ping: &Frame) -> Vec<u8> {
    frame(PING, ACK, 0, &ping.payload)
}

/// What a client sends first.
fn opening() -> Vec<u8> {
    [&crate::frames::PREFACE[..], &frame(SETTINGS, 0, 0, &[])].concat()
}

/// The headers of a call. RFC 7541, without Huffman.
fn headers(method: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (&[0x04][..], format!("/greeter.v1.Greeter/{method}")),
        (&[0x01], "localhost".to_owned()),
        (&[0x0f, 0x10], "application/grpc".to_owned()),
    ] {
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    block
}
