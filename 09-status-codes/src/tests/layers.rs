//! What the layers leave alone, and what a panic does to the calls beside it.

use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::{Bytes, Service};
use tower::ServiceExt;

use super::*;
use crate::provoke::page;
use crate::table::Case;

#[tokio::test]
async fn a_status_that_a_server_sends_is_never_changed() {
    let too_large = "Error, decoded message length too large: found 9 bytes, the limit is: 5 bytes";
    for (code, message) in [
        (Code::OutOfRange, too_large),
        (Code::Cancelled, "Timeout expired"),
        (Code::Cancelled, "operation was canceled"),
        (Code::Unknown, "transport error"),
        (Code::Internal, "h2 protocol error: http2 error"),
    ] {
        let status = read(answers(move || Status::new(code, message).into_http())).await;
        assert_eq!((status.code(), status.message()), (code, message));
    }
}

#[tokio::test]
async fn a_status_counts_whatever_http_says() {
    let status = read(answers(|| {
        let mut answer = Status::not_found("no such page").into_http();
        *answer.status_mut() = tonic::codegen::http::StatusCode::BAD_GATEWAY;
        answer.headers_mut().remove("content-type");
        answer
    }))
    .await;
    assert_eq!(status.code(), Code::NotFound);
}

/// "Error parsing returned status" is UNKNOWN in `statuscodes.md`.
#[tokio::test]
async fn a_status_that_is_none_is_unknown() {
    for status in ["17", "-1", "OK", ""] {
        let answer = move || {
            let mut answer = Status::ok("").into_http();
            let headers: &mut HeaderMap = answer.headers_mut();
            headers.insert("grpc-status", status.parse().unwrap());
            answer
        };
        assert_eq!(
            read(answers(answer)).await.code(),
            Code::Unknown,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_panic_ends_one_call_and_no_other_and_keeps_its_text() {
    let server = start().await;
    let connection = corrected(&server);
    let mut archive = ArchiveClient::new(connection.clone());
    let search = with_card(tokio_stream::pending());
    let mut neighbour = archive.search(search).await.unwrap().into_inner();

    let painted = archive.read_page(with_card(page("codex", 3))).await;
    let status = painted.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unknown, "the handler failed")
    );

    assert_eq!(read(connection).await.code(), Code::Ok);
    let neighbour = timeout(Duration::from_millis(50), neighbour.message()).await;
    assert!(neighbour.is_err(), "the search beside it goes on");
}

#[tokio::test]
async fn a_panic_in_a_stream_ends_it_as_unknown() {
    let inner = tower::service_fn(|_: Request<Body>| async {
        let frames = stream::iter([0, 1]).map(|number: i32| match number {
            0 => Ok::<_, Status>(Frame::data(Bytes::from_static(b"first"))),
            _ => panic!("a secret"),
        });
        Ok::<_, Infallible>(Response::new(Body::new(StreamBody::new(frames))))
    });
    let mut service = ServiceBuilder::new()
        .layer(ServerCorrectionLayer::new(LIMIT))
        .service(inner);
    let service = service.ready().await.unwrap();
    let answer = service.call(Request::new(Body::empty())).await.unwrap();
    let collected = http_body_util::BodyExt::collect(answer.into_body()).await;
    let collected = collected.unwrap();
    let trailers = collected.trailers().unwrap().clone();
    assert_eq!(collected.to_bytes(), "first");
    let status = Status::from_header_map(&trailers).unwrap();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unknown, "the handler failed")
    );
}

#[tokio::test]
async fn half_of_the_corrections_works_without_the_other_half() {
    let (plain_server, server) = (start_plain().await, start().await);
    for (case, client_alone, server_alone) in [
        (Case::HandlerPanics, Code::Cancelled, Code::Unknown),
        (
            Case::RequestTooLarge,
            Code::OutOfRange,
            Code::ResourceExhausted,
        ),
        (
            Case::ReplyTooLarge,
            Code::ResourceExhausted,
            Code::OutOfRange,
        ),
        (Case::HeadersTooLarge, Code::Internal, Code::Unknown),
    ] {
        let status = provoke(case, &plain_server, corrected).await.unwrap();
        assert_eq!(status.code(), client_alone, "{case:?}");
        let status = provoke(case, &server, plain).await.unwrap();
        assert_eq!(status.code(), server_alone, "{case:?}");
    }
}
