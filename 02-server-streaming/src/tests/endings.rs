//! How a stream ends: what tonic does when its producer fails, and what `produce` does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::*;

type Work = fn() -> BoxStream<Integer>;

/// Answers every `Factorize` with one prepared stream.
struct Prepared(Work);

#[tonic::async_trait]
impl Calculator for Prepared {
    async fn factorize(&self, _: Request<Integer>) -> Result<Response<BoxStream<Integer>>, Status> {
        Ok(Response::new((self.0)()))
    }
}

/// What a client reads from `work` on a real server: the messages, and how the stream ended.
async fn read(work: Work) -> (Vec<u64>, Result<(), Status>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(CalculatorServer::new(Prepared(work)));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let mut stub = Stub::connect(url).await.unwrap();
    let mut replies = stub
        .factorize(Integer { value: 6 })
        .await
        .unwrap()
        .into_inner();
    let mut values = Vec::new();
    loop {
        match replies.message().await {
            Ok(Some(reply)) => values.push(reply.value),
            Ok(None) => return (values, Ok(())),
            Err(status) => return (values, Err(status)),
        }
    }
}

#[tokio::test]
async fn an_error_after_some_messages_arrives_after_those_messages() {
    let (values, end) = read(|| {
        Box::pin(produce(|replies| {
            replies.send(Integer { value: 2 })?;
            replies.send(Integer { value: 3 })?;
            Err(Status::resource_exhausted("no more paper"))
        }))
    })
    .await;
    assert_eq!(values, [2, 3]);
    let status = end.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::ResourceExhausted, "no more paper")
    );
}

#[tokio::test]
async fn tonic_takes_a_producer_that_panics_for_one_that_is_done() {
    let (values, end) = read(|| {
        let (replies, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            replies.send(Ok(Integer { value: 2 })).await.unwrap();
            panic!("on purpose");
        });
        Box::pin(ReceiverStream::new(stream))
    })
    .await;
    assert_eq!(values, [2]);
    assert!(end.is_ok());
}

#[tokio::test]
async fn tonic_takes_a_dropped_sender_for_the_end() {
    let (values, end) = read(|| {
        let (replies, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            replies.send(Ok(Integer { value: 2 })).await.unwrap();
            // The `?` of a real producer leaves this way, and its error goes nowhere.
            let next: Result<Integer, Status> = Err(Status::internal("the disk is gone"));
            let Ok(next) = next else { return };
            replies.send(Ok(next)).await.unwrap();
        });
        Box::pin(ReceiverStream::new(stream))
    })
    .await;
    assert_eq!(values, [2]);
    assert!(end.is_ok());
}

#[tokio::test]
async fn work_that_panics_ends_the_stream_as_internal() {
    let (values, end) = read(|| {
        Box::pin(produce(|replies| {
            replies.send(Integer { value: 2 })?;
            panic!("on purpose");
        }))
    })
    .await;
    assert_eq!(values, [2]);
    let status = end.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(
        !status.message().contains("on purpose"),
        "a panic's message is for the operator"
    );
}

#[tokio::test]
async fn work_runs_ahead_of_its_reader_by_two_replies_at_most() {
    let started = Arc::new(AtomicU32::new(0));
    let counter = started.clone();
    let mut replies = Box::pin(produce(move |replies| {
        for value in 1..=1000 {
            counter.fetch_add(1, Ordering::SeqCst);
            replies.send(Integer { value })?;
        }
        Ok(())
    }));
    for read in 1..=500 {
        assert_eq!(replies.next().await.unwrap().unwrap().value, read);
        // One reply waits in the channel, and one for its place in it.
        let ahead = u64::from(started.load(Ordering::SeqCst)) - read;
        assert!(ahead <= 2, "{ahead} ahead of reply {read}");
    }
}

#[tokio::test]
async fn work_learns_that_nobody_reads() {
    let (ended, end) = tokio::sync::oneshot::channel();
    let replies = produce(move |replies| {
        let result = loop {
            if let Err(status) = replies.send(Integer { value: 2 }) {
                break Err(status);
            }
        };
        ended.send(()).unwrap();
        result
    });
    drop(replies);
    timeout(Duration::from_secs(20), end)
        .await
        .unwrap()
        .unwrap();
}
