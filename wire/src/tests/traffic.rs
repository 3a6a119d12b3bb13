//! Real traffic of lessons 01, 02, 03 and 05, seen by a tap.

use std::future::Future;

use client_streaming::calculator::calculator_client::CalculatorClient as Summarizer;
use deadlines::calculator::calculator_client::CalculatorClient as Timed;
use server_streaming::calculator::calculator_client::CalculatorClient as Factorizer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request};
use unary::calculator::Number;
use unary::calculator::calculator_client::CalculatorClient;
use unary::helloworld::HelloRequest;
use unary::helloworld::greeter_client::GreeterClient;

use super::*;
use crate::{End, FrameType, Role, Seen, Tap, json};

/// Starts a server on a free port, and a tap in front of it.
pub(super) async fn tap<F>(serve: impl FnOnce(TcpListener) -> F) -> Tap
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(serve(listener));
    Tap::start(server).await.unwrap()
}

fn nobody() -> mpsc::UnboundedSender<String> {
    mpsc::unbounded_channel().0
}

pub(super) fn ann() -> HelloRequest {
    HelloRequest {
        name: "Ann".to_owned(),
    }
}

pub(super) fn events(tap: &Tap) -> Vec<Event> {
    let mut events = tap.events();
    std::iter::from_fn(|| events.try_next())
        .map(|seen| match seen {
            Seen::Event(event) => Event::clone(&event),
            Seen::Missed(missed) => panic!("{missed} missed"),
        })
        .collect()
}

/// What frames of one call are, in the order in which they came.
fn outline(tap: &Tap, call: u64) -> Vec<String> {
    let frames = tap.frames();
    let of_call = frames
        .iter()
        .filter(|frame| frame.call.as_ref().is_some_and(|it| it.number == call));
    let mut lines = Vec::new();
    for frame in of_call {
        let sender = frame.direction.sender();
        match frame.kind {
            FrameType::Headers => lines.push(format!("{sender}: {:?}", frame.role().unwrap())),
            FrameType::Data => {
                for message in frame.messages() {
                    lines.push(format!("{sender}: {}", message.text()));
                }
            }
            FrameType::RstStream => lines.push(format!("{sender}: {}", frame.reset().unwrap())),
            _ => {}
        }
        if frame.is_end_stream() {
            lines.push(format!("{sender}: END_STREAM"));
        }
    }
    lines
}

#[tokio::test]
async fn a_unary_call_is_headers_message_trailers() {
    let tap = tap(unary::serve).await;
    let mut greeter = GreeterClient::connect(tap.url()).await.unwrap();
    greeter.say_hello(ann()).await.unwrap();
    // What the client has heard of, the tap has seen.
    assert_eq!(
        outline(&tap, 1),
        [
            "client: Request",
            r#"client: { name: "Ann" }"#,
            "client: END_STREAM",
            "server: Response",
            r#"server: { message: "Hello, Ann!" }"#,
            "server: Trailers",
            "server: END_STREAM",
        ]
    );
}

#[tokio::test]
async fn an_error_without_a_reply_is_trailers_only() {
    let tap = tap(unary::serve).await;
    let mut calculator = CalculatorClient::connect(tap.url()).await.unwrap();
    let status = calculator
        .square_root(Number { value: -4.0 })
        .await
        .unwrap_err();
    let trailers = tap.wait_for(Frame::is_trailers).await;
    assert_eq!(trailers.role(), Some(Role::TrailersOnly));
    assert_eq!(trailers.status(), Some("INVALID_ARGUMENT"));
    assert_eq!(trailers.header(":status").unwrap(), "200");
    let text = ladder(&events(&tap), Show::default());
    assert!(text.contains("HEADERS :status: 200, grpc-status: 3 INVALID_ARGUMENT, END_STREAM ──│"));
    assert!(text.contains(&format!("grpc-message: {}", status.message())));
}

#[tokio::test]
async fn two_stubs_use_one_connection_and_two_streams() {
    let tap = tap(unary::serve).await;
    let channel = Channel::from_shared(tap.url())
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut greeter = GreeterClient::new(channel.clone());
    let mut calculator = CalculatorClient::new(channel);
    let (hello, root) = tokio::join!(
        greeter.say_hello(ann()),
        calculator.square_root(Number { value: 9.0 })
    );
    hello.unwrap();
    root.unwrap();
    assert_eq!(tap.connections(), 1);
    let streams: Vec<_> = tap
        .frames()
        .iter()
        .filter(|frame| frame.is_request())
        .map(|frame| (frame.connection, frame.stream))
        .collect();
    assert_eq!(streams, [(1, 1), (1, 3)]);
}

