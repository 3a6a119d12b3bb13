//! Whatever a peer sends, it gets an error, and the next caller is served as if nothing had been.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::http::Request;
use tonic::codegen::{Bytes, StdError};
use tonic::{Code, Status};
use tower::ServiceExt;

use super::*;

const SAY_HELLO: &str = "/helloworld.Greeter/SayHello";

/// A message as gRPC frames it: not compressed, four bytes of length, then `bytes`.
fn framed(length: usize, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    [&[0], &length[..], bytes].concat()
}

/// Posts `body` as it is and returns the status that ends the call.
async fn post(url: &str, path: &str, body: Vec<u8>) -> Result<Status, StdError> {
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(Bytes::from(body))))?;
    let channel = Channel::from_shared(url.to_owned())?.connect().await?;
    let (head, body) = channel.oneshot(request).await?.into_parts();
    let trailers = body
        .collect()
        .await?
        .trailers()
        .cloned()
        .unwrap_or_default();
    let status = Status::from_header_map(&head.headers).or(Status::from_header_map(&trailers));
    status.ok_or_else(|| "the call ended without a status".into())
}

/// Writes `bytes` to a new connection and waits for the server to hang up.
async fn shout(url: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://"))
        .await
        .unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // An error here is a reset: the server hung up with bytes of ours unread.
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer))
        .await
        .unwrap();
}

async fn assert_serves(url: &str) {
    let mut greeter = GreeterClient::connect(url.to_owned()).await.unwrap();
    let ann = HelloRequest {
        name: "Ann".to_owned(),
    };
    assert_eq!(
        greeter.say_hello(ann).await.unwrap().into_inner().message,
        "Hello, Ann!"
    );
}

#[tokio::test]
async fn survives_bytes_that_are_no_http2() {
    let url = start().await;
    for bytes in [&b"hello\r\n\r\n"[..], &[0xff; 4096], &[0; 64]] {
        shout(&url, bytes).await;
        assert_serves(&url).await;
    }
}

#[tokio::test]
async fn survives_http1() {
    let url = start().await;
    shout(&url, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_serves(&url).await;
}

#[tokio::test]
async fn survives_a_client_that_vanishes() {
    let url = start().await;
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let half_a_frame_of_headers: &[u8] = &[0, 0, 40, 1, 4, 0, 0, 0, 1, 0x83];
    for bytes in [
        &preface[..5],
        preface,
        &[preface, settings, half_a_frame_of_headers].concat(),
    ] {
        let mut stream = TcpStream::connect(url.trim_start_matches("http://"))
            .await
            .unwrap();
        stream.write_all(bytes).await.unwrap();
        drop(stream);
        assert_serves(&url).await;
    }
}

#[tokio::test]
async fn an_unknown_method_or_service_is_unimplemented() {
    let url = start().await;
    for path in [
        "/helloworld.Greeter/SayNothing",
        "/helloworld.Nobody/SayHello",
        "/",
    ] {
        let status = post(&url, path, framed(0, &[])).await.unwrap();
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
        assert_serves(&url).await;
    }
}

#[tokio::test]
async fn a_message_over_4_mib_is_refused() {
    let url = start().await;
    let name = "x".repeat(4 * 1024 * 1024);
    let mut greeter = GreeterClient::connect(url.clone()).await.unwrap();
    let status = greeter.say_hello(HelloRequest { name }).await.unwrap_err();
    // gRPC's other libraries answer RESOURCE_EXHAUSTED.
    assert_eq!(status.code(), Code::OutOfRange);
    assert_serves(&url).await;
}

#[tokio::test]
async fn messages_that_cannot_be_read_are_an_internal_error() {
    let url = start().await;
    let name_of_bad_utf8 = [0x0a, 2, 0xff, 0xfe];
    for (what, body) in [
        ("a prefix cut short", vec![0, 0, 0]),
        ("a message cut short", framed(100, b"too short")),
        ("no protobuf", framed(3, &[0xff, 0xff, 0xff])),
        ("a field longer than its message", framed(2, &[0x0a, 100])),
        ("a string that is no UTF-8", framed(4, &name_of_bad_utf8)),
        (
            "an unknown compression flag",
            [&[7], &framed(0, &[])[1..]].concat(),
        ),
        (
            "a compressed message, uncompressed",
            [&[1], &framed(0, &[])[1..]].concat(),
        ),
    ] {
        let status = post(&url, SAY_HELLO, body).await.unwrap();
        assert_eq!(status.code(), Code::Internal, "{what}: {status}");
        assert_serves(&url).await;
    }
}

/// The specification asks for UNIMPLEMENTED in both cases (`doc/statuscodes.md` of gRPC).
#[tokio::test]
async fn tonic_takes_no_request_for_an_internal_error_and_overlooks_a_second() {
    let url = start().await;
    let ann = framed(5, b"\x0a\x03Ann");
    for (requests, code) in [(0, Code::Internal), (1, Code::Ok), (2, Code::Ok)] {
        let status = post(&url, SAY_HELLO, ann.repeat(requests)).await.unwrap();
        assert_eq!(status.code(), code, "{requests} requests: {status}");
        assert_serves(&url).await;
    }
}
