//! How streams of blocking work end, and how many there are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response};

use super::*;

/// The time is a guard against waiting for ever, not a measure.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.unwrap()
}

/// Limits of their own, so that tests don't stand in each other's way.
fn workers() -> Workers {
    Workers::new(4)
}

/// All replies, and how the stream ends.
async fn read<T>(mut stream: BlockingStream<T>) -> (Vec<T>, Result<(), Code>) {
    let mut replies = Vec::new();
    loop {
        match soon(stream.next()).await {
            Some(Ok(reply)) => replies.push(reply),
            None => return (replies, Ok(())),
            Some(Err(status)) => {
                assert!(soon(stream.next()).await.is_none(), "nothing after the end");
                return (replies, Err(status.code()));
            }
        }
    }
}

#[tokio::test]
async fn a_stream_ends_as_its_work_does() {
    for expected in [Ok(()), Err(Code::DataLoss), Err(Code::Unknown)] {
        for count in [0, 1, 5] {
            let stream = workers().blocking(move |replies| {
                for number in 0..count {
                    replies.send(number)?;
                }
                match expected {
                    Ok(()) => Ok(()),
                    Err(Code::Unknown) => panic!("in the middle"),
                    Err(code) => Err(Status::new(code, "torn")),
                }
            });
            assert_eq!(read(stream).await, ((0..count).collect(), expected));
        }
    }
}