#[tokio::test]
async fn headers_of_later_calls_come_from_the_table() {
    let tap = tap(unary::serve).await;
    let mut greeter = GreeterClient::connect(tap.url()).await.unwrap();
    for _ in 0..3 {
        let mut request = Request::new(ann());
        request
            .metadata_mut()
            .insert("x-trace", "abc".parse().unwrap());
        request.metadata_mut().insert_bin(
            "x-trace-bin",
            tonic::metadata::MetadataValue::from_bytes(&[0, 1, 255]),
        );
        greeter.say_hello(request).await.unwrap();
    }
    let frames = tap.frames();
    let requests: Vec<_> = frames.iter().filter(|frame| frame.is_request()).collect();
    for request in &requests {
        assert_eq!(request.header("x-trace").unwrap(), "abc");
        assert_eq!(request.header("x-trace-bin").unwrap(), "AAH/");
        assert_eq!(request.fields(), requests[0].fields());
    }
    assert!(requests[2].length < requests[0].length / 2);
}

#[tokio::test]
async fn a_stream_of_replies_has_one_message_each_and_then_the_status() {
    let tap = tap(|listener| server_streaming::serve(listener, nobody())).await;
    let mut calculator = Factorizer::connect(tap.url()).await.unwrap();
    let number = server_streaming::calculator::Integer { value: 12 };
    let mut factors = calculator.factorize(number).await.unwrap().into_inner();
    while factors.message().await.unwrap().is_some() {}
    assert_eq!(
        outline(&tap, 1)[3..],
        [
            "server: Response",
            "server: { value: 2 }",
            "server: { value: 2 }",
            "server: { value: 3 }",
            "server: Trailers",
            "server: END_STREAM",
        ]
    );
}

#[tokio::test]
async fn a_call_that_is_dropped_is_reset_with_cancel() {
    let tap = tap(|listener| server_streaming::serve(listener, nobody())).await;
    let mut calculator = Factorizer::connect(tap.url()).await.unwrap();
    let hard = server_streaming::calculator::Integer {
        value: 18_446_743_979_220_271_189,
    };
    drop(calculator.factorize(hard).await.unwrap());
    let reset = tap.wait_for(|frame| frame.reset().is_some()).await;
    assert_eq!(reset.reset(), Some("CANCEL"));
    assert_eq!(reset.direction, ToServer);
    assert_eq!(reset.path(), Some("/calculator.v1.Calculator/Factorize"));
}

#[tokio::test]
async fn an_upload_ends_with_a_half_close() {
    let tap = tap(|listener| client_streaming::serve(listener, nobody())).await;
    let mut calculator = Summarizer::connect(tap.url()).await.unwrap();
    let number = |value| client_streaming::calculator::Number { value };
    let (sender, readings) = mpsc::channel(1);
    let call =
        tokio::spawn(async move { calculator.summarize(ReceiverStream::new(readings)).await });
    for (sent, value) in [19.5, 21.5].into_iter().enumerate() {
        sender.send(number(value)).await.unwrap();
        let is_there = |frame: &Frame| {
            frame
                .messages()
                .iter()
                .any(|message| message.number == sent as u64 + 1)
        };
        assert!(!tap.wait_for(is_there).await.is_end_stream());
    }
    assert!(
        tap.frames()
            .iter()
            .all(|frame| frame.direction == ToClient || !frame.is_end_stream())
    );
    drop(sender);
    call.await.unwrap().unwrap();
    let outline = outline(&tap, 1);
    assert_eq!(
        outline[..4],
        [
            "client: Request",
            "client: { value: 19.5 }",
            "client: { value: 21.5 }",
            "client: END_STREAM",
        ]
    );
    assert_eq!(outline.last().unwrap(), "server: END_STREAM");
}

