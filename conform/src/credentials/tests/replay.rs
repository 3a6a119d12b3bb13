//! What is kept of a request, and for how long.

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tonic::metadata::MetadataMap;

use super::*;
use crate::credentials::replay::{KEPT, Replay};
use crate::testing::Frames;

/// A request whose body is this data, and how it is sent.
fn replay(data: &[&Bytes]) -> (Replay, impl Fn() -> Body + use<>) {
    let frames = data.iter().map(|data| Ok(Frame::data(Bytes::clone(data))));
    let replay = Replay::new(Body::new(Frames::new(frames)));
    let (head, _) = Request::new(()).into_parts();
    let sender = replay.clone();
    let send = move || sender.request(&head, &MetadataMap::new()).into_body();
    (replay, send)
}

async fn data(body: &mut Body) -> Bytes {
    let frame = body.frame().await.unwrap().unwrap();
    frame.into_data().unwrap()
}

/// Otherwise HTTP/2 needs one more frame for the end.
#[tokio::test]
async fn both_times_the_end_is_told_with_the_last_data() {
    let (one, other) = (Bytes::from(vec![1; 9]), Bytes::from(vec![2; 9]));
    let (_, send) = replay(&[&one, &other]);
    for _ in 0..2 {
        let mut body = send();
        for expected in [&one, &other] {
            assert!(!body.is_end_stream());
            assert_eq!(data(&mut body).await, expected);
        }
        assert!(body.is_end_stream());
    }
}

#[tokio::test]
async fn a_settled_request_is_let_go() {
    let bytes = Bytes::from(vec![1; 9]);
    let (replay, send) = replay(&[&bytes]);
    let mut body = send();
    data(&mut body).await;
    assert!(replay.is_possible());
    assert!(!bytes.is_unique(), "kept for a second attempt");
    replay.settle();
    assert!(!replay.is_possible());
    assert!(bytes.is_unique());
}

#[tokio::test]
async fn a_request_too_large_is_let_go() {
    let (one, other) = (Bytes::from(vec![1; KEPT]), Bytes::from(vec![2; 1]));
    let (replay, send) = replay(&[&one, &other]);
    let mut body = send();
    data(&mut body).await;
    assert!(!one.is_unique(), "kept for a second attempt");
    data(&mut body).await;
    assert!(!replay.is_possible());
    assert!(one.is_unique() && other.is_unique());
}
