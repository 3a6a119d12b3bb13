//! Real traffic of all kinds of calls, seen by a tap.

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::service::{self, Client, HelloRequest, Number, ann};
use super::*;
use crate::testing::outline;
use crate::{End, Role, Seen, Tap, json};

/// A tap in front of a new server, and a client that goes through it.
pub(super) async fn tapped() -> (Tap, Client) {
    let tap = Tap::start(service::start().await).await.unwrap();
    let client = Client::connect(tap.url()).await.unwrap();
    (tap, client)
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

#[tokio::test]
async fn a_unary_call_is_headers_message_trailers() {
    let (tap, mut greeter) = tapped().await;
    greeter.say_hello(ann()).await.unwrap();
    // What the client has heard of, the tap has seen.
    assert_eq!(
        outline(&tap),
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
    let (tap, mut greeter) = tapped().await;
    let status = greeter
        .say_hello(HelloRequest::default())
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
    let tap = Tap::start(service::start().await).await.unwrap();
    let channel = Channel::from_shared(tap.url())
        .unwrap()
        .connect()
        .await
        .unwrap();
    let (mut one, mut other) = (Client::new(channel.clone()), Client::new(channel));
    let (hello, numbers) = tokio::join!(one.say_hello(ann()), other.count(Number { value: 1 }));
    hello.unwrap();
    numbers.unwrap();
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
    let (tap, mut greeter) = tapped().await;
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
    let (tap, mut numbers) = tapped().await;
    let replies = numbers.count(Number { value: 3 }).await.unwrap();
    let mut replies = replies.into_inner();
    while replies.message().await.unwrap().is_some() {}
    assert_eq!(
        outline(&tap)[3..],
        [
            "server: Response",
            "server: { 1: 1 }",
            "server: { 1: 2 }",
            "server: { 1: 3 }",
            "server: Trailers",
            "server: END_STREAM",
        ]
    );
}

#[tokio::test]
async fn a_call_that_is_dropped_is_reset_with_cancel() {
    let (tap, mut numbers) = tapped().await;
    drop(numbers.count(Number { value: 0 }).await.unwrap());
    let reset = tap.wait_for(|frame| frame.reset().is_some()).await;
    assert_eq!(reset.reset(), Some("CANCEL"));
    assert_eq!(reset.direction, ToServer);
    assert_eq!(reset.path(), Some("/wire.test.Numbers/Count"));
}

#[tokio::test]
async fn an_upload_ends_with_a_half_close() {
    let (tap, mut numbers) = tapped().await;
    let (sender, upload) = mpsc::channel(1);
    let call = tokio::spawn(async move { numbers.sum(ReceiverStream::new(upload)).await });
    for value in [1, 2] {
        sender.send(Number { value }).await.unwrap();
        let is_there = |frame: &Frame| frame.messages().iter().any(|it| it.number == value);
        assert!(!tap.wait_for(is_there).await.is_end_stream());
    }
    let by_client = |frame: &Frame| frame.direction == ToServer;
    assert!(
        tap.frames()
            .iter()
            .all(|frame| !by_client(frame) || !frame.is_end_stream())
    );
    drop(sender);
    assert_eq!(call.await.unwrap().unwrap().into_inner().value, 3);
    assert_eq!(
        outline(tap.frames().iter().filter(|frame| by_client(frame))),
        [
            "client: Request",
            "client: { 1: 1 }",
            "client: { 1: 2 }",
            "client: END_STREAM"
        ]
    );
    assert_eq!(outline(&tap).last().unwrap(), "server: END_STREAM");
}

#[tokio::test]
async fn a_deadline_is_a_header_and_its_end_is_seen() {
    let (tap, mut numbers) = tapped().await;
    let mut request = Request::new(Number { value: 16 });
    request.set_timeout(Duration::from_secs(1));
    let status = numbers.wait(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    let headers = tap.wait_for(Frame::is_request).await;
    assert_eq!(headers.header("grpc-timeout").unwrap(), "1000000u");
    tap.wait_for(|frame| frame.reset().is_some() || frame.is_trailers())
        .await;
    let text = ladder(&events(&tap), Show::default());
    assert!(
        text.contains("grpc-timeout: 1000000u, which is 1 s"),
        "{text}"
    );
    assert!(text.contains("after about "), "{text}");
}

#[tokio::test]
async fn the_ladder_of_a_unary_call_is_this() {
    let (tap, mut greeter) = tapped().await;
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
    let (tap, mut greeter) = tapped().await;
    greeter.say_hello(ann()).await.unwrap();
    let frames = tap.frames();
    for frame in &frames {
        let parts = crate::view::parts(frame, true);
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
    let labels: Vec<_> = crate::view::parts(message, true)
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
    let (tap, mut greeter) = tapped().await;
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
        let refused = |event: &Event| {
            event.connection == connection && matches!(event.end(), Some(End::Refused(_)))
        };
        let event = tap.wait_for_event(refused).await;
        let text = ladder(&[event], Show::default());
        assert!(text.contains(&format!(
            "connection {connection}: there is no server on {gone}"
        )));
    }
}
