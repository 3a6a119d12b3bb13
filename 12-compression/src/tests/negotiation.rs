//! What the two sides say of their encodings, and messages that do not keep to it.

use std::convert::Infallible;
use std::io::Read;

use flate2::Compression;
use flate2::read::GzEncoder;
use http_body_util::{BodyExt, Full};
use tonic::codegen::Bytes;
use tonic::codegen::http::{HeaderMap, HeaderName};
use tower::{ServiceExt, service_fn};

use super::*;

const FETCH: &str = "/reports.v1.Reports/Fetch";

pub(super) fn gzip(message: &[u8]) -> Vec<u8> {
    let mut zipped = Vec::new();
    let mut encoder = GzEncoder::new(message, Compression::new(6));
    encoder.read_to_end(&mut zipped).unwrap();
    zipped
}

/// How a call ended, with its headers and the bytes of its messages.
pub(super) struct Answer {
    pub(super) status: Status,
    headers: HeaderMap,
    body: Bytes,
}

/// Posts `body` to `path` under these headers, all as they are.
pub(super) async fn post(
    channel: Channel,
    path: &str,
    headers: &[(&'static str, &str)],
    body: Vec<u8>,
) -> Answer {
    let mut request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(Bytes::from(body))))
        .unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let (head, body) = channel.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&head.headers).or(Status::from_header_map(&trailers));
    Answer {
        status: status.unwrap(),
        headers: head.headers,
        body: body.to_bytes(),
    }
}

/// What a stub makes of an answer with these headers and these bytes.
pub(super) async fn fetch_from(
    headers: &[(&'static str, &'static str)],
    body: Vec<u8>,
) -> Result<Report, Status> {
    let server = service_fn(|_: http::Request<Body>| {
        let mut response = http::Response::builder().header("content-type", "application/grpc");
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let ok =
            HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), "0".parse().unwrap())]);
        let body = Full::new(Bytes::from(body.clone()));
        let body = body.with_trailers(async { Some(Ok(ok)) });
        let response = response.body(Body::new(body)).unwrap();
        async move { Ok::<_, Infallible>(response) }
    });
    let mut stub = ReportsClient::new(server).accept_compressed(Gzip);
    Ok(stub.fetch(bergen()).await?.into_inner())
}

#[tokio::test]
async fn an_encoding_that_the_server_does_not_know_is_unimplemented_and_it_names_those_it_knows() {
    let channel = channel(start().await).await;
    for unknown in ["brotli", "deflate", "GZIP", "gzip,gzip", ""] {
        let body = framed(1, b"whatever");
        let answer = post(channel.clone(), FETCH, &[("grpc-encoding", unknown)], body).await;
        assert_eq!(answer.status.code(), Code::Unimplemented, "{unknown}");
        let accepted = answer.headers.get("grpc-accept-encoding").unwrap();
        let accepted: Vec<_> = accepted.to_str().unwrap().split(',').collect();
        assert_eq!(accepted.first(), Some(&"gzip"));
        assert_eq!(accepted.last(), Some(&"identity"));
        assert!(!accepted.contains(&unknown));
    }
}

#[tokio::test]
async fn the_generated_client_learns_which_encodings_the_server_knows() {
    let (stub, _sizes) = measured(start().await).await;
    let mut stub = stub.send_compressed(Deflate);
    let status = stub.fetch(bergen()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("`deflate`"), "{status}");
    let accepted = status.metadata().get("grpc-accept-encoding").unwrap();
    assert!(accepted.to_str().unwrap().starts_with("gzip,"));
}

#[tokio::test]
async fn a_server_that_reads_no_encoding_names_identity() {
    let channel = channel(start_alone(ReportsServer::new(Office)).await).await;
    let zipped = framed(1, &gzip(&bergen().encode_to_vec()));
    let answer = post(channel, FETCH, &[("grpc-encoding", "gzip")], zipped).await;
    assert_eq!(answer.status.code(), Code::Unimplemented);
    let accepted = answer.headers.get("grpc-accept-encoding").unwrap();
    assert_eq!(accepted, "identity");
}

#[tokio::test]
async fn a_client_that_accepts_no_encoding_gets_plain_messages() {
    let channel = channel(start().await).await;
    let plain = framed(0, &year::report("Bergen").encode_to_vec());
    for accepted in ["", "identity", "brotli", "brotli, identity"] {
        let headers = [("grpc-accept-encoding", accepted)];
        let body = framed(0, &bergen().encode_to_vec());
        for headers in [&headers[..], &[]] {
            let answer = post(channel.clone(), FETCH, headers, body.clone()).await;
            assert_eq!(answer.body, plain);
            assert!(!answer.headers.contains_key("grpc-encoding"));
        }
    }
}

