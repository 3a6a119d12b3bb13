//! Streams: every message is compressed on its own, and all of them or none.

use std::convert::Infallible;

use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tonic::codegen::{Bytes, Service};
use tower::{Layer, service_fn};

use super::*;
use crate::message_sizes::sum;

async fn days(stub: &mut Stub) -> Vec<Day> {
    let mut days = stub.days(bergen()).await.unwrap().into_inner();
    let mut read = Vec::new();
    while let Some(day) = days.message().await.unwrap() {
        read.push(day);
    }
    read
}

#[tokio::test]
async fn each_message_of_a_stream_is_compressed_on_its_own_and_tiny_ones_grow() {
    let (stub, sizes) = measured(start_alone(polyglot()).await).await;
    let year = year::report("Bergen").days;
    assert_eq!(days(&mut stub.clone()).await, year);
    let plain = sizes.take().replies;
    assert!(plain.iter().all(|day| day.encoding.is_none()));
    assert_eq!(sum(&plain), 6964, "as the page says");
    for &encoding in &BOTH {
        let mut stub = stub.clone().accept_compressed(encoding);
        assert_eq!(days(&mut stub).await, year);
        let compressed = sizes.take().replies;
        assert_eq!(compressed.len(), plain.len());
        for (day, plain) in compressed.iter().zip(&plain) {
            assert_eq!(day.encoding, named(encoding));
            assert!(day.bytes > plain.bytes, "{day} of {plain}");
        }
        assert!(sum(&compressed) > sum(&plain));
    }
}

/// What the page shows: to the server, the client looks like one that reads no encoding.
#[tokio::test]
async fn a_layer_can_keep_a_stream_plain() {
    let plain_days = MapRequestLayer::new(|mut request: http::Request<Body>| {
        if request.uri().path() == "/reports.v1.Reports/Days" {
            request.headers_mut().remove("grpc-accept-encoding");
        }
        request
    });
    let sizes = MessageSizes::default();
    let service = sizes.measure(plain_days.layer(polyglot()));
    let mut stub = ReportsClient::new(service).accept_compressed(Gzip);
    let mut days = stub.days(bergen()).await.unwrap().into_inner();
    while days.message().await.unwrap().is_some() {}
    let replies = sizes.take().replies;
    assert_eq!(replies.len(), 365);
    assert!(replies.iter().all(|day| day.encoding.is_none()));
    stub.fetch(bergen()).await.unwrap();
    assert_eq!(only(sizes.take()).1.encoding, named(Gzip));
}

/// An office that asks tonic to leave its stream as it is.
struct Plain;

#[tonic::async_trait]
impl Reports for Plain {
    async fn days(&self, request: Request<Station>) -> Result<Response<BoxStream<Day>>, Status> {
        let mut response = Office.days(request).await?;
        response.disable_compression();
        Ok(response)
    }
}

/// `doc/compression.md` of gRPC: disabling "applies to both the unary and streaming cases".
#[tokio::test]
async fn tonic_does_not_disable_compression_for_a_stream() {
    let office = ReportsServer::new(Plain).send_compressed(Gzip);
    let sizes = MessageSizes::default();
    let stub = ReportsClient::new(sizes.measure(office));
    let mut stub = stub.accept_compressed(Gzip);
    let mut days = stub.days(bergen()).await.unwrap().into_inner();
    while days.message().await.unwrap().is_some() {}
    let replies = sizes.take().replies;
    assert_eq!(replies.len(), 365);
    assert!(replies.iter().all(|day| day.encoding == named(Gzip)));
}

/// Frames of HTTP/2 are cut where it suits the connection, not where messages begin.
#[tokio::test]
async fn the_sizes_finds_every_message_however_a_body_is_cut() {
    let bytes = [
        framed(0, b"plain"),
        framed(1, &[9; 300]),
        framed(0, b""),
        framed(1, b"x"),
    ]
    .concat();
    for size in [1, 2, 4, 5, 6, 7, 100, bytes.len()] {
        let answer = service_fn(|_: http::Request<Body>| {
            let frames: Vec<_> = bytes
                .chunks(size)
                .map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(chunk))))
                .collect();
            let body = Body::new(StreamBody::new(tokio_stream::iter(frames)));
            let response = http::Response::builder().header("grpc-encoding", "gzip");
            async { Ok::<_, Infallible>(response.body(body).unwrap()) }
        });
        let sizes = MessageSizes::default();
        let request = http::Request::new(Body::empty());
        let answer = sizes.measure(answer).call(request).await.unwrap();
        assert_eq!(
            answer.into_body().collect().await.unwrap().to_bytes(),
            bytes
        );
        let read: Vec<_> = sizes
            .take()
            .replies
            .iter()
            .map(|size| size.to_string())
            .collect();
        let expected = [
            "5 bytes, plain",
            "300 bytes, gzip",
            "0 bytes, plain",
            "1 bytes, gzip",
        ];
        assert_eq!(read, expected, "{size}");
    }
}
