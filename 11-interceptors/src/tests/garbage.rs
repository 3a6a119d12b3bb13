//! Requests that make no sense, through all layers of the server and through a cache.

use http_body_util::{BodyExt, Full};
use tonic::codegen::Bytes;
use tower::ServiceExt;

use super::*;
use crate::cache::CacheLayer;

/// Posts `body` as it is, signed by Ann, and returns the status that ends the call.
async fn post(channel: Channel, path: &str, body: &[u8]) -> Status {
    let request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", "Bearer token-of-ann")
        .body(Body::new(Full::new(Bytes::copy_from_slice(body))))
        .unwrap();
    let cached = ServiceBuilder::new()
        .layer(CacheLayer::new(&["Divide"]))
        .service(channel);
    let (head, body) = cached.oneshot(request).await.unwrap().into_parts();
    let trailers = body.collect().await.unwrap().trailers().cloned();
    Status::from_header_map(&head.headers)
        .or(Status::from_header_map(&trailers.unwrap_or_default()))
        .unwrap()
}

#[tokio::test]
async fn requests_that_cannot_be_read_are_an_error_and_the_next_one_is_served() {
    let (channel, _lines) = start().await;
    let divide = "/calculator.v1.Calculator/Divide";
    for (path, body, code) in [
        (divide, &[][..], Code::Internal),
        (divide, &[0, 0, 0], Code::Internal),
        (divide, &[0, 0, 0, 0, 9, 8, 6], Code::Internal),
        (divide, &[0, 0, 0, 0, 3, 0xff, 0xff, 0xff], Code::Internal),
        ("/calculator.v1.Calculator/", &[], Code::PermissionDenied),
        ("/", &[], Code::PermissionDenied),
        ("/nobody/Divide", &[], Code::Unimplemented),
    ] {
        let status = post(channel.clone(), path, body).await;
        assert_eq!(status.code(), code, "{path} {body:?}: {status}");
        let mut stub = CalculatorClient::with_interceptor(channel.clone(), ANN);
        let quotient = stub.divide(SEVEN_BY_TWO).await.unwrap();
        assert_eq!(quotient.into_inner().value, 3.0);
    }
}
