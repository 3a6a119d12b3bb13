use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{join_all, pending};
use http_body_util::BodyExt;
use tokio::time::{Instant, advance, sleep, timeout};
use tonic::Code;
use tonic::codegen::http::HeaderMap;
use tower::service_fn;

use super::*;
use crate::deadline::{ClientDeadlineLayer, parse_timeout};
use crate::status::never_sent;
use crate::testing::framed;

mod gate;
mod loopback;

const SECOND: Duration = Duration::from_secs(1);

/// What becomes of one attempt.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// There is nobody.
    NoConnection,
    /// The connection closes before it takes the call.
    Closed,
    /// The request is read, and its messages are the answer.
    Answer,
    /// The request is read, and then it looks as if there had been no connection.
    ReadThenLost,
    /// There is an answer, though nothing has read the request.
    AnswerUnread,
    /// Another failure than one of the connection.
    Other,
    /// Connects for ever.
    Hang,
    /// The request is read, and there is no answer.
    ReadThenHang,
}

/// A channel whose attempts to connect fare as they are told.
#[derive(Clone)]
struct Peer {
    fate: Arc<Mutex<Fate>>,
    attempts: Arc<Mutex<Vec<(Instant, HeaderMap)>>>,
    /// How many requests were read to their end.
    read: Arc<AtomicUsize>,
}

impl Peer {
    fn new(fate: Fate) -> Self {
        Self {
            fate: Arc::new(Mutex::new(fate)),
            attempts: Arc::default(),
            read: Arc::default(),
        }
    }

    fn set(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
    }

    fn attempts(&self) -> usize {
        self.attempts.lock().unwrap().len()
    }

    /// Waits until there are as many attempts.
    async fn attempted(&self, attempts: usize) {
        while self.attempts() < attempts {
            tokio::task::yield_now().await;
        }
    }

    /// The times between attempts, in seconds.
    fn gaps(&self) -> Vec<f64> {
        let attempts = self.attempts.lock().unwrap();
        let gap = |pair: &[(Instant, HeaderMap)]| (pair[1].0 - pair[0].0).as_secs_f64();
        attempts.windows(2).map(gap).collect()
    }

