//! Whatever a guest sends, its own call ends with an error, and the others talk on.

use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::codegen::http::Request;
use tonic::codegen::{Bytes, StdError};
use tower::ServiceExt;

use super::*;

const TALK: &str = "/chat.v1.Chat/Talk";
const MAXIMUM: &str = "/calculator.v1.Calculator/Maximum";

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
    let (head, body) = connect(url).await?.oneshot(request).await?.into_parts();
    let trailers = body
        .collect()
        .await?
        .trailers()
        .cloned()
        .unwrap_or_default();
    let status = Status::from_header_map(&head.headers).or(Status::from_header_map(&trailers));
    status.ok_or_else(|| "the call ended without a status".into())
}

/// What cannot be read, and the code that it is answered with.
fn garbage() -> [(&'static str, Vec<u8>, Code); 6] {
    [
        ("a prefix cut short", vec![0, 0, 0], Code::Internal),
        (
            "a message cut short",
            framed(100, b"too short"),
            Code::Internal,
        ),
        (
            "no protobuf",
            framed(3, &[0xff, 0xff, 0xff]),
            Code::Internal,
        ),
        (
            "a string that is no UTF-8, a number that is none",
            framed(4, &[0x0a, 2, 0xff, 0xfe]),
            Code::Internal,
        ),
        (
            "an unknown compression flag",
            [&[7], &framed(0, &[])[1..]].concat(),
            Code::Internal,
        ),
        // gRPC's other libraries answer RESOURCE_EXHAUSTED.
        (
            "a message over the limit",
            framed(5 * 1024 * 1024, &[0; 64]),
            Code::OutOfRange,
        ),
    ]
}

#[tokio::test]
async fn garbage_after_a_good_line_ends_that_call_only() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let cid = Guest::enter(&url, "Cid").await;
    ann.assert_hears(&["* Cid joins"]).await;
    for (what, bytes, code) in garbage() {
        let name = framed(5, b"\x0a\x03Bob");
        let hello = framed(7, b"\x12\x05Hello");
        let body = [name, hello, bytes].concat();
        let status = in_time(post(&url, TALK, body)).await.unwrap();
        assert_eq!(status.code(), code, "{what}: {status}");
        cid.says("What was that?").await;
        ann.assert_hears(&[
            "* Bob joins",
            "Bob: Hello",
            "* Bob leaves",
            "Cid: What was that?",
        ])
        .await;
    }
}

#[tokio::test]
async fn garbage_instead_of_a_name_lets_nobody_in() {
    let (url, mut journal) = start().await;
    for (what, bytes, code) in garbage() {
        let status = in_time(post(&url, TALK, bytes)).await.unwrap();
        assert_eq!(status.code(), code, "{what}: {status}");
    }
    Guest::enter(&url, "Ann").await;
    assert_eq!(in_time(journal.recv()).await.unwrap(), "Ann joins");
}

#[tokio::test]
async fn a_line_over_4_kib_is_not_even_read() {
    let url = start().await.0;
    let mut bob = Guest::enter(&url, "Bob").await;
    bob.says(&"x".repeat(MESSAGE)).await;
    let status = in_time(bob.heard.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    Guest::enter(&url, "Bob").await;
}

#[tokio::test]
async fn garbage_after_a_good_number_ends_that_call_only() {
    let url = start().await.0;
    for (what, bytes, code) in garbage() {
        let number = framed(9, b"\x09\0\0\0\0\0\0\xf0\x3f");
        let body = [number, bytes].concat();
        let status = in_time(post(&url, MAXIMUM, body)).await.unwrap();
        assert_eq!(status.code(), code, "{what}: {status}");
        let mut calculator = CalculatorClient::new(connect(&url).await.unwrap());
        let answers = calculator.maximum(numbers(&[1.0])).await.unwrap();
        assert_eq!(read(answers.into_inner()).await.0, [1.0]);
    }
}
