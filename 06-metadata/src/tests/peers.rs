//! What other peers may send, and the generated client does not: headers as they are.

use http_body_util::Full;
use tonic::codegen::Bytes;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request};

use super::*;

/// Asks for a square root, with these headers as they are, and returns the headers of the answer.
///
/// Unless they say otherwise, it is Ann who asks.
async fn post(channel: Channel, headers: &[(&'static str, &[u8])]) -> HeaderMap {
    // A message of 9 bytes, whose field 1 is a double.
    let message = [&[0, 0, 0, 0, 9, 9], &9.0_f64.to_le_bytes()[..]].concat();
    let mut request = Request::post("/calculator.v1.Calculator/SquareRoot")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(Bytes::from(message))))
        .unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value).unwrap();
        request.headers_mut().append(*name, value);
    }
    let ann = HeaderValue::from_static("Ann");
    request.headers_mut().entry("caller").or_insert(ann);
    channel.oneshot(request).await.unwrap().headers().clone()
}

fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect()
}

#[tokio::test]
async fn binary_values_are_base64_taken_with_padding_or_without_and_sent_without() {
    let (channel, _lines) = start().await;
    for sent in [&b"AP8="[..], b"AP8"] {
        let answer = post(channel.clone(), &[("trace-bin", sent)]).await;
        assert_eq!(all(&answer, "trace-bin"), ["AP8"]);
    }
}

#[tokio::test]
async fn binary_values_joined_by_commas_are_split() {
    let (channel, _lines) = start().await;
    let headers: [(&str, &[u8]); 2] = [("trace-bin", b"AP8,BwgJ, ,AQ=="), ("trace-bin", b"Ag")];
    let answer = post(channel, &headers).await;
    let heard = all(&answer, "trace-bin");
    assert_eq!(heard, ["AP8", "BwgJ", "", "AQ", "Ag"]);
}

#[tokio::test]
async fn a_binary_value_that_is_no_base64_is_an_invalid_argument() {
    let (channel, _lines) = start().await;
    for sent in [&b"AP8*"[..], b"A", b"AP8,\xff"] {
        let answer = post(channel.clone(), &[("trace-bin", sent)]).await;
        assert_eq!(all(&answer, "grpc-status"), ["3"]);
    }
}

/// PROTOCOL-HTTP2: such a value must not be an error, and must be fit to be echoed.
#[tokio::test]
async fn a_value_that_is_no_ascii_is_heard_and_echoed() {
    let (channel, mut lines) = start().await;
    let answer = post(channel, &[("caller", b"Ann\t\xff")]).await;
    let echo = answer.get("asked-by").unwrap();
    assert_eq!(echo.as_bytes(), b"Ann\t\xff");
    let line = soon(lines.recv()).await.unwrap();
    assert_eq!(line, "Ann\t\u{fffd} asked for SquareRoot");
}

#[tokio::test]
async fn blanks_around_a_value_are_kept() {
    let (channel, _lines) = start().await;
    let answer = post(channel, &[("caller", b" Ann ")]).await;
    assert_eq!(all(&answer, "asked-by"), [" Ann "]);
}
