use std::future::poll_fn;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, pending};
use http_body::Frame;
use tonic::Code;
use tower::layer::util::Identity;

use super::*;
use crate::testing::{
    Frames, Handler, PATH, Requests, Test, call, framed, post, read, replies, serve, soon, stream,
    unary,
};

/// Messages of these tests have two bytes more on the wire: prost's tag and length.
const EXTRA: usize = 2;

fn echo() -> Test<impl Handler> {
    unary(|request: tonic::Request<Bytes>| async { Ok(tonic::Response::new(request.into_inner())) })
}

#[tokio::test]
async fn a_server_takes_requests_up_to_its_limit() {
    let server = serve(ServerMessageLimitLayer::new(100 + EXTRA), echo()).await;
    let reply = call(server.channel(), vec![7; 100]).await.unwrap();
    assert_eq!(reply.into_inner(), vec![7; 100]);
    let status = call(server.channel(), vec![7; 101]).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let message = "a message of 103 bytes is too large: the limit is 102";
    assert_eq!(status.message(), message);
}

#[tokio::test]
async fn tonic_alone_calls_a_request_that_is_too_large_out_of_range() {
    let server = serve(Identity::new(), echo()).await;
    let status = call(server.channel(), vec![7; 5 << 20]).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
}

#[tokio::test]
async fn requests_before_the_one_that_is_too_large_arrive() {
    let count = Test(
        |mut requests: Requests| -> tonic::codegen::BoxFuture<_, Status> {
            Box::pin(async move {
                let mut seen = 0;
                let status = loop {
                    match requests.get_mut().message().await {
                        Ok(Some(_)) => seen += 1,
                        Ok(None) => panic!("the request has ended as if it was whole"),
                        Err(status) => break status,
                    }
                };
                let replies = [Ok(Bytes::from(vec![b'x'; seen])), Err(status)];
                Ok(tonic::Response::new(stream::iter(replies).boxed()))
            })
        },
    );
    let limited = ServerMessageLimitLayer::new(10).layer(count);
    let messages = stream::iter([3, 3, 20, 3].map(|length| Bytes::from(vec![7; length])));
    let mut replies = stream(limited, messages).await.unwrap();
    assert_eq!(soon(replies.message()).await.unwrap().unwrap(), "xx");
    let status = soon(replies.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_client_takes_replies_up_to_its_limit_and_those_before() {
    let server = serve(Identity::new(), replies(&[Ok(b"12345"), Ok(b"123456")])).await;
    let channel = ClientMessageLimitLayer::new(5 + EXTRA).layer(server.channel());
    let (seen, end) = read(channel).await;
    assert_eq!(seen, ["12345"]);
    assert_eq!(end.unwrap_err().code(), Code::ResourceExhausted);
    let channel = ClientMessageLimitLayer::new(6 + EXTRA).layer(server.channel());
    let (seen, end) = read(channel).await;
    assert_eq!(seen.len(), 2);
    end.unwrap();
}

#[tokio::test]
async fn tonic_alone_calls_a_reply_that_is_too_large_out_of_range() {
    let large = unary(|_| async { Ok(tonic::Response::new(Bytes::from(vec![7; 5 << 20]))) });
    let server = serve(Identity::new(), large).await;
    let status = call(server.channel(), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_client_sends_requests_up_to_its_limit() {
    let server = serve(Identity::new(), echo()).await;
    let layer = ClientMessageLimitLayer::new(usize::MAX).outgoing(100 + EXTRA);
    let reply = call(layer.layer(server.channel()), vec![7; 100]).await;
    assert_eq!(reply.unwrap().into_inner().len(), 100);
    let status = call(layer.layer(server.channel()), vec![7; 101]).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    // Without the setter there is no limit.
    let unlimited = ClientMessageLimitLayer::new(usize::MAX).layer(server.channel());
    call(unlimited, vec![7; 101]).await.unwrap();
}

#[tokio::test]
async fn tonic_alone_says_nothing_of_the_size_of_a_request_that_a_client_must_not_send() {
    let server = serve(Identity::new(), echo()).await;
    let mut grpc = tonic::client::Grpc::new(server.channel()).max_encoding_message_size(100);
    soon(grpc.ready()).await.unwrap();
    let codec = tonic_prost::ProstCodec::<Bytes, Bytes>::default();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(PATH);
    let request = tonic::Request::new(Bytes::from(vec![7; 200]));
    let status = soon(grpc.unary(request, path, codec)).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
}

#[tokio::test]
async fn a_stubs_own_limit_is_met_before_the_layers() {
    let server = serve(Identity::new(), echo()).await;
    for (outgoing, own, code) in [
        (None, 100, Code::Internal),
        (Some(50), 100, Code::Internal),
        (Some(50), 1000, Code::ResourceExhausted),
    ] {
        let mut layer = ClientMessageLimitLayer::new(usize::MAX);
        if let Some(limit) = outgoing {
            layer = layer.outgoing(limit);
        }
        let channel = layer.layer(server.channel());
        let mut grpc = tonic::client::Grpc::new(channel).max_encoding_message_size(own);
        soon(grpc.ready()).await.unwrap();
        let codec = tonic_prost::ProstCodec::<Bytes, Bytes>::default();
        let path = tonic::codegen::http::uri::PathAndQuery::from_static(PATH);
        let request = tonic::Request::new(Bytes::from(vec![7; 200]));
        let status = soon(grpc.unary(request, path, codec)).await.unwrap_err();
        assert_eq!(status.code(), code, "{outgoing:?} {own}: {status}");
    }
}

#[tokio::test]
async fn a_stream_of_requests_ends_with_its_reason_after_the_response_has_begun() {
    let waits = Test(
        |mut requests: Requests| -> tonic::codegen::BoxFuture<_, Status> {
            Box::pin(async move {
                let first = requests.get_mut().message().await?.unwrap();
                let replies = stream::iter([Ok(first)]).chain(stream::once(async move {
                    match requests.get_mut().message().await {
                        Ok(_) => panic!("a message that must not be sent"),
                        Err(status) => Err(status),
                    }
                }));
                Ok(tonic::Response::new(replies.boxed()))
            })
        },
    );
    let server = serve(Identity::new(), waits).await;
    let layer = ClientMessageLimitLayer::new(usize::MAX).outgoing(10);
    let (sender, receiver) = futures::channel::mpsc::unbounded();
    sender.unbounded_send(Bytes::from("small")).unwrap();
    let channel = layer.layer(server.channel());
    let mut replies = stream(channel.clone(), receiver).await.unwrap();
    assert_eq!(soon(replies.message()).await.unwrap().unwrap(), "small");
    sender.unbounded_send(Bytes::from(vec![7; 100])).unwrap();
    let status = soon(replies.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
}

#[tokio::test]
async fn a_server_sends_replies_up_to_its_limit_and_those_before() {
    let layer = ServerMessageLimitLayer::new(usize::MAX).outgoing(5 + EXTRA);
    let server = serve(layer, replies(&[Ok(b"12345"), Ok(b"123456"), Ok(b"1")])).await;
    let (seen, end) = read(server.channel()).await;
    assert_eq!(seen, ["12345"]);
    assert_eq!(end.unwrap_err().code(), Code::ResourceExhausted);
    let reply = post(server.address, framed(b"request")).await.unwrap();
    assert_eq!(reply.data, framed(b"12345"));
    assert_eq!(reply.trailers["grpc-status"], "8");
}

#[tokio::test]
async fn an_error_stays_trailers_only() {
    let layer = ServerMessageLimitLayer::new(100).outgoing(100);
    let fails = unary(|_| async { Err(Status::not_found("no such book")) });
    let server = serve(layer, fails).await;
    let reply = post(server.address, framed(b"request")).await.unwrap();
    assert_eq!(reply.headers["grpc-status"], "5");
    assert!(reply.ended_with_headers);
    // As does the refusal of a unary request.
    let reply = post(server.address, framed(&[7; 100])).await.unwrap();
    assert_eq!(reply.headers["grpc-status"], "8");
    assert!(reply.ended_with_headers);
}

#[tokio::test]
async fn a_limit_above_tonics_needs_tonics_raised_too() {
    let server = serve(ServerMessageLimitLayer::new(8 << 20), echo()).await;
    let status = call(server.channel(), vec![7; 5 << 20]).await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::OutOfRange,
        "see the page: Limits above 4 MiB"
    );
}

async fn next(body: &mut LimitedBody) -> Option<Result<Frame<Bytes>, Status>> {
    poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

#[tokio::test]
async fn a_body_is_not_at_its_end_while_an_error_is_pending() {
    let both = [framed(b"1"), framed(&[7; 50])].concat();
    // Says that it is at its end as soon as its one frame is out.
    let inner = Body::new(Frames::new([Ok(Frame::data(both.into()))]));
    let mut body = LimitedBody::new(inner, 10, End::Error);
    assert!(!body.is_end_stream());
    let data = next(&mut body).await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(data, framed(b"1"));
    assert!(!body.is_end_stream(), "hyper would stop here");
    let status = next(&mut body).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(body.is_end_stream());
    assert!(next(&mut body).await.is_none());
}

#[tokio::test]
async fn a_message_is_refused_by_its_prefix_and_its_peer_told_to_stop() {
    struct Watched(#[allow(dead_code)] std::sync::mpsc::Sender<()>);
    let (sender, dropped) = std::sync::mpsc::channel();
    let watched = Watched(sender);
    // A prefix that comes in two frames, compressed, of the largest length there is.
    let frames = stream::iter([&[1, 255][..], &[255, 255, 255]])
        .map(move |data| {
            let _ = &watched;
            Ok::<_, Status>(Frame::data(Bytes::from_static(data)))
        })
        .chain(pending());
    let inner = Body::new(http_body_util::StreamBody::new(frames));
    let mut body = LimitedBody::new(inner, 10, End::Error);
    assert!(next(&mut body).await.unwrap().is_ok());
    assert_eq!(
        dropped.try_recv(),
        Err(std::sync::mpsc::TryRecvError::Empty)
    );
    let status = next(&mut body).await.unwrap().unwrap_err();
    assert!(status.message().contains("4294967295 bytes"), "{status}");
    assert_eq!(
        dropped.try_recv(),
        Err(std::sync::mpsc::TryRecvError::Disconnected)
    );
}

#[tokio::test]
async fn an_error_of_the_transport_stays_what_it_is() {
    let inner = Body::new(Frames::new([Err(Status::unavailable("lost"))]));
    let mut body = LimitedBody::new(inner, 10, End::Told(Refused::default()));
    let status = next(&mut body).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(body.is_end_stream());
    let channel = crate::testing::channel(|_| Err::<Response<Body>, _>("no route"));
    let layer = ClientMessageLimitLayer::new(10).outgoing(100);
    let status = call(layer.layer(channel), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
}

#[test]
fn a_layer_is_as_ready_as_what_it_wraps() {
    crate::testing::passes_on_readiness(ServerMessageLimitLayer::new(1));
    crate::testing::passes_on_readiness(ClientMessageLimitLayer::new(1));
}
