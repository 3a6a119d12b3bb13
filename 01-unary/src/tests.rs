//! A call as it travels, what the two services answer, and the exercises.

use conform::status::explain;
use tonic::Code;
use wire::testing::{RawReply, framed, outline, post, soon};
use wire::{Direction, Role, Tap};

use super::*;
use crate::proto::calculator::Integer;
use crate::proto::helloworld::greeter_client::GreeterClient;

mod garbage;
mod protobuf;

#[tokio::test]
async fn a_call_is_headers_and_a_message_each_way_and_the_status_comes_last() {
    let tap = Tap::start(start().await).await.unwrap();
    let mut calculator = CalculatorClient::connect(tap.url()).await.unwrap();
    let sixteen = Number { value: 16.0 };
    let root = calculator.square_root(sixteen).await.unwrap();
    assert_eq!(root.into_inner().value, 4.0);
    assert_eq!(
        outline(&tap),
        [
            "client: Request",
            "client: { value: 16 }",
            "client: END_STREAM",
            "server: Response",
            "server: { value: 4 }",
            "server: Trailers",
            "server: END_STREAM",
        ]
    );
    let frames = tap.frames();
    let request = frames.iter().find(|frame| frame.is_request()).unwrap();
    assert_eq!(request.path(), Some("/calculator.v1.Calculator/SquareRoot"));
    let trailers = frames.iter().find(|frame| frame.is_trailers()).unwrap();
    assert_eq!(trailers.header("grpc-status").as_deref(), Some("0"));
}

#[tokio::test]
async fn an_error_is_one_frame() {
    let tap = Tap::start(start().await).await.unwrap();
    let mut calculator = CalculatorClient::connect(tap.url()).await.unwrap();
    let minus_four = Number { value: -4.0 };
    calculator.square_root(minus_four).await.unwrap_err();
    let mut frames = tap.frames();
    frames.retain(|frame| frame.direction == Direction::ToClient && frame.belongs_to_a_call());
    let [only] = frames.as_slice() else {
        panic!("not one frame: {frames:?}");
    };
    assert_eq!(only.role(), Some(Role::TrailersOnly));
    assert_eq!(only.header("grpc-status").as_deref(), Some("3"));
    assert!(only.is_end_stream());
}

#[tokio::test]
async fn two_stubs_share_one_connection() {
    let tap = Tap::start(start().await).await.unwrap();
    let channel = Channel::from_shared(tap.url()).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut greeter = GreeterClient::new(channel.clone());
    let mut calculator = CalculatorClient::new(channel);
    let (again, root) = tokio::join!(
        greeter.say_hello_again(ann()),
        calculator.square_root(Number { value: 9.0 }),
    );
    assert_eq!(again.unwrap().into_inner().message, "Hello again, Ann!");
    assert_eq!(root.unwrap().into_inner().value, 3.0);
    assert_eq!(tap.connections(), 1);
}

#[tokio::test]
async fn what_has_no_square_root_is_refused_by_name() {
    let mut calculator = CalculatorClient::connect(start().await).await.unwrap();
    for (value, root) in [(16.0, 4.0), (0.0, 0.0), (f64::INFINITY, f64::INFINITY)] {
        let reply = calculator.square_root(Number { value }).await.unwrap();
        assert_eq!(reply.into_inner().value, root);
    }
    for (value, name) in [(-4.0, "of -4"), (-0.5, "of -0.5"), (f64::NAN, "of NaN")] {
        let status = calculator.square_root(Number { value }).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().ends_with(name), "{}", status.message());
    }
}