#[tokio::test]
async fn a_deadline_is_a_header_and_its_end_is_seen() {
    let tap = tap(|listener| deadlines::serve(listener, nobody())).await;
    let mut calculator = Timed::connect(tap.url()).await.unwrap();
    let mut request = Request::new(deadlines::calculator::Number { value: 16.0 });
    request.set_timeout(Duration::from_millis(200));
    let status = calculator.square_root(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let headers = tap.wait_for(Frame::is_request).await;
    assert_eq!(headers.header("grpc-timeout").unwrap(), "200000u");
    let text = ladder(&events(&tap), Show::default());
    assert!(
        text.contains("grpc-timeout: 200000u, which is 200 ms"),
        "{text}"
    );
    assert!(text.contains("grpc-status: 4 DEADLINE_EXCEEDED"), "{text}");
}

#[tokio::test]
async fn the_ladder_of_lesson_01_is_this() {
    let tap = tap(unary::serve).await;
    let mut greeter = GreeterClient::connect(tap.url()).await.unwrap();
    greeter.say_hello(ann()).await.unwrap();
    assert_eq!(
        ladder(&events(&tap), Show::default()),
        "  client                                                                  server
A   │── HEADERS /helloworld.Greeter/SayHello ─────────────────────────────────>│
A   │── message { name: \"Ann\" }, 5 bytes ─────────────────────────────────────>│
A   │── END_STREAM: the client has nothing more to send ──────────────────────>│
A   │<───────────────────────────────────────────────── HEADERS :status: 200 ──│
A   │<───────────────────────── message { message: \"Hello, Ann!\" }, 13 bytes ──│
A   │<──────────────────────────────── HEADERS grpc-status: 0 OK, END_STREAM ──│
"
    );
}

#[tokio::test]
async fn the_bytes_of_a_frame_are_all_there_and_labelled() {
    let tap = tap(unary::serve).await;
    let mut greeter = GreeterClient::connect(tap.url()).await.unwrap();
    greeter.say_hello(ann()).await.unwrap();
    let frames = tap.frames();
    for frame in &frames {
        let parts = crate::labels::parts(frame);
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes.clone()).collect();
        assert_eq!(bytes, frame.bytes);
        assert!(
            parts.iter().all(|part| part.label != "payload"),
            "{parts:?}"
        );
    }
    let message = frames
        .iter()
        .find(|frame| !frame.messages().is_empty())
        .unwrap();
    let labels: Vec<_> = crate::labels::parts(message)
        .into_iter()
        .map(|part| part.label)
        .collect();
    assert_eq!(
        labels[4..],
        [
            "not compressed",
            "message 1: 5 bytes",
            "field 1, name: 3 bytes",
            "\"Ann\""
        ]
    );
}

#[tokio::test]
async fn json_says_the_same_for_programs() {
    let tap = tap(unary::serve).await;
    let mut greeter = GreeterClient::connect(tap.url()).await.unwrap();
    greeter.say_hello(ann()).await.unwrap();
    let objects: Vec<_> = events(&tap).iter().map(json).collect();
    for object in &objects {
        // One line each.
        assert!(!object.to_string().contains('\n'));
    }
    let find = |kind: &str, role: &str| {
        let found = objects
            .iter()
            .find(|object| object["type"] == kind && (role.is_empty() || object["role"] == role));
        found.unwrap().clone()
    };
    let request = find("HEADERS", "request");
    assert_eq!(request["direction"], "to server");
    assert_eq!(
        request["headers"][0],
        serde_json::json!([":method", "POST"])
    );
    assert_eq!(request["path"], "/helloworld.Greeter/SayHello");
    let data = find("DATA", "");
    assert_eq!(
        data["messages"][0]["message"],
        serde_json::json!({ "name": "Ann" })
    );
    assert_eq!(data["messages"][0]["type"], "helloworld.HelloRequest");
    assert_eq!(data["bytes"], "AAAKAAAAAAABAAAAAAUKA0Fubg==");
    let trailers = find("HEADERS", "trailers");
    assert_eq!(trailers["status"], "OK");
    assert_eq!(
        trailers["flags"],
        serde_json::json!(["END_STREAM", "END_HEADERS"])
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_one_sentence_a_connection() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let tap = Tap::start(gone).await.unwrap();
    for connection in 1..3 {
        let mut client = TcpStream::connect(tap.address()).await.unwrap();
        let read = tokio::io::AsyncReadExt::read(&mut client, &mut [0; 8]).await;
        assert!(read.is_err(), "reset, as if there were no tap");
        let refused = |event: &Event| matches!(event, Event::Closed { connection: it, end: End::Refused(_), .. } if *it == connection);
        let event = tap.wait_for_event(refused).await;
        let text = ladder(&[event], Show::default());
        assert!(text.contains(&format!(
            "connection {connection}: there is no server on {gone}"
        )));
    }
}