    fn waiting(&self) -> WaitingChannel<Self> {
        WaitForReadyLayer::new().layer(self.clone())
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, StdError> {
        let attempt = (Instant::now(), request.headers().clone());
        self.attempts.lock().unwrap().push(attempt);
        let fate = *self.fate.lock().unwrap();
        match fate {
            Fate::NoConnection => return Err(no_connection()),
            Fate::Closed => return Err(closed().await),
            Fate::Other => return Err("of another kind".into()),
            Fate::AnswerUnread => return Ok(Response::default()),
            Fate::Hang => pending().await,
            Fate::Answer | Fate::ReadThenLost | Fate::ReadThenHang => {}
        }
        let body = request.into_body().collect().await?.to_bytes();
        self.read.fetch_add(1, Ordering::Relaxed);
        match fate {
            Fate::ReadThenLost => Err(no_connection()),
            Fate::ReadThenHang => pending().await,
            _ => Ok(Response::new(Body::new(http_body_util::Full::new(body)))),
        }
    }
}

impl Service<Request<Body>> for Peer {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Response<Body>, StdError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

fn no_connection() -> StdError {
    let error = io::Error::new(io::ErrorKind::ConnectionRefused, "nobody there");
    ConnectError(error.into()).into()
}

/// What hyper says if a connection has closed before it took the call.
async fn closed() -> StdError {
    let (near, _far) = tokio::io::duplex(64);
    let io = hyper_util::rt::TokioIo::new(near);
    let executor = hyper_util::rt::TokioExecutor::new();
    let connection = hyper::client::conn::http2::handshake::<_, _, Body>(executor, io);
    let (mut sender, connection) = connection.await.unwrap();
    drop(connection);
    let error = sender.send_request(Request::default()).await.unwrap_err();
    assert!(error.is_canceled());
    error.into()
}

fn request(wait: Option<bool>) -> Request<Body> {
    let mut request = Request::new(Body::new(http_body_util::Full::new(framed(b"once"))));
    if let Some(wait) = wait {
        request.extensions_mut().insert(WaitForReady(wait));
    }
    request
}

async fn text(response: Result<Response<Body>, StdError>) -> Bytes {
    let body = response.unwrap().into_body();
    body.collect().await.unwrap().to_bytes()
}

fn status(response: Result<Response<Body>, StdError>) -> Status {
    match response {
        Ok(response) => Status::from_header_map(response.headers()).unwrap(),
        Err(error) => Status::from_error(error),
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_fails_at_once_by_default() {
    let peer = Peer::new(Fate::NoConnection);
    for wait in [None, Some(false)] {
        let begin = Instant::now();
        let status = status(peer.waiting().oneshot(request(wait)).await);
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "no connection: nobody there");
        assert!(never_sent(&status));
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
    assert_eq!(peer.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_told_to_waits_until_there_is_a_connection() {
    for fate in [Fate::NoConnection, Fate::Closed] {
        let peer = Peer::new(fate);
        let call = tokio::spawn(peer.waiting().oneshot(request(Some(true))));
        // Longer than four waits, shorter than five.
        sleep(Duration::from_millis(12_500)).await;
        peer.set(Fate::Answer);
        assert_eq!(text(call.await.unwrap()).await, framed(b"once"));
        assert_eq!(peer.read.load(Ordering::Relaxed), 1);
        // connection-backoff.md, "Proposed Backoff Algorithm"
        let gaps = peer.gaps();
        assert!((4..=5).contains(&gaps.len()), "{gaps:?}");
        for (gap, expected) in gaps.into_iter().zip([1.0, 1.6, 2.56, 4.096, 6.5536]) {
            // The clock counts milliseconds.
            let bounds = expected * 0.8 - 0.002..expected * 1.2 + 0.002;
            assert!(bounds.contains(&gap), "{gap} is not within {bounds:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_distance_lies_between_the_beginnings_of_attempts() {
    let peer = Peer::new(Fate::NoConnection);
    let inner = peer.clone();
    let slow = service_fn(move |request| {
        let inner = inner.clone();
        async move {
            let answer = inner.oneshot(request).await;
            sleep(Duration::from_millis(790)).await;
            answer
        }
    });
    let channel = WaitForReadyLayer::new().layer(slow);
    let waits = timeout(3 * SECOND, channel.oneshot(request(Some(true))));
    assert!(waits.await.is_err());
    let gap = peer.gaps()[0];
    assert!((0.798..1.202).contains(&gap), "{gap}");
}

#[tokio::test(start_paused = true)]
async fn what_the_layer_is_told_holds_for_calls_that_say_nothing() {
    let peer = Peer::new(Fate::NoConnection);
    let layer = WaitForReadyLayer::new().by_default(WaitForReady(true));
    let channel = layer.layer(peer.clone());
    let waits = timeout(SECOND / 2, channel.clone().oneshot(request(None)));
    assert!(waits.await.is_err());
    let fails = channel.oneshot(request(Some(false))).await;
    assert_eq!(status(fails).code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_waiting_and_says_why_there_is_no_connection() {
    let peer = Peer::new(Fate::NoConnection);
    let deadline = ClientDeadlineLayer::new().layer(peer.waiting());
    let mut late = request(Some(true));
    late.headers_mut()
        .insert("grpc-timeout", "2500m".parse().unwrap());
    let begin = Instant::now();
    let answer = deadline.oneshot(late).await;
    assert_eq!(begin.elapsed(), Duration::from_millis(2500));
    let late = status(answer);
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let expected = "the deadline has passed while the call waited for a connection: nobody there";
    assert_eq!(late.message(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_the_waiting_without_the_layer_of_deadlines_too() {
    let peer = Peer::new(Fate::Hang);
    let channel = peer.waiting();
    let first = tokio::spawn(channel.clone().oneshot(request(Some(true))));
    peer.attempted(1).await;
    let mut late = request(Some(true));
    late.headers_mut()
        .insert("grpc-timeout", "2S".parse().unwrap());
    let begin = Instant::now();
    let late = status(channel.oneshot(late).await);
    assert_eq!(begin.elapsed(), 2 * SECOND);
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let expected = "the deadline has passed before there was a connection";
    assert_eq!(late.message(), expected);
    first.abort();
}

#[tokio::test(start_paused = true)]
async fn a_server_is_told_the_time_that_is_left_after_the_waiting() {
    let peer = Peer::new(Fate::NoConnection);
    let mut timed = request(Some(true));
    timed
        .headers_mut()
        .insert("grpc-timeout", "10S".parse().unwrap());
    let call = tokio::spawn(peer.waiting().oneshot(timed));
    sleep(SECOND / 2).await;
    peer.set(Fate::Answer);
    call.await.unwrap().unwrap();
    let attempts = peer.attempts.lock().unwrap();
    let told = |at: usize| parse_timeout(attempts[at].1["grpc-timeout"].as_bytes()).unwrap();
    assert_eq!(attempts[0].1["grpc-timeout"], "10S");
    let waited = attempts[1].0 - attempts[0].0;
    assert_eq!(told(1), 10 * SECOND - waited);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_is_not_sent_again() {
    let peer = Peer::new(Fate::ReadThenLost);
    let answer = peer.waiting().oneshot(request(Some(true))).await;
    assert_eq!(status(answer).code(), Code::Unavailable);
    assert_eq!(peer.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_another_kind_ends_the_call() {
    let peer = Peer::new(Fate::Other);
    let error = peer.waiting().oneshot(request(Some(true))).await;
    assert_eq!(error.unwrap_err().to_string(), "of another kind");
    assert_eq!(peer.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_call_tries_for_all_that_wait() {
    let peer = Peer::new(Fate::NoConnection);
    let channel = peer.waiting();
    let calls: Vec<_> = (0..100)
        .map(|_| tokio::spawn(channel.clone().oneshot(request(Some(true)))))
        .collect();
    // Two waits, not three.
    sleep(Duration::from_millis(3125)).await;
    assert_eq!(peer.attempts(), 3);
    peer.set(Fate::Answer);
    for answer in join_all(calls).await {
        assert_eq!(text(answer.unwrap()).await, framed(b"once"));
    }
    assert_eq!(peer.attempts(), 3 + 100);
    assert_eq!(peer.read.load(Ordering::Relaxed), 100);
}

#[tokio::test(start_paused = true)]
async fn the_others_go_once_there_is_a_connection_not_once_there_is_an_answer() {
    let peer = Peer::new(Fate::ReadThenHang);
    let channel = peer.waiting();
    let first = tokio::spawn(channel.clone().oneshot(request(None)));
    while peer.read.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    peer.set(Fate::Answer);
    let begin = Instant::now();
    assert!(channel.oneshot(request(None)).await.is_ok());
    assert_eq!(begin.elapsed(), Duration::ZERO);
    first.abort();
}

#[tokio::test(start_paused = true)]
async fn until_the_wait_is_over_other_calls_fail_without_an_attempt() {
    let peer = Peer::new(Fate::NoConnection);
    let channel = peer.waiting();
    for _ in 0..10 {
        let status = status(channel.clone().oneshot(request(None)).await);
        assert_eq!(status.message(), "no connection: nobody there");
        assert!(never_sent(&status));
    }
    assert_eq!(peer.attempts(), 1);
    peer.set(Fate::Answer);
    advance(Duration::from_millis(790)).await;
    assert!(channel.clone().oneshot(request(None)).await.is_err());
    advance(Duration::from_millis(420)).await;
    assert!(channel.oneshot(request(None)).await.is_ok());
    assert_eq!(peer.attempts(), 2);
}

// wait-for-ready.md: calls should not fail while the channel is CONNECTING or IDLE.
#[tokio::test(start_paused = true)]
async fn while_a_connection_is_being_made_all_calls_wait_for_it() {
    let peer = Peer::new(Fate::Hang);
    let channel = peer.waiting();
    let first = tokio::spawn(channel.clone().oneshot(request(None)));
    peer.attempted(1).await;
    let mut second = channel.clone().oneshot(request(None));
    assert!(timeout(SECOND, &mut second).await.is_err());
    assert_eq!(peer.attempts(), 1);
    peer.set(Fate::Answer);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    // It has taken over at once.
    let begin = Instant::now();
    assert!(second.await.is_ok());
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_polls_holds_the_others_for_twenty_seconds_at_most() {
    let peer = Peer::new(Fate::Hang);
    let channel = peer.waiting();
    let mut held = channel.clone().oneshot(request(None));
    assert!((&mut held).now_or_never().is_none());
    peer.set(Fate::Answer);
    let begin = Instant::now();
    assert!(channel.oneshot(request(None)).await.is_ok());
    assert_eq!(begin.elapsed(), 20 * SECOND);
    drop(held);
}

// connection-backoff.md, "Reset Backoff"
#[tokio::test(start_paused = true)]
async fn a_success_begins_the_waits_anew_also_where_no_call_waits() {
    let peer = Peer::new(Fate::NoConnection);
    let channel = peer.waiting();
    let waits = timeout(30 * SECOND, channel.clone().oneshot(request(Some(true))));
    assert!(waits.await.is_err());
    assert!(*peer.gaps().last().unwrap() > 3.0);
    peer.set(Fate::Answer);
    advance(60 * SECOND).await;
    assert!(channel.clone().oneshot(request(None)).await.is_ok());
    peer.set(Fate::NoConnection);
    let before = peer.attempts();
    let waits = timeout(2 * SECOND, channel.oneshot(request(Some(true))));
    assert!(waits.await.is_err());
    let gap = peer.gaps()[before];
    assert!((0.798..1.202).contains(&gap), "{gap}");
}

#[tokio::test(start_paused = true)]
async fn a_channel_without_room_makes_the_call_wait_not_the_caller() {
    let room = tower::limit::ConcurrencyLimit::new(Peer::new(Fate::Hang), 1);
    let mut channel = WaitForReadyLayer::new().layer(room);
    let context = &mut Context::from_waker(std::task::Waker::noop());
    let _first = channel.call(request(None));
    assert!(channel.poll_ready(context).is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_wait_tries_once_however_long_that_takes() {
    let peer = Peer::new(Fate::NoConnection);
    let inner = peer.clone();
    let slow = service_fn(move |request| {
        let inner = inner.clone();
        async move {
            // The wait until the next attempt is over by then.
            sleep(2 * SECOND).await;
            inner.oneshot(request).await
        }
    });
    let channel = WaitForReadyLayer::new().layer(slow);
    assert!(channel.oneshot(request(None)).await.is_err());
    assert_eq!(peer.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_ends_without_being_read_has_found_a_connection_too() {
    for fate in [Fate::AnswerUnread, Fate::Other] {
        let peer = Peer::new(fate);
        let channel = peer.waiting();
        let _ = channel.clone().oneshot(request(None)).await;
        // So that no call has to wait for another.
        peer.set(Fate::Hang);
        let first = tokio::spawn(channel.clone().oneshot(request(None)));
        peer.attempted(2).await;
        peer.set(Fate::Answer);
        let second = channel.oneshot(request(None)).now_or_never();
        assert!(second.unwrap().is_ok(), "{fate:?}");
        first.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_waited_for_an_attempt_hear_of_its_failure() {
    let slow = service_fn(|_: Request<Body>| async {
        sleep(SECOND / 2).await;
        Err::<Response<Body>, _>(no_connection())
    });
    let channel = WaitForReadyLayer::new().layer(slow);
    let begin = Instant::now();
    let calls = [channel.clone(), channel].map(|channel| channel.oneshot(request(None)));
    for answer in join_all(calls).await {
        assert_eq!(status(answer).code(), Code::Unavailable);
    }
    assert_eq!(begin.elapsed(), SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_as_long_as_without_the_layer() {
    let full = http_body_util::Full::new(Bytes::from_static(b"request"));
    for (body, length) in [(Body::new(full), 7), (Body::empty(), 0)] {
        let is_empty = length == 0;
        let measures = service_fn(move |request: Request<Body>| async move {
            let body = request.into_body();
            assert_eq!(body.size_hint().exact(), Some(length));
            assert_eq!(body.is_end_stream(), is_empty);
            Ok::<_, StdError>(Response::new(Body::empty()))
        });
        let channel = WaitForReadyLayer::new().layer(measures);
        channel.oneshot(Request::new(body)).await.unwrap();
    }
}