#[tokio::test]
async fn the_first_encoding_that_the_client_names_and_the_server_writes_is_used() {
    let channel = channel(start().await).await;
    for (accepted, used) in [
        ("gzip,deflate", "gzip"),
        ("deflate,gzip", "deflate"),
        ("brotli, deflate , gzip", "deflate"),
        ("identity,gzip", "gzip"),
    ] {
        let headers = [("grpc-accept-encoding", accepted)];
        let body = framed(0, &bergen().encode_to_vec());
        let answer = post(channel.clone(), FETCH, &headers, body).await;
        assert_eq!(answer.headers.get("grpc-encoding").unwrap(), used);
        assert_eq!(answer.body[0], 1);
    }
}

#[tokio::test]
async fn the_flag_of_each_message_says_whether_it_is_compressed() {
    let channel = channel(start().await).await;
    let message = bergen().encode_to_vec();
    let headers = [("grpc-encoding", "gzip")];
    for body in [framed(0, &message), framed(1, &gzip(&message))] {
        let answer = post(channel.clone(), FETCH, &headers, body).await;
        assert_eq!(answer.status.code(), Code::Ok);
    }
    // The encoding is named, and the message makes no use of it.
    let headers = [("grpc-accept-encoding", "gzip")];
    let path = "/reports.v1.Reports/LookUp";
    let private = Words {
        private: true,
        ..words("rain")
    };
    let body = framed(0, &private.encode_to_vec());
    let answer = post(channel, path, &headers, body).await;
    assert_eq!(answer.headers.get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(answer.body[0], 0);
}

#[tokio::test]
async fn a_compressed_message_without_an_encoding_is_an_internal_error() {
    let channel = channel(start().await).await;
    let zipped = framed(1, &gzip(&bergen().encode_to_vec()));
    for headers in [&[][..], &[("grpc-encoding", "identity")]] {
        let answer = post(channel.clone(), FETCH, headers, zipped.clone()).await;
        assert_eq!(answer.status.code(), Code::Internal);
        assert!(answer.status.message().contains("compressed-flag"));
        let zipped = framed(1, &gzip(&year::report("Bergen").encode_to_vec()));
        let status = fetch_from(headers, zipped).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
    }
}

/// `doc/compression.md` of gRPC: "an `INTERNAL` error status on the client side".
#[tokio::test]
async fn tonic_calls_a_reply_in_an_encoding_that_was_not_accepted_unimplemented() {
    let zipped = framed(1, &gzip(&year::report("Bergen").encode_to_vec()));
    let report = fetch_from(&[("grpc-encoding", "gzip")], zipped.clone()).await;
    assert_eq!(report.unwrap(), year::report("Bergen"));
    let status = fetch_from(&[("grpc-encoding", "deflate")], zipped).await;
    assert_eq!(status.unwrap_err().code(), Code::Unimplemented);
}

/// Two lines of one header are one list (RFC 9110, section 5.3), here of `identity` and `deflate`.
#[tokio::test]
async fn tonic_reads_the_first_of_two_lines_of_encodings() {
    let channel = channel(start().await).await;
    let headers = [
        ("grpc-accept-encoding", "identity"),
        ("grpc-accept-encoding", "deflate"),
    ];
    let body = framed(0, &bergen().encode_to_vec());
    let answer = post(channel, FETCH, &headers, body).await;
    assert_eq!(answer.headers.get("grpc-encoding"), None);
}

#[tokio::test]
async fn messages_that_cannot_be_decompressed_are_an_internal_error_and_the_next_call_works() {
    let url = start().await;
    let good = gzip(&bergen().encode_to_vec());
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    let mut bad_checksum = good.clone();
    bad_checksum[good.len() - 5] ^= 1;
    for (what, message) in [
        ("nothing", &[][..]),
        ("no gzip", b"no gzip at all"),
        ("a header alone", &good[..10]),
        ("cut short", &good[..good.len() - 1]),
        ("damaged", &damaged),
        ("a checksum that is wrong", &bad_checksum),
        ("gzip of no protobuf", &gzip(&[0xff; 100])),
    ] {
        let channel = channel(url.clone()).await;
        let headers = [("grpc-encoding", "gzip")];
        let answer = post(channel.clone(), FETCH, &headers, framed(1, message)).await;
        assert_eq!(answer.status.code(), Code::Internal, "{what}");
        let answer = post(channel, FETCH, &headers, framed(1, &good)).await;
        assert_eq!(answer.status.code(), Code::Ok, "after {what}");
    }
}
