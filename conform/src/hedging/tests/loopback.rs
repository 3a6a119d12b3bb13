//! Against servers on loopback: all four kinds of call, and what becomes of the losers.

use std::sync::Mutex;

use futures::channel::{mpsc, oneshot};
use futures::{StreamExt, TryStreamExt};
use tonic::codegen::BoxFuture;
use tonic::transport::Channel;
use tower::layer::util::Identity;

use super::*;
use crate::status::{ClientStatus, ClientStatusLayer};
use crate::testing::{self, Handler, Replies, Requests, Served, Test, read, serve, soon, stream};

/// What a server has seen of each attempt: the header, and its messages.
type Log = Arc<Mutex<Vec<(Option<String>, Vec<Bytes>)>>>;

/// A server whose first attempts wait for ever, when they have read a message; the next one answers
/// each message with itself. It tells of each attempt what tells when that is dropped.
fn slow(
    waiting: usize,
) -> (
    Test<impl Handler>,
    Log,
    mpsc::UnboundedReceiver<oneshot::Receiver<()>>,
) {
    let log = Log::default();
    let (begun, handlers) = mpsc::unbounded();
    let seen = log.clone();
    let service = Test(move |requests: Requests| -> BoxFuture<_, _> {
        let (seen, begun) = (seen.clone(), begun.clone());
        Box::pin(async move {
            let (held, dropped) = oneshot::channel::<()>();
            begun.unbounded_send(dropped).unwrap();
            let (metadata, _, mut messages) = requests.into_parts();
            let previous = metadata.get("grpc-previous-rpc-attempts");
            let previous = previous.map(|value| value.to_str().unwrap().to_owned());
            let place = {
                let mut seen = seen.lock().unwrap();
                seen.push((previous, Vec::new()));
                seen.len() - 1
            };
            let note = move |message: &Bytes| seen.lock().unwrap()[place].1.push(message.clone());
            if place < waiting {
                note(&messages.message().await?.unwrap());
                std::future::pending::<()>().await;
            }
            let replies: Replies = messages
                .inspect_ok(move |message| {
                    let _held = &held;
                    note(message);
                })
                .boxed();
            Ok(tonic::Response::new(replies))
        })
    });
    (service, log, handlers)
}

fn hedging(server: &Served, max_attempts: u32) -> Hedging<ClientStatus<Channel>> {
    let policy = HedgingPolicy::new(max_attempts, millis(20), [Code::Unavailable]).unwrap();
    let layer = HedgingLayer::new().policy(policy);
    layer.layer(ClientStatusLayer::new().layer(server.channel()))
}

fn seen(log: &Log) -> Vec<(Option<String>, Vec<Bytes>)> {
    log.lock().unwrap().clone()
}

// gRFC A6, "Hedging Policy"
#[tokio::test]
async fn the_losers_of_a_unary_call_stop() {
    let (service, log, handlers) = slow(2);
    let server = serve(Identity::new(), service).await;
    let reply = testing::call(hedging(&server, 3), "hello").await.unwrap();
    assert_eq!(reply.get_ref(), "hello");
    let expected = [None, Some("1"), Some("2")];
    let expected = expected.map(|n| (n.map(String::from), vec![Bytes::from("hello")]));
    assert_eq!(seen(&log), expected);
    for dropped in soon(handlers.take(2).collect::<Vec<_>>()).await {
        soon(dropped).await.unwrap_err();
    }
}

#[tokio::test]
async fn tonic_alone_sends_a_call_once() {
    let (service, log, mut handlers) = slow(1);
    let server = serve(Identity::new(), service).await;
    let waiting = tokio::time::timeout(millis(200), testing::call(server.channel(), "hello"));
    waiting.await.unwrap_err();
    assert!(soon(handlers.next()).await.is_some());
    assert_eq!(seen(&log).len(), 1);
}

#[tokio::test]
async fn a_stream_of_replies() {
    let (service, log, _handlers) = slow(1);
    let server = serve(Identity::new(), service).await;
    let (replies, end) = read(hedging(&server, 2)).await;
    end.unwrap();
    assert_eq!(replies, ["request"]);
    assert_eq!(seen(&log).len(), 2);
}

#[tokio::test]
async fn an_upload_that_goes_on_and_its_replies() {
    let (service, log, mut handlers) = slow(1);
    let server = serve(Identity::new(), service).await;
    let (sender, messages) = mpsc::unbounded::<Bytes>();
    sender.unbounded_send("a".into()).unwrap();
    let channel = hedging(&server, 2);
    let mut replies = stream(channel.clone(), messages).await.unwrap();
    // The loser stops, though its upload is open.
    soon(soon(handlers.next()).await.unwrap())
        .await
        .unwrap_err();
    assert_eq!(soon(replies.message()).await.unwrap().unwrap(), "a");
    for message in ["b", "c"] {
        sender.unbounded_send(message.into()).unwrap();
        assert_eq!(soon(replies.message()).await.unwrap().unwrap(), message);
    }
    drop(sender);
    assert!(soon(replies.message()).await.unwrap().is_none());
    let all = ["a", "b", "c"].map(Bytes::from).to_vec();
    let expected = [(None, vec![Bytes::from("a")]), (Some("1".to_owned()), all)];
    assert_eq!(seen(&log), expected);
    assert_eq!(channel.settings.memory.used(), 0);
}

#[tokio::test]
async fn a_stream_of_requests_with_one_reply() {
    let (begun, handlers) = mpsc::unbounded();
    let service = Test(move |requests: Requests| -> BoxFuture<_, _> {
        let begun = begun.clone();
        Box::pin(async move {
            let is_first = !requests
                .metadata()
                .contains_key("grpc-previous-rpc-attempts");
            let (held, dropped) = oneshot::channel::<()>();
            begun.unbounded_send(dropped).unwrap();
            let messages: Vec<_> = requests.into_inner().try_collect().await?;
            if is_first {
                std::future::pending::<()>().await;
            }
            drop(held);
            let reply = Bytes::from(messages.concat());
            let replies: Replies = futures::stream::iter([Ok(reply)]).boxed();
            Ok(tonic::Response::new(replies))
        })
    });
    let server = serve(Identity::new(), service).await;
    let messages = ["a", "b", "c"].map(Bytes::from);
    let channel = hedging(&server, 2);
    let mut replies = stream(channel, futures::stream::iter(messages))
        .await
        .unwrap();
    assert_eq!(soon(replies.message()).await.unwrap().unwrap(), "abc");
    for dropped in soon(handlers.take(2).collect::<Vec<_>>()).await {
        soon(dropped).await.unwrap_err();
    }
}

#[tokio::test]
async fn all_attempts_stop_when_the_call_is_dropped() {
    let (service, _, handlers) = slow(3);
    let server = serve(Identity::new(), service).await;
    let channel = hedging(&server, 3);
    let running = tokio::spawn(testing::call(channel.clone(), "hello"));
    let handlers = soon(handlers.take(3).collect::<Vec<_>>()).await;
    running.abort();
    for dropped in handlers {
        soon(dropped).await.unwrap_err();
    }
    assert_eq!(channel.settings.memory.used(), 0);
}
