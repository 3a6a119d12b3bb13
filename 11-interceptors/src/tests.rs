//! The server with everything on it, and the exercises. The layers one by one are in the modules.

use std::fmt::{Debug, Display};

use tokio::sync::mpsc::Receiver;
use tonic::{Code, Request, Response, Status, Streaming};
use wire::testing::{RawCall, RawReply, framed, soon};
use wire::{Direction, Tap};

use super::*;
use crate::abacus::Abacus;
use crate::auth::SignIn;
use crate::proto::Number;
use crate::proto::calculator_client::CalculatorClient;

mod interceptor;
mod log;
mod order;

const ANN: SignIn = SignIn("token-of-ann");
const BOB: SignIn = SignIn("token-of-bob");
const MINUS_ONE: Number = Number { value: -1.0 };

/// HEADERS with END_STREAM and no DATA: grpcio, grpc-js and grpc-go take nothing else.
#[tokio::test]
async fn every_error_without_a_message_is_one_headers_frame_that_ends_the_stream() {
    let (url, _lines) = start(Abacus).await;
    let tap = Tap::start(&url).await.unwrap();
    let channel = connect(tap.url()).await.unwrap();
    let mut nobody = CalculatorClient::new(channel.clone());
    let mut eve = CalculatorClient::with_interceptor(channel.clone(), SignIn("token-of-eve"));
    let mut bob = CalculatorClient::with_interceptor(channel, BOB);
    for (what, status) in [
        ("the interceptor", nobody.square_root(MINUS_ONE).await.err()),
        ("the interceptor", nobody.maximum(numbers(&[])).await.err()),
        ("the authorisation", eve.square_root(MINUS_ONE).await.err()),
        (
            "the authorisation",
            bob.maximum(numbers(&[1.0])).await.err(),
        ),
        ("the handler", bob.square_root(MINUS_ONE).await.err()),
    ] {
        assert!(status.is_some(), "{what} let a call pass");
    }
    let frames = tap.frames();
    let mut requests = frames.iter().filter(|frame| frame.is_request());
    let timed = |frame: &wire::Frame| frame.header("grpc-timeout").is_some();
    assert!(requests.all(timed), "every call has a deadline");
    let answers: Vec<_> = frames
        .iter()
        .filter(|frame| frame.direction == Direction::ToClient)
        .filter(|frame| frame.role().is_some() || !frame.messages().is_empty())
        .collect();
    assert_eq!(
        answers.len(),
        5,
        "one frame for each of five errors: {answers:?}"
    );
    for frame in answers {
        assert!(frame.is_end_stream(), "{frame:?}");
        assert!(frame.header("grpc-status").is_some(), "{frame:?}");
    }
}

