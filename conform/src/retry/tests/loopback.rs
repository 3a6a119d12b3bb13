//! Against servers on loopback: all four kinds of call, and what only a connection can do.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::channel::{mpsc, oneshot};
use futures::{StreamExt, TryStreamExt};
use tonic::Status;
use tonic::transport::Channel;
use tower::layer::util::Identity;

use super::*;
use crate::status::tests::{RESPONSE_HEADERS, frame, operation_was_canceled, raw_peer};
use crate::status::{ClientStatus, ClientStatusLayer};
use crate::testing::{
    self, Handler, Replies, Requests, Served, Test, h2_peer, read, serve, soon, stream,
};

/// What a server has seen of each attempt: the header, and the messages.
type Log = Arc<Mutex<Vec<(Option<String>, Vec<Bytes>)>>>;

/// A server that reads `reads` messages and fails, `failures` times; then it answers each message
/// with itself.
fn moody(failures: u32, reads: usize) -> (Test<impl Handler>, Log) {
    let log = Log::default();
    let (seen, count) = (log.clone(), Arc::new(AtomicU32::new(0)));
    let service = Test(
        move |requests: Requests| -> tonic::codegen::BoxFuture<_, _> {
            let (seen, count) = (seen.clone(), count.clone());
            Box::pin(async move {
                let (metadata, _, mut messages) = requests.into_parts();
                let previous = metadata.get("grpc-previous-rpc-attempts");
                let previous = previous.map(|value| value.to_str().unwrap().to_owned());
                let place = {
                    let mut seen = seen.lock().unwrap();
                    seen.push((previous, Vec::new()));
                    seen.len() - 1
                };
                let note =
                    move |message: &Bytes| seen.lock().unwrap()[place].1.push(message.clone());
                if count.fetch_add(1, Ordering::Relaxed) < failures {
                    for _ in 0..reads {
                        note(&messages.message().await?.unwrap());
                    }
                    return Err(Status::unavailable("not now"));
                }
                let replies: Replies = messages.inspect_ok(note).boxed();
                Ok(tonic::Response::new(replies))
            })
        },
    );
    (service, log)
}

fn quick() -> RetryLayer {
    let codes = [Code::Unavailable];
    RetryLayer::new().policy(RetryPolicy::new(4, millis(1), millis(5), 2.0, codes).unwrap())
}

fn retrying(server: &Served) -> Retry<ClientStatus<Channel>> {
    quick().layer(ClientStatusLayer::new().layer(server.channel()))
}

fn numbered(log: &Log) -> Vec<(Option<String>, Vec<Bytes>)> {
    log.lock().unwrap().clone()
}

fn attempt(previous: Option<&str>, messages: &[&'static str]) -> (Option<String>, Vec<Bytes>) {
    let messages = messages.iter().map(|message| Bytes::from(*message));
    (previous.map(Into::into), messages.collect())
}

// gRFC A6, "Exposed Retry Metadata"
#[tokio::test]
async fn a_unary_call() {
    let (service, log) = moody(3, 1);
    let server = serve(Identity::new(), service).await;
    let reply = testing::call(retrying(&server), "hello").await.unwrap();
    assert_eq!(reply.get_ref(), "hello");
    let expected = [None, Some("1"), Some("2"), Some("3")].map(|n| attempt(n, &["hello"]));
    assert_eq!(numbered(&log), expected);
}

#[tokio::test]
async fn a_server_that_fails_too_often_has_the_last_word() {
    let (service, log) = moody(4, 1);
    let server = serve(Identity::new(), service).await;
    let status = testing::call(retrying(&server), "hello").await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "not now")
    );
    assert_eq!(numbered(&log).len(), 4);
}

#[tokio::test]
async fn a_stream_of_replies() {
    let (service, log) = moody(2, 1);
    let server = serve(Identity::new(), service).await;
    let (seen, end) = read(retrying(&server)).await;
    end.unwrap();
    assert_eq!(seen, ["request"]);
    assert_eq!(numbered(&log).len(), 3);
}

