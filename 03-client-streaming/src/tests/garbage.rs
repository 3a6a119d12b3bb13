//! Uploads that cannot be read: an error each, none in the journal as finished, and a server that goes on.

use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::Request;
use tower::ServiceExt;

use super::*;

const SUMMARIZE: &str = "/calculator.v1.Calculator/Summarize";

/// A message as gRPC frames it: not compressed, four bytes of length, then `bytes`.
fn framed(length: usize, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    [&[0], &length[..], bytes].concat()
}

/// Posts `body` as it is and returns the status that ends the call.
async fn post(url: &str, body: Vec<u8>) -> Status {
    let request = Request::post(SUMMARIZE)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(Bytes::from(body))))
        .unwrap();
    let channel = Channel::from_shared(url.to_owned()).unwrap();
    let channel = channel.connect().await.unwrap();
    let (head, body) = soon(channel.oneshot(request)).await.unwrap().into_parts();
    let trailers = body.collect().await.unwrap().trailers().cloned();
    Status::from_header_map(&head.headers)
        .or(Status::from_header_map(&trailers.unwrap_or_default()))
        .unwrap()
}

#[tokio::test]
async fn an_upload_that_cannot_be_read_to_its_end_is_not_finished() {
    let (url, mut lines) = start().await;
    let whole = framed(9, &[0x09, 0, 0, 0, 0, 0, 0, 0, 0x40]);
    for (what, last, code) in [
        ("a prefix cut short", vec![0, 0, 0], Code::Internal),
        ("a message cut short", framed(9, &[0x09, 0]), Code::Internal),
        ("no protobuf", framed(2, &[0xff, 0xff]), Code::Internal),
        ("text", framed(3, &[0x0a, 1, b'2']), Code::Internal),
        ("a flag of 7", [&[7], &whole[1..]].concat(), Code::Internal),
        // gRPC's other libraries answer RESOURCE_EXHAUSTED.
        (
            "more than 4 MiB",
            framed(4 * 1024 * 1024 + 1, &[0; 1024]),
            Code::OutOfRange,
        ),
    ] {
        let status = post(&url, [whole.repeat(2), last].concat()).await;
        assert_eq!(status.code(), code, "{what}: {status}");
        assert_eq!(next_line(&mut lines).await, "an upload broke off", "{what}");
        assert_serves(&url, &mut lines).await;
    }
}

#[tokio::test]
async fn an_unknown_field_and_a_missing_one_are_no_garbage() {
    let (url, mut lines) = start().await;
    // A later version of the client may send more. A field that is not sent is 0.
    let body = [framed(2, &[0x10, 1]), framed(0, &[])].concat();
    assert_eq!(post(&url, body).await.code(), Code::Ok);
    assert_eq!(next_line(&mut lines).await, "summarized 2 readings");
}
