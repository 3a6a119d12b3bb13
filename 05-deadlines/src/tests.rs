//! What the two servers do with a deadline, and the exercises.

use std::io;

use conform::deadline::{ClientDeadline, ServerDeadline, parse_timeout};
use conform::status::explain;
use hyper_util::rt::TokioIo;
use tokio::io::duplex;
use tokio::sync::mpsc::{self, Receiver};
use tokio::sync::oneshot;
use tokio::time::{Instant, advance, sleep};
use tonic::body::Body;
use tonic::codegen::{BoxStream, http};
use tonic::metadata::MetadataMap;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tower::{ServiceExt, service_fn};
use wire::testing::soon;
use wire::{Frame, Tap};

use super::*;
use crate::front::THINKING;
use crate::proto::calculator_server::Calculator;
use crate::proto::{Integer, Number};

#[tokio::test(start_paused = true)]
async fn the_front_server_passes_on_what_is_left() {
    for (timeout, log, passed_on) in [
        (
            Some(1_000),
            "front: at most 1 s at first, at most 0.5 s left",
            500,
        ),
        (
            Some(1_300),
            "front: at most 1.5 s at first, at most 1 s left",
            800,
        ),
        // The server's own limit counts when the caller allows more, or doesn't say.
        (
            Some(60_000),
            "front: at most 1.5 s at first, at most 1 s left",
            1_000,
        ),
        (
            None,
            "front: at most 1.5 s at first, at most 1 s left",
            1_000,
        ),
    ] {
        let mut front = Chain::start();
        let request = within(timeout, Integer { value: 6 });
        front.calculator.factorize(request).await.unwrap();
        assert_eq!(front.log.try_recv().unwrap(), log, "of {timeout:?} ms");
        let timeout = front.timeouts.try_recv().unwrap();
        assert_about("passed on", timeout, millis(passed_on));
    }
}

