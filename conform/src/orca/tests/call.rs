use std::sync::mpsc;

use bytes::Bytes;
use futures::StreamExt;
use prost::Message;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::codegen::http::{HeaderMap, HeaderValue, Response};
use tonic::metadata::BinaryMetadataValue;
use tonic::{Code, Status};
use tower::Layer;

use super::*;
use crate::testing::{
    Frames, Handler, Replies, Requests, Test, call, channel, framed, passes_on_readiness, post,
    read, serve, soon, stream, unary,
};

/// A method that writes down its cost, and ends as its request says.
fn costly() -> Test<impl Handler> {
    unary(async |request: tonic::Request<Bytes>| {
        let metrics = CallMetrics::of(&request);
        metrics.request_cost("rows", 7.0).cpu_utilization(0.5);
        match &request.get_ref()[..] {
            b"fail" => Err(Status::not_found("no such book")),
            _ => Ok(tonic::Response::new(Bytes::from_static(b"reply"))),
        }
    })
}

fn report() -> OrcaLoadReport {
    OrcaLoadReport {
        cpu_utilization: 0.5,
        request_cost: [("rows".to_owned(), 7.0)].into(),
        ..Default::default()
    }
}

// gRFC A51, "Per-Request Metrics Reporting", "Wire Format"
#[tokio::test]
async fn the_report_of_a_call_is_a_trailer_of_a_call_that_succeeds() {
    let served = serve(ServerOrcaLayer::new(), costly()).await;
    let reply = post(served.address, framed(b"succeed")).await.unwrap();
    assert_eq!(reply.trailers["grpc-status"], "0");
    assert!(!reply.headers.contains_key("endpoint-load-metrics-bin"));
    // Field 1, a double of 0.5; field 4, an entry of "rows" and 7.
    let expected = b"\x09\0\0\0\0\0\0\xe0\x3f\x22\x0f\x0a\x04rows\x11\0\0\0\0\0\0\x1c\x40";
    let value = BinaryMetadataValue::from_bytes(expected);
    let sent = &reply.trailers["endpoint-load-metrics-bin"];
    assert_eq!(sent.as_bytes(), value.as_encoded_bytes());
    assert_eq!(report_from(&reply.trailers), Some(report()));
}

// gRFC A51, "Per-Request Metrics Reporting", "Wire Format"; PROTOCOL-HTTP2, "Responses"
#[tokio::test]
async fn the_report_of_a_call_without_a_reply_is_in_its_one_block_of_headers() {
    let served = serve(ServerOrcaLayer::new(), costly()).await;
    let reply = post(served.address, framed(b"fail")).await.unwrap();
    assert!(reply.ended_with_headers);
    assert_eq!(reply.headers["grpc-status"], "5");
    assert_eq!(report_from(&reply.headers), Some(report()));
}

