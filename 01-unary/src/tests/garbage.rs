//! *Harden it*: requests that no stub sends, and a server that still answers the next caller.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const SAY_HELLO: &str = "/helloworld.Greeter/SayHello";
const ANN: &[u8] = b"\0\0\0\0\x05\x0a\x03Ann";

#[tokio::test]
async fn a_request_that_cannot_be_read_is_answered_with_a_status() {
    let url = start().await;
    for (what, path, body, expected) in [
        (
            "an unknown method",
            "/helloworld.Greeter/SayNothing",
            ANN,
            "UNIMPLEMENTED",
        ),
        (
            "an unknown service",
            "/helloworld.Nobody/SayHello",
            ANN,
            "UNIMPLEMENTED",
        ),
        ("half a prefix", SAY_HELLO, &ANN[..3], "INTERNAL"),
        ("half a message", SAY_HELLO, &ANN[..7], "INTERNAL"),
        (
            "not protobuf",
            SAY_HELLO,
            b"\0\0\0\0\x03\xff\xff\xff",
            "INTERNAL",
        ),
        (
            "not UTF-8",
            SAY_HELLO,
            b"\0\0\0\0\x04\x0a\x02\xff\xfe",
            "INTERNAL",
        ),
        (
            "an unknown compression flag",
            SAY_HELLO,
            b"\x07\0\0\0\0",
            "INTERNAL",
        ),
    ] {
        let reply = post(&url, path, body).await;
        assert_eq!(
            reply.status(),
            Some(expected),
            "{what}: {:?}",
            reply.message()
        );
        assert_serves(&url).await;
    }
}

/// By the text of gRPC's statuscodes.md the first and the last are UNIMPLEMENTED.
#[tokio::test]
async fn tonic_alone_takes_no_request_for_internal_and_reads_one_of_two() {
    let url = start().await;
    for (requests, expected) in [(0, "INTERNAL"), (1, "OK"), (2, "OK")] {
        let reply = post(&url, SAY_HELLO, ANN.repeat(requests)).await;
        assert_eq!(reply.status(), Some(expected), "{requests} requests");
    }
}

#[tokio::test]
async fn tonic_alone_refuses_a_message_over_4_mib_as_out_of_range() {
    let url = start().await;
    let mut greeter = GreeterClient::connect(url.clone()).await.unwrap();
    let name = "x".repeat(4 * 1024 * 1024);
    let status = greeter.say_hello(HelloRequest { name }).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert_serves(&url).await;
}

#[tokio::test]
async fn bytes_that_are_not_http2_end_the_connection() {
    let url = start().await;
    for bytes in [
        &b"hello\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[0xff; 4096],
    ] {
        let mut stream = TcpStream::connect(&url["http://".len()..]).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        // An error here is a reset: the server hung up with bytes of ours unread.
        let _ = soon("the server to hang up", stream.read_to_end(&mut Vec::new())).await;
        assert_serves(&url).await;
    }
}

async fn assert_serves(url: &str) {
    let reply = post(url, SAY_HELLO, ANN).await;
    assert!(reply.messages[0].starts_with(b"\x0a\x0bHello, Ann!"));
}