#[tokio::test]
async fn tonic_alone_makes_no_call_again() {
    let (service, log) = moody(1, 1);
    let server = serve(Identity::new(), service).await;
    let status = testing::call(server.channel(), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(numbered(&log).len(), 1);
}

/// An upload that goes on while attempts fail, and whose last message comes after all of them.
#[tokio::test]
async fn an_upload_that_goes_on() {
    let (service, log) = moody(2, 2);
    let server = serve(Identity::new(), service).await;
    let (sender, messages) = mpsc::unbounded::<Bytes>();
    sender.unbounded_send("a".into()).unwrap();
    sender.unbounded_send("b".into()).unwrap();
    let mut replies = stream(retrying(&server), messages).await.unwrap();
    let expected = [attempt(None, &["a", "b"]), attempt(Some("1"), &["a", "b"])];
    assert_eq!(numbered(&log)[..2], expected);
    // The third attempt has the headers: it is a bidirectional call from here.
    for (next, message) in ["a", "b", "c", "d"].into_iter().enumerate() {
        if next >= 2 {
            sender.unbounded_send(message.into()).unwrap();
        }
        assert_eq!(soon(replies.message()).await.unwrap().unwrap(), message);
    }
    drop(sender);
    assert!(soon(replies.message()).await.unwrap().is_none());
    assert_eq!(numbered(&log)[2], attempt(Some("2"), &["a", "b", "c", "d"]));
}

#[tokio::test]
async fn a_stream_of_requests_with_one_reply() {
    let count = Arc::new(AtomicU32::new(0));
    let attempts = count.clone();
    let service = Test(
        move |requests: Requests| -> tonic::codegen::BoxFuture<_, _> {
            let attempts = attempts.clone();
            Box::pin(async move {
                let messages: Vec<_> = requests.into_inner().try_collect().await?;
                if attempts.fetch_add(1, Ordering::Relaxed) < 2 {
                    return Err(Status::unavailable("not now"));
                }
                let reply = Bytes::from(messages.concat());
                let replies: Replies = futures::stream::iter([Ok(reply)]).boxed();
                Ok(tonic::Response::new(replies))
            })
        },
    );
    let server = serve(Identity::new(), service).await;
    let messages = ["a", "b", "c"].map(Bytes::from);
    let mut replies = stream(retrying(&server), futures::stream::iter(messages))
        .await
        .unwrap();
    assert_eq!(soon(replies.message()).await.unwrap().unwrap(), "abc");
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

/// A handler that waits, and what tells that it was dropped.
fn waiting(begun: mpsc::UnboundedSender<oneshot::Receiver<()>>) -> Test<impl Handler> {
    Test(
        move |requests: Requests| -> tonic::codegen::BoxFuture<_, _> {
            let begun = begun.clone();
            Box::pin(async move {
                let (held, dropped) = oneshot::channel();
                begun.unbounded_send(dropped).unwrap();
                let _held: (oneshot::Sender<()>, _) = (held, requests);
                std::future::pending().await
            })
        },
    )
}

#[tokio::test]
async fn a_call_that_is_dropped_stops_its_handler_though_the_upload_is_open() {
    let (begun, mut handlers) = mpsc::unbounded();
    let server = serve(Identity::new(), waiting(begun)).await;
    let (sender, messages) = mpsc::unbounded::<Bytes>();
    sender.unbounded_send("a".into()).unwrap();
    let channel = retrying(&server);
    let running = tokio::spawn(stream(channel.clone(), messages));
    let dropped = soon(handlers.next()).await.unwrap();
    running.abort();
    soon(dropped).await.unwrap_err();
    // The upload's stream is dropped too.
    soon(async {
        while !sender.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(channel.settings.memory.used(), 0);
}

/// Refuses `refusals` calls unprocessed, and answers the others.
async fn refusing(refusals: u32) -> (Served, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let calls = count.clone();
    let server = h2_peer(move |_, mut respond| {
        let number = calls.fetch_add(1, Ordering::Relaxed);
        async move {
            if number < refusals {
                return respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
            let answer = Status::not_found("answered").into_http::<()>();
            drop(respond.send_response(answer, true));
        }
    });
    (server.await, count)
}

// gRFC A6, "Transparent Retries"
#[tokio::test]
async fn a_refused_stream_is_sent_again_once_without_a_policy() {
    for (refusals, code) in [(1, Code::NotFound), (2, Code::Unavailable)] {
        let (server, count) = refusing(refusals).await;
        for channel in [RetryLayer::new().layer(ClientStatusLayer::new().layer(server.channel()))] {
            let status = testing::call(channel, "hello").await.unwrap_err();
            assert_eq!(status.code(), code, "{status}");
        }
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn tonic_alone_does_not_send_a_refused_stream_again() {
    let (server, count) = refusing(1).await;
    let status = testing::call(server.channel(), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

// gRFC A6, "Transparent Retries": "GOAWAY" with a last stream below the call's
#[tokio::test]
async fn a_call_above_the_last_stream_of_a_goaway_is_sent_again() {
    let connections = Arc::new(AtomicU32::new(0));
    let server = raw_peer(
        move |call| match connections.fetch_add(1, Ordering::Relaxed) {
            0 => vec![frame(7, 0, 0, &[0; 8])],
            _ => {
                let mut headers = RESPONSE_HEADERS.to_vec();
                headers.extend(b"\x00\x0bgrpc-status\x015");
                vec![frame(1, 5, call, &headers)]
            }
        },
    )
    .await;
    let channel = RetryLayer::new().layer(ClientStatusLayer::new().layer(server.channel()));
    let status = testing::call(channel, "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");
}

// gRFC A6, "Transparent Retries": the second case
#[tokio::test]
async fn a_call_that_hyper_could_not_put_on_its_connection_is_sent_again() {
    let errors = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..3 {
        let error = operation_was_canceled().await;
        errors.lock().unwrap().push(error);
    }
    let closed = testing::channel(move |_| match errors.lock().unwrap().pop() {
        Some(error) => Err(StdError::from(error)),
        None => Ok(Status::not_found("answered").into_http()),
    });
    let channel = RetryLayer::new().layer(ClientStatusLayer::new().layer(closed));
    let status = testing::call(channel, "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");
}

// gRFC A6, "Transparent Retries": the first case is for the policy
#[tokio::test]
async fn a_server_that_is_away_is_no_transparent_retry() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let channel = ClientStatusLayer::new().layer(testing::endpoint(address).connect_lazy());
    let throttle = Throttle::new(10, 1).unwrap();
    let layer = quick().throttle(throttle.clone());
    let status = testing::call(layer.layer(channel), "hello")
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(throttle.thousandths(), 6000);
}