#[tokio::test]
async fn a_method_of_another_lesson_is_unimplemented() {
    let mut calculator = CalculatorClient::connect(start().await).await.unwrap();
    let twelve = Integer { value: 12 };
    let status = calculator.factorize(twelve).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
#[ignore = "exercise 1: divide"]
async fn exercise_1_divides() {
    let mut calculator = CalculatorClient::connect(start().await).await.unwrap();
    for (left, right, expected) in [(7.0, 2.0, 3.5), (-1.0, 4.0, -0.25), (0.0, 5.0, 0.0)] {
        let reply = calculator.divide(Operands { left, right }).await;
        let got = reply.map(|reply| reply.into_inner().value);
        let got = got.unwrap_or_else(|status| {
            panic!(
                "{left} / {right}: expected {expected}, got {}",
                explain(&status)
            )
        });
        assert_eq!(got, expected, "{left} / {right} (left: yours)");
    }
    for left in [1.0, -1.0, 0.0] {
        let reply = calculator.divide(Operands { left, right: 0.0 }).await;
        let Err(status) = reply else {
            panic!("{left} / 0: expected INVALID_ARGUMENT, got {reply:?}");
        };
        let expected = (Code::InvalidArgument, "nothing can be divided by zero");
        let got = (status.code(), status.message());
        assert_eq!(got, expected, "{left} / 0 (left: yours)");
    }
}

/// Answers every question with one more than the number, and refuses numbers below zero.
struct Successor;

#[tonic::async_trait]
impl Calculator for Successor {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        match request.into_inner().value {
            value if value < 0.0 => Err(Status::invalid_argument("below zero")),
            value if value > 100.0 => Err(Status::resource_exhausted("too large")),
            value => Ok(Response::new(Number { value: value + 1.0 })),
        }
    }
}

#[tokio::test]
#[ignore = "exercise 2: ask for many square roots"]
async fn exercise_2_asks_for_many_square_roots() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = conform::server::builder().add_service(CalculatorServer::new(Successor));
    tokio::spawn(server.serve_with_incoming(conform::server::incoming(listener)));
    let mut calculator = CalculatorClient::connect(url).await.unwrap();

    // This server answers with one more than the number, so that only its own answers are right.
    let values = [16.0, -4.0, 0.5, -1.0, 2.0];
    let asked = square_roots(&mut calculator, &values);
    let got = soon("the end of square_roots", asked).await;
    let got =
        got.unwrap_or_else(|status| panic!("expected five answers, got {}", explain(&status)));
    let expected = [Some(17.0), None, Some(1.5), None, Some(3.0)];
    assert_eq!(
        got, expected,
        "the server's answers for {values:?} (left: yours)"
    );

    let asked = square_roots(&mut calculator, &[16.0, 101.0, -4.0]);
    let got = soon("the end of square_roots", asked).await;
    let got = got.map_err(|status| status.code());
    let expected = Err(Code::ResourceExhausted);
    assert_eq!(
        got, expected,
        "for 101 the server has another error (left: yours)"
    );
}

#[tokio::test]
#[ignore = "exercise 3: number the greetings"]
async fn exercise_3_numbers_the_greetings() {
    let url = start().await;
    let say_hello = "/helloworld.Greeter/SayHello";
    let say_hello_again = "/helloworld.Greeter/SayHelloAgain";
    let calls = [say_hello, say_hello_again, say_hello, say_hello];
    for (path, number) in calls.into_iter().zip(1..) {
        let reply = post(&url, path, framed(b"\x0a\x03Ann")).await;
        let message = greeting(&reply);
        let got = varint_of_field_2(&message);
        assert_eq!(
            got,
            Some(number),
            "greeting {number} must carry its number as field 2 (left: yours); bytes: {message:?}"
        );
        // What every client of before reads.
        let text = message
            .strip_suffix(&[0x10, number][..])
            .unwrap_or(&message);
        assert!(
            text.ends_with(b", Ann!") && text[0] == 0x0a,
            "field 1 must still be the greeting; bytes: {message:?}"
        );
    }
    // Another server counts from 1 again.
    let reply = post(start().await, say_hello, framed(b"\x0a\x03Ann")).await;
    let got = varint_of_field_2(&greeting(&reply));
    assert_eq!(
        got,
        Some(1),
        "the first greeting of another server (left: yours)"
    );
}

fn greeting(reply: &RawReply) -> Vec<u8> {
    assert_eq!(reply.status(), Some("OK"), "{:?}", reply.message());
    reply.messages[0].to_vec()
}

/// The value of field 2, if it comes last and is a small integer.
fn varint_of_field_2(message: &[u8]) -> Option<u8> {
    match message {
        [.., 0x10, value] => Some(*value),
        _ => None,
    }
}

fn ann() -> HelloRequest {
    let name = "Ann".to_owned();
    HelloRequest { name }
}

/// Serves on a free port and returns the URL. Clients may connect at once: the listener is bound.
async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener));
    url
}
