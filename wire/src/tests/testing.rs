//! What the lessons' tests are given: it has to say what is wrong, and to end.

use h2::Reason;
use tokio::net::TcpListener;

use super::service;
use super::*;
use crate::Tap;
use crate::testing::{RawCall, framed, outline, post, soon};

const SAY_HELLO: &str = "/helloworld.Greeter/SayHello";

#[tokio::test]
async fn a_raw_call_has_headers_messages_and_a_status() {
    let server = service::start().await;
    let reply = post(server, SAY_HELLO, framed(b"\x0a\x03Ann")).await;
    assert_eq!((reply.http_status, reply.status()), (200, Some("OK")));
    assert_eq!(reply.headers["content-type"], "application/grpc");
    assert_eq!(reply.messages, [&b"\x0a\x0bHello, Ann!"[..]]);
    assert_eq!(reply.trailers["grpc-status"], "0");
    let refused = post(format!("http://{server}/"), SAY_HELLO, framed(b"")).await;
    assert_eq!(refused.status(), Some("INVALID_ARGUMENT"));
    assert_eq!(refused.message().unwrap(), "nobody to greet");
    assert!(refused.trailers.is_empty() && refused.messages.is_empty());
    let broken = post(server, SAY_HELLO, &[0, 0, 0][..]).await;
    assert_eq!(broken.status(), Some("INTERNAL"));
}

#[tokio::test]
async fn a_raw_call_sends_headers_as_they_are_and_any_amount() {
    let tap = Tap::start(service::start().await).await.unwrap();
    let name = [&b"\x0a\xc0\x84\x3d"[..], &[b'x'; 1_000_000]].concat();
    let call = RawCall::new(SAY_HELLO)
        .header("trace-bin", "AP8*")
        .header("x-odd", b"\xff");
    let reply = call.body(framed(&name)).send(tap.url()).await;
    assert_eq!(reply.status(), Some("OK"));
    assert_eq!(reply.messages[0].len(), 1_000_012);
    let request = tap.wait_for(Frame::is_request).await;
    assert_eq!(request.header("trace-bin").as_deref(), Some("AP8*"));
    assert_eq!(request.header("te").as_deref(), Some("trailers"));
    let odd = request.fields().iter().find(|field| field.name == b"x-odd");
    assert_eq!(odd.unwrap().value, b"\xff");
}

#[tokio::test]
async fn a_raw_call_that_is_reset_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(Reason::ENHANCE_YOUR_CALM);
        }
    });
    let reply = post(address, SAY_HELLO, framed(b"")).await;
    assert_eq!(
        (reply.reset(), reply.status()),
        (Some("ENHANCE_YOUR_CALM"), None)
    );
    soon("the server to notice that the call is over", server)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_outline_of_a_call_is_who_sent_what() {
    let tap = Tap::start(service::start().await).await.unwrap();
    post(tap.url(), SAY_HELLO, framed(b"")).await;
    let lines = ["client: Request", "client: {}", "client: END_STREAM"];
    let answer = ["server: TrailersOnly", "server: END_STREAM"];
    assert_eq!(outline(&tap), [&lines[..], &answer].concat());
    let by_server = |frame: &&Frame| frame.direction == ToClient;
    assert_eq!(outline(tap.frames().iter().filter(by_server)), answer);
}

#[tokio::test(start_paused = true)]
async fn soon_counts_real_time() {
    let sleep = tokio::time::sleep(Duration::from_secs(3600));
    soon("an hour of a clock that runs ahead", sleep).await;
}
