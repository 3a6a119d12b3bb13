//! Requests that make no sense to a streaming method, and a server that goes on.

use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::Request;
use tower::ServiceExt;

use super::*;

const FACTORIZE: &str = "/calculator.v1.Calculator/Factorize";

/// Posts `body` as it is and returns the status that ends the call.
async fn post(channel: &Channel, body: &[u8]) -> Status {
    let request = Request::post(FACTORIZE)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(Bytes::copy_from_slice(body))))
        .unwrap();
    let (head, body) = channel.clone().oneshot(request).await.unwrap().into_parts();
    let trailers = body
        .collect()
        .await
        .unwrap()
        .trailers()
        .cloned()
        .unwrap_or_default();
    Status::from_header_map(&head.headers)
        .or(Status::from_header_map(&trailers))
        .unwrap()
}

#[tokio::test]
async fn requests_that_cannot_be_read_are_an_internal_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (journal, mut lines) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, journal));
    for (what, body) in [
        ("no message", &[][..]),
        ("a prefix cut short", &[0, 0, 0]),
        ("a message cut short", &[0, 0, 0, 0, 9, 8, 6]),
        ("no protobuf", &[0, 0, 0, 0, 3, 0xff, 0xff, 0xff]),
        (
            "a number over 64 bits",
            &[&[0, 0, 0, 0, 12, 8][..], &[0xff; 10], &[1]].concat(),
        ),
        ("text for a number", &[0, 0, 0, 0, 3, 10, 1, b'6']),
    ] {
        let channel = Channel::from_shared(url.clone())
            .unwrap()
            .connect()
            .await
            .unwrap();
        let status = post(&channel, body).await;
        assert_eq!(status.code(), Code::Internal, "{what}: {status}");
        // On a new connection, the next call is answered.
        assert_eq!(
            factors(&mut Stub::connect(url.clone()).await.unwrap(), 6)
                .await
                .unwrap(),
            [2, 3]
        );
        assert_eq!(next_line(&mut lines).await, "factored 6");
    }
}