// gRFC A51, "Per-Request Recording"
#[tokio::test]
async fn a_stream_may_write_until_it_ends_and_the_last_value_is_sent() {
    let replies = Test(|requests: Requests| -> BoxFuture<_, _> {
        let metrics = CallMetrics::of(&requests);
        let replies = futures::stream::iter(0..4).map(move |number| {
            metrics.request_cost("rows", f64::from(number));
            match number {
                3 => Err(Status::aborted("enough")),
                _ => Ok(Bytes::from_static(b"reply")),
            }
        });
        Box::pin(async { Ok(tonic::Response::new(replies.boxed() as Replies)) })
    });
    let served = serve(ServerOrcaLayer::new(), replies).await;
    let requests = futures::stream::iter([Bytes::new()]);
    let mut replies = stream(served.channel(), requests).await.unwrap();
    for _ in 0..3 {
        soon(replies.message()).await.unwrap().unwrap();
    }
    let status = soon(replies.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    let report = report_from(status.metadata().as_ref()).unwrap();
    assert_eq!(report.request_cost["rows"], 3.0);
}

#[tokio::test]
async fn a_call_that_wrote_nothing_has_no_report() {
    let silent = unary(async |request: tonic::Request<Bytes>| {
        let metrics = CallMetrics::of(&request);
        metrics
            .cpu_utilization(f64::NAN)
            .request_cost("rows", f64::NAN);
        Ok(tonic::Response::new(request.into_inner()))
    });
    let layer = ServerOrcaLayer::new().server(&ServerMetrics::new());
    let served = serve(layer, silent).await;
    let reply = post(served.address, framed(b"")).await.unwrap();
    assert_eq!(reply.trailers["grpc-status"], "0");
    assert!(!reply.trailers.contains_key(REPORT_TRAILER));
    assert!(!reply.headers.contains_key(REPORT_TRAILER));
}

#[tokio::test]
async fn a_zero_is_a_report() {
    let idle = unary(async |request: tonic::Request<Bytes>| {
        CallMetrics::of(&request).cpu_utilization(0.0);
        Ok(tonic::Response::new(request.into_inner()))
    });
    let served = serve(ServerOrcaLayer::new(), idle).await;
    let reply = post(served.address, framed(b"")).await.unwrap();
    assert_eq!(
        report_from(&reply.trailers),
        Some(OrcaLoadReport::default())
    );
}

// gRFC A51, "Per-Request Metrics Reporting", "The Server API"
#[tokio::test]
async fn what_the_server_says_is_added_unless_the_call_says_otherwise() {
    let server = ServerMetrics::new();
    server
        .cpu_utilization(0.9)
        .memory_utilization(0.25)
        .qps(10.0);
    server.utilization("disk", 0.75);
    let served = serve(ServerOrcaLayer::new().server(&server), costly()).await;
    let expected = OrcaLoadReport {
        mem_utilization: 0.25,
        rps_fractional: 10.0,
        utilization: [("disk".to_owned(), 0.75)].into(),
        ..report()
    };
    for request in [&b"succeed"[..], b"fail"] {
        let reply = post(served.address, framed(request)).await.unwrap();
        let trailers = if reply.trailers.is_empty() {
            reply.headers
        } else {
            reply.trailers
        };
        assert_eq!(report_from(&trailers), Some(expected.clone()));
    }
    // The next call says what the server says then.
    server.memory_utilization(None);
    let reply = post(served.address, framed(b"")).await.unwrap();
    assert_eq!(report_from(&reply.trailers).unwrap().mem_utilization, 0.0);
}

#[tokio::test]
async fn a_server_reports_for_calls_that_write_nothing() {
    let echo = unary(async |request: tonic::Request<Bytes>| {
        Ok(tonic::Response::new(request.into_inner()))
    });
    let server = ServerMetrics::new();
    server
        .cpu_utilization(0.5)
        .application_utilization(1.5)
        .eps(0.5);
    let served = serve(ServerOrcaLayer::new().server(&server), echo).await;
    let reply = post(served.address, framed(b"")).await.unwrap();
    let report = report_from(&reply.trailers).unwrap();
    assert_eq!((report.application_utilization, report.eps), (1.5, 0.5));
    assert_eq!(report.cpu_utilization, 0.5);
}

#[tokio::test]
async fn a_report_that_a_handler_wrote_by_hand_is_replaced_not_repeated() {
    let handler = unary(async |request: tonic::Request<Bytes>| -> Result<_, _> {
        CallMetrics::of(&request).cpu_utilization(0.5);
        let mut status = Status::internal("by hand");
        let value = BinaryMetadataValue::from_bytes(b"old");
        status.metadata_mut().insert_bin(REPORT_TRAILER, value);
        Err(status)
    });
    let served = serve(ServerOrcaLayer::new(), handler).await;
    let reply = post(served.address, framed(b"")).await.unwrap();
    assert_eq!(report_from(&reply.headers).unwrap().cpu_utilization, 0.5);
}

/// A channel that tells of its reports.
fn told() -> (ClientOrcaLayer, mpsc::Receiver<OrcaLoadReport>) {
    let (sender, reports) = mpsc::channel();
    let layer = ClientOrcaLayer::on_report(move |report| sender.send(report).unwrap());
    (layer, reports)
}

// gRFC A51, "Per-Request Metrics Reporting", "The Client API"
#[tokio::test]
async fn a_client_is_told_once_a_call_however_it_ends() {
    let served = serve(ServerOrcaLayer::new(), costly()).await;
    let (layer, reports) = told();
    let channel = layer.layer(served.channel());
    call(channel.clone(), "succeed").await.unwrap();
    assert_eq!(reports.try_recv(), Ok(report()));
    assert!(reports.try_recv().is_err());
    call(channel.clone(), "fail").await.unwrap_err();
    assert_eq!(reports.try_recv(), Ok(report()));
    assert!(reports.try_recv().is_err());
    let (replies, end) = read(channel).await;
    assert_eq!((replies.len(), end.is_ok()), (1, true));
    assert_eq!(reports.try_recv(), Ok(report()));
}

fn encoded(report: &OrcaLoadReport) -> HeaderValue {
    let value = BinaryMetadataValue::from_bytes(&report.encode_to_vec());
    HeaderValue::from_bytes(value.as_encoded_bytes()).unwrap()
}

#[tokio::test]
async fn a_report_among_the_headers_before_a_reply_is_none() {
    let (layer, reports) = told();
    let service = layer.layer(channel(|_| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let frames = Frames::new([
            Ok(http_body::Frame::data(framed(b"reply"))),
            Ok(http_body::Frame::trailers(trailers)),
        ]);
        let response = Response::builder()
            .header("content-type", "application/grpc")
            .header(REPORT_TRAILER, encoded(&report()));
        Ok::<_, Status>(response.body(Body::new(frames)).unwrap())
    }));
    call(service, "request").await.unwrap();
    assert!(reports.try_recv().is_err());
}

