//! Where a body with a limit ends, however the messages lie in its frames.

use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tonic::codegen::Bytes;

use super::*;
use crate::size::LimitedBody;

/// A message of so many bytes as gRPC frames it.
fn framed(length: usize) -> Vec<u8> {
    let prefix = u32::try_from(length).unwrap().to_be_bytes();
    [&[0], &prefix[..], &vec![7; length]].concat()
}

/// What comes through, and the code of the error after it, if there is one.
async fn through(bytes: &[u8], frame: usize, limit: usize) -> (Vec<u8>, Option<Code>) {
    let frames = bytes.chunks(frame).map(Bytes::copy_from_slice);
    let frames: Vec<_> = frames
        .map(|data| Ok::<_, Status>(Frame::data(data)))
        .collect();
    let body = Body::new(StreamBody::new(stream::iter(frames)));
    let mut body = LimitedBody::new(body, limit);
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => seen.extend(frame.into_data().unwrap()),
            Err(status) => {
                assert!(body.frame().await.is_none(), "an error is the end");
                return (seen, Some(status.code()));
            }
        }
    }
    (seen, None)
}

#[tokio::test]
async fn messages_up_to_the_limit_pass_unchanged() {
    let bytes = [framed(0), framed(10), framed(1), framed(10)].concat();
    for frame in 1..=bytes.len() {
        assert_eq!(through(&bytes, frame, 10).await, (bytes.clone(), None));
    }
}

#[tokio::test]
async fn messages_before_one_that_is_too_large_pass_and_nothing_of_it() {
    let before = [framed(3), framed(10)].concat();
    let bytes = [&before[..], &framed(11), &framed(1)].concat();
    for frame in 1..=bytes.len() {
        let (seen, code) = through(&bytes, frame, 10).await;
        assert_eq!(code, Some(Code::ResourceExhausted), "frames of {frame}");
        // At most the part of its prefix that came in a frame of its own.
        assert!(seen.starts_with(&before) && seen.len() < before.len() + 5);
    }
}

#[tokio::test]
async fn half_a_message_is_left_for_tonic_to_judge() {
    let whole = framed(10);
    for length in 1..whole.len() {
        let half = &whole[..length];
        assert_eq!(through(half, 4, 10).await, (half.to_vec(), None));
    }
}

#[tokio::test]
async fn a_reply_of_exactly_the_limit_is_read() {
    for (limit, code) in [(100, Code::Ok), (99, Code::ResourceExhausted)] {
        let answer = || {
            let page = crate::archive::Page {
                rest: "x".repeat(98),
                ..Default::default()
            };
            let message = prost::Message::encode_to_vec(&page);
            assert_eq!(message.len(), 100);
            let data = [&[0, 0, 0, 0, 100], &message[..]].concat();
            let ok = Status::ok("").into_http::<Body>().headers().clone();
            let frames = [Frame::data(Bytes::from(data)), Frame::trailers(ok)];
            let frames = stream::iter(frames.map(Ok::<_, Status>));
            let answer = Response::builder().header("content-type", "application/grpc");
            answer.body(Body::new(StreamBody::new(frames))).unwrap()
        };
        let server = tower::service_fn(move |_: Request<Body>| {
            let answer = answer();
            async move { Ok::<_, Infallible>(answer) }
        });
        let client = ServiceBuilder::new()
            .layer(ClientCorrectionLayer::new(limit))
            .service(server);
        let status = read(BoxCloneSyncService::new(client)).await;
        assert_eq!(status.code(), code, "{status}");
    }
}
