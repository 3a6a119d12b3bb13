//! What is kept of requests: gRFC A6, "Memory Management (Buffering)".

use std::sync::Mutex;

use futures::StreamExt;
use futures::channel::mpsc;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::time::sleep;
use tonic::Status;

use super::*;
use crate::testing::{channel, framed};

const LIMITS: BufferLimits = BufferLimits {
    per_call: 1000,
    per_channel: 1500,
};

fn request_of(frames: impl IntoIterator<Item = Bytes>) -> Request<Body> {
    let frames: Vec<_> = frames
        .into_iter()
        .map(|bytes| Ok::<_, Status>(Frame::data(bytes)))
        .collect();
    Request::new(Body::new(StreamBody::new(futures::stream::iter(frames))))
}

/// What a server has read of each attempt.
type Read = Arc<Mutex<Vec<Vec<Bytes>>>>;

/// A server that reads all of each attempt, and answers UNAVAILABLE.
fn reader() -> (
    impl Service<Request<Body>, Response = Response<Body>, Error = StdError, Future: Send> + Clone,
    Read,
) {
    let read = Arc::new(Mutex::new(Vec::new()));
    let attempts = read.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let attempts = attempts.clone();
        async move {
            let mut frames = Vec::new();
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                frames.push(frame.into_data().unwrap());
            }
            attempts.lock().unwrap().push(frames);
            Ok(Status::unavailable("not now").into_http())
        }
    });
    (service, read)
}

#[tokio::test(start_paused = true)]
async fn each_attempt_sends_the_very_same_bytes() {
    let sent = Bytes::from(vec![5; 900]);
    let (service, read) = reader();
    let layer = RetryLayer::new().policy(policy(3)).buffer(LIMITS);
    call(layer.layer(service), request_of([sent.clone()])).await;
    let read = read.lock().unwrap();
    assert_eq!(read.len(), 3);
    for attempt in &*read {
        assert_eq!(attempt.len(), 1);
        assert_eq!(attempt[0].as_ptr(), sent.as_ptr());
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_sent_once() {
    for sizes in [&[1001][..], &[600, 401], &[100, 2000, 100]] {
        let (service, read) = reader();
        let throttle = Throttle::new(10, 1).unwrap();
        let layer = RetryLayer::new()
            .policy(policy(3))
            .buffer(LIMITS)
            .throttle(throttle.clone());
        let frames = sizes.iter().map(|&size| Bytes::from(vec![0; size]));
        let ended = call(layer.layer(service), request_of(frames)).await;
        assert_eq!(
            (ended.code, ended.message.as_str()),
            (Code::Unavailable, "not now")
        );
        let read = read.lock().unwrap();
        assert_eq!(read.len(), 1, "{sizes:?}");
        let lengths: Vec<_> = read[0].iter().map(Bytes::len).collect();
        assert_eq!(lengths, sizes);
        assert_eq!(throttle.thousandths(), 9000);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_of_all_clones_share_the_channels_buffer_until_they_are_over() {
    let (service, read) = reader();
    let layer = RetryLayer::new().policy(policy(2)).buffer(LIMITS);
    let channel = layer.layer(service);
    let call_of = |n| call(channel.clone(), request_of([Bytes::from(vec![n; 800])]));
    tokio::join!(call_of(1), call_of(2));
    let attempts = |n| {
        read.lock()
            .unwrap()
            .iter()
            .filter(|read| read[0][0] == n)
            .count()
    };
    assert_eq!(attempts(1) + attempts(2), 3);
    assert_eq!(channel.settings.memory.used(), 0);
    call_of(3).await;
    assert_eq!(attempts(3), 2);
}

#[tokio::test(start_paused = true)]
async fn memory_is_freed_when_headers_come_though_the_call_goes_on() {
    let sent = Bytes::from(vec![5; 900]);
    let (sender, frames) = mpsc::unbounded::<Result<Frame<Bytes>, Status>>();
    sender
        .unbounded_send(Ok(Frame::data(sent.clone())))
        .unwrap();
    let service = tower::service_fn(|request: Request<Body>| async move {
        let mut body = request.into_body();
        drop(body.frame().await);
        sleep(millis(10)).await;
        // The upload goes on while replies come.
        Ok::<_, StdError>(Response::new(body))
    });
    let channel = RetryLayer::new().buffer(LIMITS).layer(service);
    let body = Body::new(StreamBody::new(frames));
    let running = channel.clone().oneshot(Request::new(body));
    tokio::pin!(running);
    tokio::time::timeout(millis(5), &mut running)
        .await
        .unwrap_err();
    assert_eq!(channel.settings.memory.used(), 900);
    assert!(!sent.is_unique());
    let mut replies = running.await.unwrap().into_body();
    assert_eq!(channel.settings.memory.used(), 0);
    assert!(sent.is_unique());
    let more = Bytes::from(vec![6; 5000]);
    sender
        .unbounded_send(Ok(Frame::data(more.clone())))
        .unwrap();
    let echoed = replies.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(echoed.as_ptr(), more.as_ptr());
    drop(sender);
    assert!(replies.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn memory_is_freed_when_a_call_is_dropped_while_it_pauses() {
    let sent = Bytes::from(vec![5; 900]);
    let (service, _) = reader();
    let channel = RetryLayer::new()
        .policy(policy(3))
        .buffer(LIMITS)
        .layer(service);
    let running = channel.clone().oneshot(request_of([sent.clone()]));
    let mut running = Box::pin(running);
    tokio::time::timeout(millis(5), &mut running)
        .await
        .unwrap_err();
    assert_eq!(channel.settings.memory.used(), 900);
    drop(running);
    assert_eq!(channel.settings.memory.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_on_this_side_is_not_sent_again() {
    let (service, read) = reader();
    let frames = [
        Ok(Frame::data(framed(b"a"))),
        Err(Status::data_loss("no more")),
    ];
    let body = Body::new(StreamBody::new(futures::stream::iter(frames)));
    let layer = RetryLayer::new().policy(policy(3));
    call(layer.layer(service), Request::new(body)).await;
    assert_eq!(read.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_a_failed_attempt_still_reads_ends_with_a_reset() {
    let (bodies, mut kept) = mpsc::unbounded();
    let service = channel(move |request: Request<Body>| {
        bodies.unbounded_send(request.into_body()).unwrap();
        Ok::<_, StdError>(Status::unavailable("not now").into_http())
    });
    let (_sender, frames) = mpsc::unbounded::<Result<Frame<Bytes>, Status>>();
    let body = Body::new(StreamBody::new(frames));
    let layer = RetryLayer::new().policy(policy(2));
    call(layer.layer(service), Request::new(body)).await;
    for _ in 0..2 {
        let error = kept
            .next()
            .await
            .unwrap()
            .frame()
            .await
            .unwrap()
            .unwrap_err();
        assert!(format!("{error:?}").contains("CANCEL"), "{error:?}");
    }
}