#[test]
fn a_report_that_cannot_be_read_is_none() {
    let mut trailers = HeaderMap::new();
    assert_eq!(report_from(&trailers), None);
    trailers.insert(REPORT_TRAILER, encoded(&report()));
    assert_eq!(report_from(&trailers), Some(report()));
    for malformed in ["a", "!!!!", "CQAA", "gICA", "CQAAAAAAAOA/,CQAAAAAAAOA/"] {
        trailers.insert(REPORT_TRAILER, HeaderValue::from_static(malformed));
        assert_eq!(report_from(&trailers), None, "{malformed}");
    }
    // With padding, as other stacks may send it.
    trailers.insert(REPORT_TRAILER, HeaderValue::from_static("CQAAAAAAAOA/"));
    assert_eq!(report_from(&trailers).unwrap().cpu_utilization, 0.5);
    trailers.insert(REPORT_TRAILER, HeaderValue::from_static("CQAAAAAAAPA/GAA="));
    assert_eq!(report_from(&trailers).unwrap().cpu_utilization, 1.0);
    // Which of two is right, nobody knows.
    trailers.append(REPORT_TRAILER, encoded(&report()));
    assert_eq!(report_from(&trailers), None);
}

#[test]
fn a_report_that_is_too_large_is_not_read() {
    let large = |length| OrcaLoadReport {
        named_metrics: [("n".repeat(length), 1.0)].into(),
        ..Default::default()
    };
    let mut trailers = HeaderMap::new();
    let is_too_large = |length: &usize| encoded(&large(*length)).len() > MAX_REPORT;
    let too_large = (12_000..).find(is_too_large).unwrap();
    for (length, is_read) in [(too_large - 1, true), (too_large, false)] {
        trailers.insert(REPORT_TRAILER, encoded(&large(length)));
        assert_eq!(report_from(&trailers).is_some(), is_read, "{length}");
    }
}

#[test]
fn what_is_shown_names_its_type() {
    let layer = ClientOrcaLayer::on_report(drop);
    assert_eq!(format!("{layer:?}"), "ClientOrcaLayer { .. }");
    let channel = layer.layer("channel");
    assert_eq!(
        format!("{channel:?}"),
        r#"ClientOrca { inner: "channel", .. }"#
    );
    assert_eq!(
        format!("{:?}", ServerMetrics::new()),
        "ServerMetrics { .. }"
    );
}

#[test]
fn both_layers_ask_the_service_inside_whether_it_is_ready() {
    passes_on_readiness(ServerOrcaLayer::new());
    passes_on_readiness(ClientOrcaLayer::on_report(drop));
}
