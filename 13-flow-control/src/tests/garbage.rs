//! Requests that make no sense, and a server that goes on.

use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::Request;
use tower::ServiceExt;

use super::*;

/// Posts `body` as it is and returns the status that ends the call.
async fn post(channel: &Channel, method: &str, body: &[u8]) -> Status {
    let request = Request::post(format!("/files.v1.Archive/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(Bytes::copy_from_slice(body))))
        .unwrap();
    let (head, body) = channel.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    Status::from_header_map(&head.headers)
        .or(Status::from_header_map(&trailers))
        .unwrap()
}

#[tokio::test]
async fn requests_that_cannot_be_read_are_an_internal_error() {
    let (served, mut stub) = Served::with("top", 3).await;
    let channel = endpoint(&served.url).unwrap().connect().await.unwrap();
    for (what, method, body) in [
        ("no message", "Download", &[][..]),
        ("a prefix cut short", "Download", &[0, 0, 0]),
        ("a message cut short", "Download", &[0, 0, 0, 0, 9, 10, 7]),
        (
            "no protobuf",
            "Download",
            &[0, 0, 0, 0, 3, 0xff, 0xff, 0xff],
        ),
        (
            "a name that is no UTF-8",
            "Download",
            &[0, 0, 0, 0, 3, 10, 1, 0xff],
        ),
        ("a number for a name", "Download", &[0, 0, 0, 0, 2, 8, 7]),
        ("a chunk cut short", "Copy", &[0, 0, 0, 0, 9, 10, 7]),
        ("a number for data", "Copy", &[0, 0, 0, 0, 2, 8, 7]),
    ] {
        let status = soon(post(&channel, method, body)).await;
        assert_eq!(status.code(), Code::Internal, "{what}: {status}");
        let mut film = begin(&mut stub, "top", &Received::default()).await.unwrap();
        assert_eq!(read_all(&mut film).await.unwrap(), [0; 3]);
    }
}