/// Sends without end, and says how often and with what it ended.
fn endless(
    workers: &Workers,
    capacity: usize,
) -> (
    BlockingStream<usize>,
    Arc<AtomicUsize>,
    UnboundedReceiver<Status>,
) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let (ended, end) = mpsc::unbounded_channel();
    let stream = workers.blocking_with(capacity, move |replies| {
        loop {
            if let Err(status) = replies.send(count.load(Ordering::SeqCst)) {
                ended.send(status.clone()).unwrap();
                return Err(status);
            }
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (stream, sent, end)
}

#[tokio::test]
async fn work_waits_when_there_is_no_room_and_stops_when_the_stream_is_dropped() {
    for (capacity, expected) in [(0, 1), (1, 1), (3, 3)] {
        let (mut stream, sent, mut end) = endless(&workers(), capacity);
        while sent.load(Ordering::SeqCst) < expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(sent.load(Ordering::SeqCst), expected, "it has no more room");
        assert_eq!(soon(stream.next()).await.unwrap().unwrap(), 0);
        while sent.load(Ordering::SeqCst) == expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(end.try_recv().is_err());
        drop(stream);
        assert_eq!(soon(end.recv()).await.unwrap().code(), Code::Cancelled);
    }
}

#[tokio::test]
async fn any_capacity_will_do() {
    let stream = workers().blocking_with(usize::MAX, |replies| replies.send(7));
    assert_eq!(read(stream).await, (vec![7], Ok(())));
    let stream = Workers::new(usize::MAX).blocking(|replies| replies.send(7));
    assert_eq!(read(stream).await, (vec![7], Ok(())));
}

#[tokio::test]
async fn work_that_sends_nothing_learns_that_the_call_is_over() {
    let (asked, mut answers) = mpsc::unbounded_channel();
    let stream = workers().blocking::<(), _>(move |replies| {
        loop {
            let answer = replies.check();
            let _ = asked.send(answer.clone());
            answer?;
        }
    });
    soon(answers.recv()).await.unwrap().unwrap();
    drop(stream);
    let over = async {
        loop {
            if let Err(status) = answers.recv().await.unwrap() {
                break status;
            }
        }
    };
    assert_eq!(soon(over).await.code(), Code::Cancelled);
}

#[tokio::test]
async fn work_past_the_limit_is_refused_at_once_and_begins_again_later() {
    let workers = Workers::new(2);
    let (first, _, mut first_end) = endless(&workers, 1);
    let (second, ..) = endless(&workers.clone(), 1);
    let refused = workers.blocking::<(), _>(|_| panic!("begun past the limit"));
    assert_eq!(read(refused).await, (vec![], Err(Code::ResourceExhausted)));
    drop(first);
    soon(first_end.recv()).await.unwrap();
    let again = async {
        loop {
            let stream = workers.blocking(|replies| replies.send(1));
            match read(stream).await {
                (replies, Ok(())) => break replies,
                (_, Err(code)) => assert_eq!(code, Code::ResourceExhausted),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert_eq!(soon(again).await, [1]);
    drop(second);
}

#[tokio::test]
async fn work_that_panics_gives_its_place_back() {
    let workers = Workers::new(1);
    for _ in 0..3 {
        let stream = workers.blocking::<(), _>(|_| panic!("again"));
        assert_eq!(read(stream).await, (vec![], Err(Code::Unknown)));
        while workers.0.available_permits() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The only test that uses the limit that all share.
#[tokio::test]
async fn stalled_readers_stop_neither_new_calls_nor_other_blocking_work() {
    let (begun, mut begins) = mpsc::unbounded_channel();
    let mut stalled = Vec::new();
    for number in 0..MAX_RUNNING {
        let begun = begun.clone();
        let work = move |replies: &Replies<usize>| {
            begun.send(()).unwrap();
            loop {
                replies.send(number)?;
            }
        };
        stalled.push(if number % 2 == 0 {
            blocking(work)
        } else {
            blocking_with(2, work)
        });
    }
    for _ in 0..MAX_RUNNING {
        soon(begins.recv()).await.unwrap();
    }
    let one_more = blocking(|replies| replies.send(0));
    assert_eq!(read(one_more).await, (vec![], Err(Code::ResourceExhausted)));
    soon(task::spawn_blocking(|| ())).await.unwrap();
    drop(stalled);
}

#[test]
fn work_that_a_runtime_never_began_ends_with_unavailable() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let over = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let handle = over.handle().clone();
    over.shutdown_background();
    let stream = {
        let _runtime = handle.enter();
        workers().blocking(|replies| replies.send(1))
    };
    let expected = (vec![], Err(Code::Unavailable));
    assert_eq!(runtime.block_on(read(stream)), expected);
}

/// Greets until it can't, and logs why; or breaks off after one greeting.
struct Greets(Workers, UnboundedSender<Code>);

#[tonic::async_trait]
impl Greeter for Greets {
    async fn greet_often(&self, _: Request<Name>) -> Result<Response<BoxStream<Greeting>>, Status> {
        let log = self.1.clone();
        let greetings = self.0.blocking(move |replies| {
            loop {
                if let Err(status) = replies.send(Greeting::default()) {
                    log.send(status.code()).unwrap();
                    return Err(status);
                }
            }
        });
        Ok(Response::new(Box::pin(greetings)))
    }
}

#[tokio::test]
async fn work_stops_when_the_client_cancels() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (log, mut lines) = mpsc::unbounded_channel();
    let server = Server::builder().add_service(GreeterServer::new(Greets(workers(), log)));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let mut stub = GreeterClient::connect(url).await.unwrap();
    let replies = stub.greet_often(Name::default()).await.unwrap();
    let mut replies = replies.into_inner();
    assert!(replies.message().await.unwrap().is_some());
    drop(replies);
    assert_eq!(soon(lines.recv()).await.unwrap(), Code::Cancelled);
}

/// As tonic's own examples do it.
struct ByChannel;

#[tonic::async_trait]
impl Greeter for ByChannel {
    async fn greet_often(&self, _: Request<Name>) -> Result<Response<BoxStream<Greeting>>, Status> {
        let (sender, receiver) = mpsc::channel(1);
        task::spawn_blocking(move || {
            sender.blocking_send(Ok(Greeting::default())).unwrap();
            panic!("in the middle");
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

#[tokio::test]
async fn tonic_alone_takes_work_that_panicked_for_success() {
    let mut stub = GreeterClient::new(GreeterServer::new(ByChannel));
    let replies = stub.greet_often(Name::default()).await.unwrap();
    let mut replies = replies.into_inner();
    assert!(soon(replies.message()).await.unwrap().is_some());
    assert!(soon(replies.message()).await.unwrap().is_none());
}
