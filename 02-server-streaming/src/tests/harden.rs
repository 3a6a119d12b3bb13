//! *Harden it*: what becomes of work that fails, with tonic alone and with `conform::stream`.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::sleep;

use super::*;

/// The handler of the page's *Harden it*, in full.
struct Hardened {
    log: Sender<String>,
}

#[tonic::async_trait]
impl Calculator for Hardened {
    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let number = request.into_inner().value;
        let steps = factors(number)?;
        let log = self.log.clone();
        let stream = conform::stream::blocking(move |replies| {
            let result = send(steps, replies);
            let end = result.as_ref().map_or_else(Status::message, |()| "done");
            let _ = log.try_send(format!("{number}: {end}"));
            result
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

fn send(
    steps: impl Iterator<Item = Step>,
    replies: &conform::stream::Replies<Integer>,
) -> Result<(), Status> {
    for step in steps {
        match step {
            Step::Factor(value) => replies.send(Integer { value })?,
            Step::Searching => replies.check()?,
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_hardened_handler_keeps_all_promises_of_the_plain_one() {
    let (log, mut lines) = mpsc::channel(64);
    let mut stub = connect(CalculatorServer::new(Hardened { log })).await;
    assert_eq!(read_all(&mut stub, 12).await.unwrap(), [2, 2, 3]);
    assert_eq!(line(&mut lines).await, "12: done");
    let status = read_all(&mut stub, 0).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    drop(stub.factorize(Integer { value: HARD }).await.unwrap());
    assert_eq!(line(&mut lines).await, format!("{HARD}: the call is over"));
}

/// Answers every `Factorize` with one prepared stream.
struct Prepared(fn() -> BoxStream<Integer>);

#[tonic::async_trait]
impl Calculator for Prepared {
    async fn factorize(&self, _: Request<Integer>) -> Result<Response<BoxStream<Integer>>, Status> {
        Ok(Response::new((self.0)()))
    }
}

#[tokio::test]
async fn work_that_panics_is_unknown_with_conform_and_ok_with_tonic_alone() {
    let plain = read(|| {
        let (replies, stream) = mpsc::channel(4);
        task::spawn_blocking(move || {
            replies.blocking_send(Ok(Integer { value: 2 })).unwrap();
            panic!("on purpose");
        });
        Box::pin(ReceiverStream::new(stream))
    });
    assert_eq!(plain.await, (vec![2], Code::Ok));
    let hardened = read(|| {
        Box::pin(conform::stream::blocking(|replies| {
            replies.send(Integer { value: 2 })?;
            panic!("on purpose");
        }))
    });
    assert_eq!(hardened.await, (vec![2], Code::Unknown));
}

#[tokio::test]
async fn an_early_return_is_an_error_with_conform_and_ok_with_tonic_alone() {
    fn disk() -> Result<u64, Status> {
        Err(Status::data_loss("the disk is gone"))
    }
    let plain = read(|| {
        let (replies, stream) = mpsc::channel(4);
        task::spawn_blocking(move || {
            let _ = replies.blocking_send(Ok(Integer { value: 2 }));
            // The error of this `?` goes nowhere.
            let _ = replies.blocking_send(Ok(Integer { value: disk()? }));
            Ok::<(), Status>(())
        });
        Box::pin(ReceiverStream::new(stream))
    });
    assert_eq!(plain.await, (vec![2], Code::Ok));
    let hardened = read(|| {
        Box::pin(conform::stream::blocking(|replies| {
            replies.send(Integer { value: 2 })?;
            replies.send(Integer { value: disk()? })
        }))
    });
    assert_eq!(hardened.await, (vec![2], Code::DataLoss));
}

/// How many replies went into the channel while the client didn't read.
static SENT: AtomicU64 = AtomicU64::new(0);

#[tokio::test]
async fn the_work_waits_once_the_client_s_window_is_full() {
    let mut stub = connect(CalculatorServer::new(Prepared(|| {
        let (replies, stream) = mpsc::channel(4);
        task::spawn_blocking(move || {
            while replies.blocking_send(Ok(Integer { value: 2 })).is_ok() {
                SENT.fetch_add(1, Ordering::SeqCst);
            }
        });
        Box::pin(ReceiverStream::new(stream))
    })))
    .await;
    let _unread = stub.factorize(Integer { value: 6 }).await.unwrap();
    let mut before = 0;
    while before == 0 || SENT.load(Ordering::SeqCst) > before {
        before = SENT.load(Ordering::SeqCst);
        sleep(Duration::from_millis(300)).await;
    }
    // A reply is 7 bytes, the window 2 MiB; tonic collects up to 32 KiB. Sometimes it's fewer:
    // h2 ends a connection on which too many small frames lie unread.
    let most = (2 * 1024 * 1024 + 2 * 32 * 1024) / 7;
    assert!(before < most, "{before} replies sent");
}

/// The messages that a client reads, and the code at the end.
async fn read(work: fn() -> BoxStream<Integer>) -> (Vec<u64>, Code) {
    let mut stub = connect(CalculatorServer::new(Prepared(work))).await;
    let replies = stub.factorize(Integer { value: 6 }).await.unwrap();
    let mut replies = replies.into_inner();
    let mut values = Vec::new();
    loop {
        match soon("the next reply", replies.message()).await {
            Ok(Some(reply)) => values.push(reply.value),
            Ok(None) => return (values, Code::Ok),
            Err(status) => return (values, status.code()),
        }
    }
}

async fn connect<S: Calculator>(service: CalculatorServer<S>) -> Stub {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = conform::server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(conform::server::incoming(listener)));
    Stub::connect(url).await.unwrap()
}

#[tokio::test]
async fn a_search_stops_after_a_minute_though_its_client_is_still_there() {
    let (_tap, mut stub, mut log) = start().await;
    let replies = stub.factorize(Integer { value: HARD }).await.unwrap();
    let mut replies = replies.into_inner();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(59)).await;
    tokio::time::resume();
    let early = tokio::time::timeout(Duration::from_millis(50), log.recv()).await;
    assert!(early.is_err(), "{early:?}");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    let gone = format!("{HARD}: the client went away");
    assert_eq!(line(&mut log).await, gone);
    let status = soon("the status", replies.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}
