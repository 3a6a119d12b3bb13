use std::future::{Ready, poll_fn, ready};

use futures::StreamExt;
use futures::stream;
use http_body_util::BodyExt;
use tonic::Code;
use tower::layer::util::Identity;

use super::*;
use crate::testing::{
    Requests, Test, call, channel, framed, post, read, replies, serve, soon, unary,
};

async fn panics(_: tonic::Request<Bytes>) -> Result<tonic::Response<Bytes>, Status> {
    panic!("a secret of the handler")
}

#[tokio::test]
async fn a_handler_that_panics_is_unknown_and_its_words_stay_here() {
    let server = serve(CatchPanicLayer::new(), unary(panics)).await;
    let status = call(server.channel(), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert_eq!(status.message(), "the handler failed");
    let reply = post(server.address, framed(b"hello")).await.unwrap();
    assert_eq!(reply.headers["grpc-status"], "2");
    assert!(
        reply.ended_with_headers,
        "other stacks expect Trailers-Only"
    );
}

#[tokio::test]
async fn tonic_alone_calls_a_panic_cancelled() {
    let server = serve(Identity::new(), unary(panics)).await;
    let status = call(server.channel(), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
}

/// One reply, and when that is sent, a panic.
async fn panics_between_replies(
    _: Requests,
) -> Result<tonic::Response<crate::testing::Replies>, Status> {
    let mut asked = 0;
    let replies = stream::poll_fn(move |cx| {
        asked += 1;
        match asked {
            1 => Poll::Ready(Some(Ok(Bytes::from_static(b"first")))),
            2 => {
                // Lets tonic send what it has.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            3 => panic!("between replies"),
            _ => panic!("asked again after a panic"),
        }
    });
    Ok(tonic::Response::new(replies.boxed()))
}

#[tokio::test]
async fn replies_that_panic_end_with_unknown_after_those_before() {
    let server = serve(CatchPanicLayer::new(), Test(panics_between_replies)).await;
    let (seen, end) = read(server.channel()).await;
    assert_eq!(seen, ["first"]);
    assert_eq!(end.unwrap_err().code(), Code::Unknown);
    let reply = post(server.address, framed(b"hello")).await.unwrap();
    assert_eq!(reply.data, framed(b"first"));
    assert_eq!(reply.trailers["grpc-status"], "2");
}

#[tokio::test]
async fn a_body_that_has_panicked_is_not_polled_again() {
    let layer = CatchPanicLayer::new();
    let mut service = layer.layer(Test(panics_between_replies));
    let request = Request::new(Body::new(http_body_util::Full::new(framed(b"hello"))));
    let mut body = soon(service.call(request)).await.unwrap().into_body();
    assert!(!body.is_end_stream());
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn other_calls_on_the_connection_go_on() {
    let handler = unary(|request: tonic::Request<Bytes>| async {
        match &request.into_inner()[..] {
            b"panic" => panic!("as asked"),
            _ => Ok(tonic::Response::new(Bytes::from_static(b"fine"))),
        }
    });
    let server = serve(CatchPanicLayer::new(), handler).await;
    let channel = server.channel();
    for _ in 0..3 {
        call(channel.clone(), "panic").await.unwrap_err();
        let reply = call(channel.clone(), "hello").await.unwrap();
        assert_eq!(reply.into_inner(), "fine");
    }
}

/// Panics where it is told to.
#[derive(Clone, Debug)]
struct Panics {
    in_poll_ready: bool,
    in_call: bool,
}

impl Service<Request<Body>> for Panics {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Response<Body>, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if std::mem::take(&mut self.in_poll_ready) {
            panic!("in poll_ready");
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        if self.in_call {
            panic!("in call");
        }
        ready(Ok(Status::aborted("").into_http()))
    }
}

#[tokio::test]
async fn a_layer_that_panics_before_there_is_a_future_is_unknown_too() {
    let layer = CatchPanicLayer::custom(|cause| Status::internal(message(cause)));
    let service = layer.layer(Panics {
        in_poll_ready: false,
        in_call: true,
    });
    let status = call(service, "hello").await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Internal, "in call")
    );
}

#[tokio::test]
async fn a_panic_in_poll_ready_ends_the_next_call_and_no_more() {
    let layer = CatchPanicLayer::custom(|cause| Status::internal(message(cause)));
    let mut service = layer.layer(Panics {
        in_poll_ready: true,
        in_call: false,
    });
    for _ in 0..2 {
        poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    }
    let mut clone = service.clone();
    let code = |response: Response<Body>| response.headers()["grpc-status"].clone();
    let response = service.call(Request::default()).await.unwrap();
    assert_eq!(code(response), "13");
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let response = service.call(Request::default()).await.unwrap();
    assert_eq!(code(response), "10");
    // A clone has to get ready itself.
    poll_fn(|cx| clone.poll_ready(cx)).await.unwrap();
    assert_eq!(code(clone.call(Request::default()).await.unwrap()), "10");
}

#[tokio::test]
async fn an_application_chooses_another_status_once_for_all_places() {
    let layer = CatchPanicLayer::custom(|_| Status::internal("a fault of ours"));
    let server = serve(layer, unary(panics)).await;
    let status = call(server.channel(), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    let server = serve(layer, Test(panics_between_replies)).await;
    let (_, end) = read(server.channel()).await;
    assert_eq!(end.unwrap_err().message(), "a fault of ours");
}

#[tokio::test]
async fn an_applications_function_that_panics_is_caught_too() {
    let layer = CatchPanicLayer::custom(|_| panic!("in the function"));
    let server = serve(layer, unary(panics)).await;
    let status = call(server.channel(), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
}

#[tokio::test]
async fn calls_without_a_panic_are_passed_on_as_they_are() {
    let layer = CatchPanicLayer::default();
    let server = serve(layer, replies(&[Ok(b"first"), Err(Code::DataLoss)])).await;
    let (seen, end) = read(server.channel()).await;
    assert_eq!(seen, ["first"]);
    assert_eq!(end.unwrap_err().code(), Code::DataLoss);

    let fails = unary(|_| async { Err(Status::not_found("no such book")) });
    let server = serve(layer, fails).await;
    let reply = post(server.address, framed(b"hello")).await.unwrap();
    assert_eq!(reply.headers["grpc-status"], "5");
    assert!(
        reply.ended_with_headers,
        "other stacks expect Trailers-Only"
    );

    let body = || Body::new(http_body_util::Full::new(Bytes::from_static(b"12345")));
    let inner = channel(move |_| Ok::<_, StdError>(Response::new(body())));
    let response = layer.layer(inner).call(Request::default()).await.unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(5));
    let inner = channel(|_| Err::<Response<Body>, _>("an error of its own"));
    let error = layer.layer(inner).call(Request::default()).await;
    assert_eq!(error.unwrap_err(), "an error of its own");
}

#[test]
fn a_panic_says_what_stands_between_its_brackets() {
    let text = |panic: fn()| {
        let cause = catch_unwind(panic).unwrap_err();
        message(&*cause).to_owned()
    };
    assert_eq!(text(|| panic!("a text")), "a text");
    assert_eq!(text(|| panic!("a text with {}", 1)), "a text with 1");
    assert_eq!(text(|| std::panic::panic_any(1)), "a panic without a text");
    assert!(format!("{:?}", CatchPanicLayer::new().layer(7)).contains('7'));
    assert!(format!("{:?}", CatchPanicLayer::new()).contains("CatchPanicLayer"));
}

#[test]
fn a_layer_is_as_ready_as_what_it_wraps() {
    crate::testing::passes_on_readiness(CatchPanicLayer::new());
}
