//! Servers that stop: with calls that end, with calls that don't, and with clients that don't read.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::stream;
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tonic::codegen::BoxStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Error, Server};
use tonic::{Code, Request, Response, Status};

use super::*;
use crate::testing::{post, soon};

mod passes_on;

/// Says what it is asked for, after as many milliseconds as that is.
#[derive(Clone)]
struct Slow(mpsc::UnboundedSender<&'static str>);

impl Slow {
    fn new() -> (Self, UnboundedReceiver<&'static str>) {
        let (log, lines) = mpsc::unbounded_channel();
        (Self(log), lines)
    }
}

/// Says so when it is dropped.
struct Stopped(mpsc::UnboundedSender<&'static str>);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.send("stopped");
    }
}

#[tonic::async_trait]
impl Greeter for Slow {
    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        let text = request.into_inner().name;
        let Ok(millis) = text.parse() else {
            return Err(Status::invalid_argument("how long?"));
        };
        let _ = self.0.send("began");
        let _stopped = Stopped(self.0.clone());
        sleep(Duration::from_millis(millis)).await;
        Ok(Response::new(Greeting { text }))
    }

    /// "polite" ends when the server drains, anything else never.
    async fn greet_often(
        &self,
        request: Request<Name>,
    ) -> Result<Response<BoxStream<Greeting>>, Status> {
        let draining = Draining::of(&request);
        let stopped = Stopped(self.0.clone());
        let greetings = stream::once(async { Ok(Greeting::default()) });
        let greetings = greetings.chain(stream::pending()).map(move |greeting| {
            let _stopped = &stopped;
            greeting
        });
        Ok(Response::new(match &*request.into_inner().name {
            "polite" => Box::pin(draining.end(greetings)),
            _ => Box::pin(greetings),
        }))
    }
}

struct Running {
    url: String,
    stop: UnboundedSender<&'static str>,
    server: JoinHandle<Result<Ended, Error>>,
    lines: UnboundedReceiver<&'static str>,
}

impl Running {
    fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.url.clone()).unwrap();
        endpoint.connect_lazy()
    }

    fn stub(&self) -> GreeterClient<Channel> {
        GreeterClient::new(self.channel())
    }

    fn signal(&self) {
        self.stop.unbounded_send("SIGTERM").unwrap();
    }

    async fn ended(&mut self) -> Ended {
        soon(&mut self.server).await.unwrap().unwrap()
    }
}

async fn start(shutdown: Shutdown) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (slow, lines) = Slow::new();
    let server = Server::builder()
        .layer(shutdown.layer())
        .add_service(GreeterServer::new(slow))
        .serve_with_incoming_shutdown(
            shutdown.incoming(TcpIncoming::from(listener)),
            shutdown.goaway(),
        );
    let (stop, signals) = unbounded();
    let server = tokio::spawn(shutdown.serve(server, signals));
    Running {
        url,
        stop,
        server,
        lines,
    }
}