#[tokio::test]
async fn the_log_tells_how_each_call_ended() {
    let (url, mut lines) = start(Abacus).await;
    let mut ann = stub(&url, ANN).await;
    ann.square_root(Number { value: 16.0 }).await.unwrap();
    let mut maxima = ann
        .maximum(numbers(&[2.0, f64::NAN]))
        .await
        .unwrap()
        .into_inner();
    maxima.message().await.unwrap();
    maxima.message().await.unwrap_err();
    stub(&url, BOB)
        .await
        .maximum(numbers(&[]))
        .await
        .unwrap_err();
    for expected in [
        "/calculator.v1.Calculator/SquareRoot: Ok",
        "/calculator.v1.Calculator/Maximum: InvalidArgument",
        "/calculator.v1.Calculator/Maximum: PermissionDenied",
    ] {
        assert_eq!(next(&mut lines).await, expected);
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_call() {
    let (url, lines) = start(Abacus).await;
    let mut bob = stub(&url, BOB).await;
    // The channel of these tests holds eight lines.
    for _ in 0..20 {
        soon("an answer", bob.square_root(MINUS_ONE))
            .await
            .unwrap_err();
    }
    drop(lines);
    let status = soon("an answer", bob.square_root(MINUS_ONE))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

/// Reflection and health stand on the same server one day, and have methods of their own.
#[tokio::test]
async fn a_method_of_the_same_name_in_another_service_stays_closed() {
    let (url, _lines) = start(Abacus).await;
    for path in [
        "/other.v1.Calculator/SquareRoot",
        "/SquareRoot",
        "/x/calculator.v1.Calculator/SquareRoot",
        "/calculator.v1.Calculator/SquareRoot/",
        "/calculator.v1.Calculator/squareRoot",
    ] {
        let reply = call(&url, path, Some("Bearer token-of-ann")).await;
        assert_eq!(reply.status(), Some("PERMISSION_DENIED"), "{path}");
    }
}

#[tokio::test]
async fn only_a_bearer_token_that_somebody_has_lets_a_call_in() {
    let (url, _lines) = start(Abacus).await;
    for (authorization, expected) in [
        (None, "this call has no token"),
        (Some(&b"token-of-bob"[..]), "this call has no token"),
        (Some(b"Basic token-of-bob"), "this call has no token"),
        (Some(b"Bearer \xff"), "this call has no token"),
        (Some(b"Bearer "), "nobody has this token"),
        (Some(b"Bearer token-of-bob "), "nobody has this token"),
        (Some(b"Bearer token-of-eve"), "nobody has this token"),
    ] {
        let path = "/calculator.v1.Calculator/SquareRoot";
        let reply = call(&url, path, authorization).await;
        assert_eq!(reply.status(), Some("UNAUTHENTICATED"), "{authorization:?}");
        assert_eq!(
            reply.message().as_deref(),
            Some(expected),
            "{authorization:?}"
        );
    }
}

/// Both sides have a clock. Here the client has none.
#[tokio::test]
async fn the_server_ends_a_call_whose_deadline_has_passed() {
    let (url, mut lines) = start(Abacus).await;
    let sixteen = framed(&[&[0x09][..], &16_f64.to_le_bytes()].concat());
    let call = RawCall::new("/calculator.v1.Calculator/SquareRoot")
        .header("authorization", "Bearer token-of-bob")
        .header("grpc-timeout", "100m")
        .body(sixteen);
    assert_eq!(call.send(&url).await.status(), Some("DEADLINE_EXCEEDED"));
    let expected = "/calculator.v1.Calculator/SquareRoot: DeadlineExceeded";
    assert_eq!(next(&mut lines).await, expected);
}

#[tokio::test]
async fn a_path_cannot_forge_a_line_of_the_log() {
    let (url, mut lines) = start(Abacus).await;
    call(&url, "/a%0AOk", None::<&str>).await;
    assert_eq!(next(&mut lines).await, "/a%0AOk: Unauthenticated");
}

#[tokio::test]
async fn a_panic_is_logged_as_unknown_in_a_handler_and_in_its_stream() {
    let (url, mut lines) = start(Clumsy).await;
    let mut ann = stub(&url, ANN).await;
    let status = ann.square_root(MINUS_ONE).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    let mut maxima = ann.maximum(numbers(&[1.0])).await.unwrap().into_inner();
    let status = maxima.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    for method in ["SquareRoot", "Maximum"] {
        let expected = format!("/calculator.v1.Calculator/{method}: Unknown");
        assert_eq!(next(&mut lines).await, expected);
    }
}

#[tokio::test]
#[ignore = "exercise 1: number the calls"]
async fn exercise_1_numbers_the_calls_of_each_method() {
    let (url, _lines) = start(Abacus).await;
    let number = |metadata: &tonic::metadata::MetadataMap| {
        let number = metadata.get("call-number").map(|it| it.to_str().unwrap());
        number.map(str::to_owned)
    };
    let mut ann = stub(&url, ANN).await;
    for expected in ["1", "2"] {
        let response = ann.maximum(numbers(&[16.0])).await.unwrap();
        let what = "the header `call-number` of Ann's calls of Maximum";
        expect(number(response.metadata()).as_deref(), Some(expected), what);
    }
    let status = ann.square_root(MINUS_ONE).await.unwrap_err();
    let got = number(status.metadata());
    let what = "`call-number` of the first call of SquareRoot, which ends with an error";
    expect(got.as_deref(), Some("1"), what);
    let mut bob = stub(&url, BOB).await;
    let status = bob.maximum(numbers(&[])).await.unwrap_err();
    let what = "`call-number` of a call that isn't let in";
    expect(number(status.metadata()), None, what);
    let mut ann = stub(&url, ANN).await;
    let response = ann.maximum(numbers(&[16.0])).await.unwrap();
    let what = "`call-number` of Ann's third call of Maximum, on another connection";
    expect(number(response.metadata()).as_deref(), Some("3"), what);
}

#[test]
#[ignore = "exercise 2: faults on purpose"]
fn exercise_2_every_nth_call_fails() {
    for (n, expected) in [
        (0, "......."),
        (1, "xxxxxxx"),
        (2, ".x.x.x."),
        (3, "..x..x."),
        (8, "......."),
    ] {
        let interceptor = faults::every(n);
        let mut clones = [interceptor.clone(), interceptor];
        let mut got = String::new();
        for call in 0..7 {
            // Stubs are cloned, and their interceptors with them.
            match clones[call % 2](Request::new(())).map_err(|status| status.code()) {
                Ok(_) => got.push('.'),
                Err(Code::Unavailable) => got.push('x'),
                Err(code) => panic!("every({n}): expected UNAVAILABLE, got {code:?}"),
            }
        }
        let what = format!("seven calls with every({n}), by two clones in turn (x: refused)");
        expect(got.as_str(), expected, what);
    }
}

#[tokio::test]
#[ignore = "exercise 3: who am I?"]
async fn exercise_3_tells_callers_who_they_are() {
    let (url, _lines) = start(Abacus).await;
    let path = "/calculator.v1.Calculator/WhoAmI";
    for (token, name) in [
        ("Bearer token-of-ann", "Ann"),
        ("Bearer token-of-bob", "Bob"),
    ] {
        let reply = call(&url, path, Some(token)).await;
        let what = format!("the status of WhoAmI, called with `{token}`");
        expect(reply.status(), Some("OK"), what);
        let expected = [&[0x0a, 3], name.as_bytes()].concat();
        let got = reply.messages.first().map(|message| message.to_vec());
        let what = format!("the reply's bytes for {name}: the name as field 1, a string");
        expect(got, Some(expected), what);
    }
    for token in [None, Some("Bearer token-of-eve")] {
        let reply = call(&url, path, token).await;
        let what = format!("the status of WhoAmI, called with {token:?}");
        expect(reply.status(), Some("UNAUTHENTICATED"), what);
    }
}

/// Fails with a sentence that says what was expected and what came.
#[track_caller]
fn expect<T: PartialEq + Debug>(got: T, expected: T, what: impl Display) {
    assert!(
        got == expected,
        "{what}: expected {expected:?}, got {got:?}"
    );
}

/// Whoever wrote these handlers was in a hurry.
#[derive(Clone, Copy)]
struct Clumsy;

#[tonic::async_trait]
impl Calculator for Clumsy {
    async fn square_root(&self, _: Request<Number>) -> Result<Response<Number>, Status> {
        panic!("on purpose");
    }

    async fn maximum(
        &self,
        _: Request<Streaming<Number>>,
    ) -> Result<Response<tonic::codegen::BoxStream<Number>>, Status> {
        let panics = tokio_stream::iter([()]);
        let panics = tokio_stream::StreamExt::map(panics, |()| panic!("on purpose"));
        Ok(Response::new(Box::pin(panics)))
    }

    /// Client streaming: one reply, after the last request.
    async fn add_up(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<Number>, Status> {
        let (mut numbers, mut value) = (request.into_inner(), 0.0);
        while let Some(number) = numbers.message().await? {
            value += number.value;
        }
        Ok(Response::new(Number { value }))
    }
}

fn numbers(values: &[f64]) -> impl tokio_stream::Stream<Item = Number> + Send + 'static {
    let numbers: Vec<_> = values.iter().map(|&value| Number { value }).collect();
    tokio_stream::iter(numbers)
}

/// A call by hand, with a request without fields, as somebody with this `authorization`.
async fn call<A: AsRef<[u8]>>(url: &str, path: &str, authorization: Option<A>) -> RawReply {
    let call = RawCall::new(path).body(framed(b""));
    let call = match authorization {
        Some(value) => call.header("authorization", value),
        None => call,
    };
    call.send(url).await
}

type Stub = CalculatorClient<tonic::service::interceptor::InterceptedService<Connection, SignIn>>;

async fn stub(url: &str, who: SignIn) -> Stub {
    CalculatorClient::with_interceptor(connect(url.to_owned()).await.unwrap(), who)
}

/// Serves on a free port; returns the URL and the log.
async fn start(calculator: impl Calculator) -> (String, Receiver<String>) {
    let (listener, url) = bind().await;
    let (log, lines) = mpsc::channel(8);
    tokio::spawn(serve(listener, calculator, log));
    (url, lines)
}

async fn bind() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// The next line, without "slow": on a busy machine any call can be.
async fn next(lines: &mut Receiver<String>) -> String {
    let line = soon("a line of the log", lines.recv()).await.unwrap();
    line.trim_end_matches(", slow").to_owned()
}