#[tokio::test(start_paused = true)]
async fn the_front_server_refuses_at_once_what_it_cannot_begin() {
    for (timeout, begins) in [(1, false), (499, false), (500, false), (502, true)] {
        let mut front = Chain::start();
        let start = Instant::now();
        let request = within(Some(timeout), Integer { value: 6 });
        let status = front.calculator.factorize(request).await.err();
        let code = status.as_ref().map(Status::code);
        let asked = front.timeouts.try_recv().is_ok();
        assert_eq!(
            asked, begins,
            "whether the back server was asked, of {timeout} ms"
        );
        if !begins {
            assert_eq!(code, Some(Code::DeadlineExceeded), "of {timeout} ms");
            assert_eq!(
                status.unwrap().message(),
                "too little time is left to begin"
            );
            assert_eq!(
                start.elapsed(),
                Duration::ZERO,
                "refused at once, of {timeout} ms"
            );
            front.log.try_recv().unwrap_err();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_dropped_when_its_deadline_passes() {
    let mut front = Chain::start();
    let start = Instant::now();
    let request = within(Some(100), Number { value: 16.0 });
    let status = front.calculator.square_root(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_about("the client gave up after", start.elapsed(), millis(100));
    // Long enough for the handler to finish, if it were still there.
    sleep(2 * THINKING).await;
    assert_eq!(front.log.try_recv().unwrap(), "front: square root begun");
    assert!(front.log.try_recv().is_err(), "the handler went on");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_in_time_is_left_alone() {
    let mut front = Chain::start();
    let request = within(Some(1_000), Number { value: 16.0 });
    let root = front.calculator.square_root(request).await.unwrap();
    assert_eq!(root.into_inner().value, 4.0);
    for line in ["front: square root begun", "front: square root done"] {
        assert_eq!(front.log.try_recv().unwrap(), line);
    }
    let request = within(Some(1_000), Number { value: -4.0 });
    let status = front.calculator.square_root(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn both_servers_stop_when_the_deadline_passes() {
    let (url, mut log) = start().await;
    let mut calculator = connect(&url);
    // The product of two primes below 2³²: the search for the first one takes many seconds.
    for (number, found) in [(18_446_743_979_220_271_189, &[][..]), (HARD, &[2])] {
        let request = within(Some(1_000), Integer { value: number });
        let replies = soon("headers", calculator.factorize(request))
            .await
            .unwrap();
        let (values, end) = soon("the deadline", read(replies.into_inner())).await;
        assert_eq!(values, found, "what came in time isn't lost");
        assert_eq!(end.unwrap_err().code(), Code::DeadlineExceeded);
        for line in [
            "front: at most 1 s at first, at most 0.5 s left".to_owned(),
            format!("back: at most 0.5 s to factor {number}"),
            format!("back: {number} stopped"),
        ] {
            assert_eq!(soon(&line, log.recv()).await.unwrap(), line);
        }
    }
}

#[tokio::test]
async fn factors_come_from_the_back_server_and_so_do_its_errors() {
    let (url, mut log) = start().await;
    let mut calculator = connect(&url);
    let request = within(Some(10_000), Integer { value: 60 });
    let replies = calculator.factorize(request).await.unwrap().into_inner();
    let (values, end) = soon("the last factor", read(replies)).await;
    assert_eq!(values, [2, 2, 3, 5]);
    end.unwrap();
    for line in [
        "front: at most 1.5 s at first, at most 1 s left",
        "back: at most 1 s to factor 60",
        "back: 60 done",
    ] {
        assert_eq!(soon(line, log.recv()).await.unwrap(), line);
    }
    let request = within(Some(10_000), Integer { value: 0 });
    let status = calculator.factorize(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(
        status.message(),
        server_streaming::factors(0).err().unwrap().message()
    );
}

#[tokio::test(start_paused = true)]
async fn the_back_servers_metadata_go_no_further() {
    let mut front = Chain::start();
    for (number, after) in [(7, 0), (8, 1)] {
        let request = within(Some(1_000), Integer { value: number });
        let (values, end) = match front.calculator.factorize(request).await {
            Ok(replies) => read(replies.into_inner()).await,
            Err(status) => (Vec::new(), Err(status)),
        };
        assert_eq!(values.len(), after, "factors before the error");
        let status = end.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Aborted, "no"));
        assert!(status.metadata().get("internal").is_none(), "{status:?}");
    }
}

#[tokio::test]
async fn client_and_server_judge_for_themselves() {
    let (url, mut log) = start().await;
    let tap = Tap::start(&url).await.unwrap();
    // There and back takes 1.2 s, though the server is done after half a second.
    tap.delay(millis(600));
    let request = within(Some(1_000), Number { value: 16.0 });
    let mut calculator = connect(&tap.url());
    let call = soon("the client's verdict", calculator.square_root(request));
    assert_eq!(call.await.unwrap_err().code(), Code::DeadlineExceeded);
    for line in ["front: square root begun", "front: square root done"] {
        assert_eq!(soon(line, log.recv()).await.unwrap(), line);
    }
    let request = tap.wait_for(Frame::is_request).await;
    assert_eq!(request.header("grpc-timeout").as_deref(), Some("1000000u"));
}

#[tokio::test(start_paused = true)]
#[ignore = "exercise 1: the back server says what is left, 200 ms before its deadline"]
async fn exercise_1_says_what_is_left_200_ms_before_the_deadline() {
    for (number, found, left) in [
        (18_446_743_979_220_271_189, &[][..], "18446743979220271189"),
        (18_446_743_746_004_446_658, &[2], "9223371873002223329"),
    ] {
        let (log, _lines) = mpsc::channel(64);
        let back = CalculatorServer::new(Back { log });
        let mut back = CalculatorClient::new(ServerDeadlineLayer::new().layer(back));
        let request = within(Some(1_000), Integer { value: number });
        let replies = explained(back.factorize(request).await).unwrap();
        let replies = replies.into_inner();
        let mut end = tokio::spawn(read(replies));
        // The clock stands still while the search runs, except here.
        advance(millis(790)).await;
        if let Some(early) = real_time(millis(100), &mut end).await {
            let (values, end) = early.unwrap();
            let end = explained(end);
            panic!("210 ms before the deadline, it ended: {values:?}, then {end:?}");
        }
        advance(millis(20)).await;
        let end = real_time(millis(5_000), &mut end).await;
        let (values, end) = end
            .expect("190 ms before the deadline, the search goes on")
            .unwrap();
        assert_eq!(values, found, "the factors found until then");
        let status = end.expect_err("190 ms before the deadline, the call ended with OK");
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let message = status.message();
        assert!(
            message.contains(left),
            "{message:?} should name what is left, {left}"
        );
    }
}

#[tokio::test(start_paused = true)]
#[ignore = "exercise 2: three calls, one deadline"]
async fn exercise_2_three_calls_share_one_deadline() {
    // Each square root takes 500 ms of the time that is left.
    for (time, roots, timeouts) in [
        (2_000, Some(vec![2.0, 3.0, 4.0]), vec![2_000, 1_500, 1_000]),
        (1_750, Some(vec![2.0, 3.0, 4.0]), vec![1_750, 1_250, 750]),
        (1_250, None, vec![1_250, 750, 250]),
    ] {
        let (backend, mut seen) = Recorder::new();
        let channel = in_memory(CalculatorServer::new(backend));
        let mut calculator = CalculatorClient::new(ClientDeadlineLayer::new().layer(channel));
        let start = Instant::now();
        let calls = budget::square_roots(&mut calculator, &[4.0, 9.0, 16.0], millis(time));
        let got = calls.await;
        let code = got.as_ref().err().map(Status::code);
        match (explained(got), roots) {
            (Ok(got), Some(roots)) => assert_eq!(got, roots, "the roots of 4, 9 and 16"),
            (Err(_), None) if code == Some(Code::DeadlineExceeded) => {
                assert_about("it gave up after", start.elapsed(), millis(time));
            }
            (got, Some(_)) => panic!("{time} ms are enough for three calls, but: {got:?}"),
            (got, None) => panic!("{time} ms are too few: DEADLINE_EXCEEDED, not {got:?}"),
        }
        for (call, expected) in (1..).zip(timeouts) {
            let timeout = seen.try_recv();
            let timeout = timeout.unwrap_or_else(|_| panic!("call {call} was not made"));
            let what = format!("the timeout of call {call}, of {time} ms in all");
            assert_about(&what, timeout, millis(expected));
        }
    }
}

#[tokio::test(start_paused = true)]
#[ignore = "exercise 3: how much time is left?"]
async fn exercise_3_tells_how_much_time_is_left() {
    let (log, _lines) = mpsc::channel(64);
    let (backend, _timeouts) = Recorder::new();
    let channel = in_memory(CalculatorServer::new(backend));
    let back = CalculatorClient::new(ClientDeadlineLayer::new().layer(channel));
    let front = CalculatorServer::new(Front { back, log });
    // Without the server's own limit, so that there can be no deadline at all.
    let service = ServerDeadlineLayer::new().layer(front);
    for (timeout, reply) in [
        // Field 1 as a varint: 300 is ac 02, 50 is 32.
        (Some("300m"), &b"\x08\xac\x02"[..]),
        (Some("50m"), b"\x08\x32"),
        // Absent, not zero: there is no deadline.
        (None, b""),
    ] {
        let empty_message = Body::new(http_body_util::Full::new(vec![0; 5].into()));
        let mut request = http::Request::post("/calculator.v1.Calculator/TimeLeft")
            .header("content-type", "application/grpc")
            .body(empty_message)
            .unwrap();
        if let Some(timeout) = timeout {
            let headers = request.headers_mut();
            headers.insert("grpc-timeout", timeout.parse().unwrap());
        }
        let response = service.clone().oneshot(request).await.unwrap();
        if let Some(status) = Status::from_header_map(response.headers()) {
            panic!(
                "TimeLeft with grpc-timeout {timeout:?} failed: {}",
                explain(&status)
            );
        }
        let body = http_body_util::BodyExt::collect(response.into_body()).await;
        let body = body.unwrap().to_bytes();
        assert_eq!(
            &body[5..],
            reply,
            "the reply's bytes, with grpc-timeout {timeout:?}"
        );
    }
}

const HARD: u64 = 720_000_009_600_000_014;

/// An error as one line, for whoever reads why a test has failed.
fn explained<T>(result: Result<T, Status>) -> Result<T, String> {
    result.map_err(|status| explain(&status))
}

/// Serves on a free port; returns where, and the log.
async fn start() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (log, lines) = mpsc::channel(64);
    tokio::spawn(serve(listener, log));
    (url, lines)
}

fn connect(url: &str) -> CalculatorClient<ClientDeadline<Channel>> {
    let channel = Channel::from_shared(url.to_owned()).unwrap().connect_lazy();
    CalculatorClient::new(ClientDeadlineLayer::new().layer(channel))
}

/// The front server and a recorder behind it, without a network: paused time needs that, for it
/// runs ahead whenever everything else waits.
struct Chain {
    calculator: CalculatorClient<ServerDeadline<CalculatorServer<Front>>>,
    log: Receiver<String>,
    timeouts: Receiver<Duration>,
}

impl Chain {
    fn start() -> Self {
        let (recorder, timeouts) = Recorder::new();
        let channel = in_memory(CalculatorServer::new(recorder));
        let back = CalculatorClient::new(ClientDeadlineLayer::new().layer(channel));
        let (sender, log) = mpsc::channel(64);
        let front = CalculatorServer::new(Front { back, log: sender });
        let service = ServerDeadlineLayer::new().limit(LIMIT).layer(front);
        Self {
            calculator: CalculatorClient::new(service),
            log,
            timeouts,
        }
    }
}

/// Stands in for a server: records the `grpc-timeout` of each call.
struct Recorder(mpsc::Sender<Duration>);

impl Recorder {
    fn new() -> (Self, Receiver<Duration>) {
        let (sender, timeouts) = mpsc::channel(64);
        (Self(sender), timeouts)
    }

    fn record<T>(&self, request: &Request<T>) {
        let timeout = request.metadata().get("grpc-timeout");
        let timeout = timeout.expect("a call without grpc-timeout").as_bytes();
        self.0.try_send(parse_timeout(timeout).unwrap()).unwrap();
    }
}

#[tonic::async_trait]
impl Calculator for Recorder {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        self.record(&request);
        sleep(millis(500)).await;
        let value = request.into_inner().value.sqrt();
        Ok(Response::new(Number { value }))
    }

    /// Fails for 7 at once and for 8 after a reply; otherwise nothing comes.
    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        self.record(&request);
        let mut metadata = MetadataMap::new();
        metadata.insert("internal", "secret".parse().unwrap());
        let error = Status::with_metadata(Code::Aborted, "no", metadata);
        let replies = match request.into_inner().value {
            7 => return Err(error),
            8 => vec![Ok(Integer { value: 2 }), Err(error)],
            _ => vec![],
        };
        Ok(Response::new(Box::pin(tokio_stream::iter(replies))))
    }
}

/// A channel to `service` through memory.
fn in_memory<T: Calculator>(service: CalculatorServer<T>) -> Channel {
    Endpoint::from_static("http://in.memory").connect_with_connector_lazy(service_fn(
        move |_: http::Uri| {
            let (client, server) = duplex(64 * 1024);
            let server = tokio_stream::once(Ok::<_, io::Error>(server));
            let serving = Server::builder()
                .add_service(service.clone())
                .serve_with_incoming(server);
            tokio::spawn(serving);
            async { Ok::<_, io::Error>(TokioIo::new(client)) }
        },
    ))
}

fn within<T>(timeout: Option<u64>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(timeout) = timeout {
        request.set_timeout(millis(timeout));
    }
    request
}

/// What `future` comes to within a time that no paused clock holds up.
async fn real_time<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let (fire, up) = oneshot::channel();
    std::thread::spawn(move || {
        std::thread::sleep(time);
        let _ = fire.send(());
    });
    tokio::select! {
        output = future => Some(output),
        _ = up => None,
    }
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Paused time goes on in whole milliseconds.
fn assert_about(what: &str, time: Duration, expected: Duration) {
    assert!(
        time.abs_diff(expected) <= millis(2),
        "{what}: expected {expected:?}, got {time:?}"
    );
}

/// Everything that a stream brings, and how it ends.
async fn read(mut replies: tonic::Streaming<Integer>) -> (Vec<u64>, Result<(), Status>) {
    let mut values = Vec::new();
    loop {
        match replies.message().await {
            Ok(Some(reply)) => values.push(reply.value),
            Ok(None) => return (values, Ok(())),
            Err(status) => return (values, Err(status)),
        }
    }
}