fn name(name: &str) -> Name {
    let name = name.to_owned();
    Name { name }
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Far longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn it_says_not_serving_then_goes_away_and_calls_end_as_they_would() {
    let (say, mut said) = mpsc::unbounded_channel();
    let (begun, gone) = (say.clone(), say.clone());
    let shutdown = Shutdown::new()
        .notice(millis(300))
        .limit(LONG)
        .on_not_serving(move || begun.send("not serving").unwrap())
        .on_goaway(move || gone.send("goaway").unwrap())
        .on_forced(move || say.send("forced").unwrap());
    let mut running = start(shutdown).await;
    let mut stub = running.stub();
    stub.greet(name("0")).await.unwrap();
    running.signal();
    assert_eq!(soon(said.recv()).await, Some("not serving"));

    // As before, on a new connection too.
    let long = tokio::spawn(async move { stub.greet(name("800")).await });
    running.stub().greet(name("0")).await.unwrap();
    said.try_recv().unwrap_err();

    assert_eq!(soon(said.recv()).await, Some("goaway"));
    let endpoint = Endpoint::from_shared(running.url.clone()).unwrap();
    while let Ok(channel) = endpoint.connect().await {
        // tonic may accept one more while it stops, and tells it to go.
        let _ = GreeterClient::new(channel).greet(name("0")).await;
    }
    let reply = soon(long).await.unwrap().unwrap();
    assert_eq!(reply.into_inner().text, "800");
    assert_eq!(running.ended().await, Ended::Drained);
    assert_eq!(soon(said.recv()).await, None, "nothing was forced");
}

#[tokio::test]
async fn a_stream_that_is_told_ends_between_two_replies() {
    let mut running = start(Shutdown::new().notice(millis(1)).limit(LONG)).await;
    let replies = running.stub().greet_often(name("polite")).await;
    let mut replies = replies.unwrap().into_inner();
    assert!(soon(replies.message()).await.unwrap().is_some());
    running.signal();
    let status = soon(replies.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the server is shutting down");
    assert_eq!(running.ended().await, Ended::Drained);
}

#[tokio::test]
async fn what_is_left_after_the_limit_ends_with_unavailable() {
    let mut running = start(Shutdown::new().notice(millis(1)).limit(millis(300))).await;
    let mut stub = running.stub();
    let replies = stub.greet_often(name("deaf")).await;
    let mut replies = replies.unwrap().into_inner();
    assert!(soon(replies.message()).await.unwrap().is_some());
    let call = tokio::spawn(async move { stub.greet(name("60000")).await });
    assert_eq!(soon(running.lines.recv()).await, Some("began"));
    // This one is over by then.
    running.stub().greet(name("0")).await.unwrap();
    let begin = Instant::now();
    running.signal();
    for status in [
        soon(replies.message()).await.unwrap_err(),
        soon(call).await.unwrap().unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_eq!(status.message(), "the server is shutting down");
    }
    assert!(begin.elapsed() >= millis(300), "{:?}", begin.elapsed());
    let forced = Ended::Forced {
        calls: 2,
        connections: 1,
    };
    assert_eq!(running.ended().await, forced);
    assert!(begin.elapsed() < millis(300) + 2 * LAST_WORDS);
    // The handlers are gone: that of the short call, and these two.
    let mut stopped = 0;
    while let Some(line) = soon(running.lines.recv()).await {
        stopped += usize::from(line == "stopped");
    }
    assert_eq!(stopped, 3);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for (notice, limit) in [(LONG, LONG), (Duration::ZERO, LONG)] {
        let mut running = start(Shutdown::new().notice(notice).limit(limit)).await;
        let replies = running.stub().greet_often(name("deaf")).await;
        let mut replies = replies.unwrap().into_inner();
        assert!(soon(replies.message()).await.unwrap().is_some());
        running.signal();
        let early = timeout(millis(200), &mut running.server).await;
        assert!(early.is_err(), "{early:?}");
        running.signal();
        let forced = Ended::Forced {
            calls: 1,
            connections: 1,
        };
        assert_eq!(running.ended().await, forced);
        assert!(soon(replies.message()).await.is_err());
    }
}

/// A connection whose client doesn't read or answer anything.
async fn silent(url: &str) -> TcpStream {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat();
    stream.write_all(&preface).await.unwrap();
    // The server's SETTINGS have come, so it has the connection.
    stream.read_exact(&mut [0; 9]).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_says_nothing_holds_nobody_up() {
    let mut running = start(Shutdown::new().notice(millis(1)).limit(millis(200))).await;
    let mut silent = silent(&running.url).await;
    running.signal();
    let forced = Ended::Forced {
        calls: 0,
        connections: 1,
    };
    assert_eq!(running.ended().await, forced);
    // Closed, though the process goes on.
    let mut rest = Vec::new();
    let _ = soon(silent.read_to_end(&mut rest)).await;
}

#[tokio::test]
async fn a_second_signal_during_the_notice_leaves_nobody_time() {
    let mut running = start(Shutdown::new().notice(LONG).limit(LONG)).await;
    let _silent = silent(&running.url).await;
    running.signal();
    running.signal();
    let begin = Instant::now();
    let forced = Ended::Forced {
        calls: 0,
        connections: 1,
    };
    assert_eq!(running.ended().await, forced);
    assert!(begin.elapsed() < LAST_WORDS, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn tonic_alone_waits_for_a_client_that_says_nothing() {
    let (url, mut server, stop) = alone().await;
    let _silent = silent(&url).await;
    stop.cancel();
    assert!(timeout(millis(1000), &mut server).await.is_err());
    server.abort();
}

#[tokio::test]
async fn tonic_alone_waits_for_a_stream_without_an_end() {
    let (url, mut server, stop) = alone().await;
    let mut stub = GreeterClient::connect(url).await.unwrap();
    let replies = stub.greet_often(name("deaf")).await.unwrap();
    stop.cancel();
    assert!(timeout(millis(1000), &mut server).await.is_err());
    drop(replies);
    soon(server).await.unwrap();
}

#[tokio::test]
async fn tonic_alone_serves_on_when_the_server_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(GreeterServer::new(Slow::new().0));
    let server = tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let mut stub = GreeterClient::connect(url).await.unwrap();
    stub.greet(name("0")).await.unwrap();
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    for _ in 0..3 {
        stub.greet(name("1")).await.unwrap();
    }
}

async fn alone() -> (String, JoinHandle<()>, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let server = Server::builder()
        .add_service(GreeterServer::new(Slow::new().0))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.clone().cancelled_owned());
    let server = tokio::spawn(async { server.await.unwrap() });
    (url, server, stop)
}

#[tokio::test]
async fn a_server_that_ends_by_itself_says_how() {
    let shutdown = || Shutdown::new().on_not_serving(|| panic!("nobody has said so"));
    let signals = stream::empty::<Signal>;
    let ended = shutdown().serve(async { Ok::<_, Infallible>(()) }, signals());
    assert_eq!(ended.await, Ok(Ended::ByItself));
    let ended = shutdown().serve(async { Err("no listener") }, signals());
    assert_eq!(ended.await, Err("no listener"));
    // No more signals aren't a signal.
    let served = shutdown().serve(pending::<Result<(), Infallible>>(), signals());
    assert!(timeout(millis(50), served).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_times_are_kept() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = || {
        let calls = calls.clone();
        move || _ = calls.fetch_add(1, Ordering::SeqCst)
    };
    let shutdown = Shutdown::new()
        .on_not_serving(count())
        .on_goaway(count())
        .on_forced(count());
    let goaway = tokio::spawn(shutdown.goaway());
    let begin = Instant::now();
    let signals = stream::iter([Signal::Terminate]).chain(stream::pending());
    let server = tokio::spawn(shutdown.serve(pending::<Result<(), Infallible>>(), signals));
    goaway.await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), NOTICE.as_secs());
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let forced = Ended::Forced {
        calls: 0,
        connections: 0,
    };
    assert_eq!(server.await.unwrap(), Ok(forced));
    let expected = NOTICE + LIMIT + 2 * LAST_WORDS;
    assert_eq!(begin.elapsed().as_millis() / 10, expected.as_millis() / 10);
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn without_the_layer_draining_never_begins() {
    let draining = Draining::of(&Request::new(()));
    assert!(!draining.has_begun());
    assert!(timeout(millis(50), draining.begun()).await.is_err());
    let replies = draining.end(stream::iter([Ok(1), Ok(2)]));
    let replies: Vec<_> = replies.map(Result::unwrap).collect().await;
    assert_eq!(replies, [1, 2]);
}

#[tokio::test]
async fn a_stream_that_is_told_drops_what_it_has_and_is_over() {
    let token = CancellationToken::new();
    let draining = Draining::new(token.clone());
    let (held, mut dropped) = tokio::sync::oneshot::channel::<()>();
    let replies = stream::repeat_with(move || {
        let _held = &held;
        Ok::<_, Status>(1)
    });
    let mut replies = draining.end(replies);
    assert_eq!(replies.next().await.unwrap().unwrap(), 1);
    dropped.try_recv().unwrap_err();
    token.cancel();
    assert!(draining.has_begun());
    soon(draining.begun()).await;
    let status = replies.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    soon(&mut dropped).await.unwrap_err();
    assert!(replies.next().await.is_none());
}

#[tokio::test]
async fn an_error_without_a_message_stays_one_block_of_headers() {
    let shutdown = Shutdown::new();
    let (slow, _lines) = Slow::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .layer(shutdown.layer())
        .add_service(GreeterServer::new(slow));
    let server = tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    // Of a path that the service doesn't have.
    let reply = post(address, crate::testing::framed(b"")).await.unwrap();
    assert!(reply.ended_with_headers, "{reply:?}");
    server.abort();
}

#[cfg(unix)]
#[tokio::test]
async fn signals_come_as_they_are_sent() {
    let mut signals = Signals::new().unwrap();
    for (signal, expected, shown) in [
        ("-TERM", Signal::Terminate, "SIGTERM"),
        ("-INT", Signal::Interrupt, "SIGINT"),
        ("-TERM", Signal::Terminate, "SIGTERM"),
    ] {
        let mut kill = std::process::Command::new("kill");
        let status = kill
            .args([signal, &std::process::id().to_string()])
            .status();
        assert!(status.unwrap().success());
        let got = soon(signals.next()).await.unwrap();
        assert_eq!((got, &*got.to_string()), (expected, shown));
    }
    assert!(timeout(millis(20), signals.next()).await.is_err());
}
