//! Both sides write and neither reads: a deadlock, and the way around it.

use std::sync::atomic::AtomicU64;

use tokio_stream::wrappers::ReceiverStream;

use wire::Tap;

use super::*;
use crate::copy::{write_and_read, write_then_read};

/// More than the windows of both directions hold.
const MANY: u64 = 128;

/// Waits until `count` has not changed for a second, and returns it.
async fn settled(count: &AtomicU64) -> u64 {
    let settle = async {
        loop {
            let before = count.load(Ordering::SeqCst);
            let moves = async {
                while count.load(Ordering::SeqCst) == before {
                    tokio::task::yield_now().await;
                }
            };
            if timeout(Duration::from_secs(1), moves).await.is_err() && before > 0 {
                return before;
            }
        }
    };
    soon(settle).await
}

#[tokio::test]
async fn both_sides_only_writing_is_a_deadlock() {
    let served = Served::start().await;
    let mut stub = served.stub().await;
    let written = Arc::new(AtomicU64::new(0));
    let count = written.clone();
    let copy = tokio::spawn(async move { write_then_read(&mut stub, MANY, &count).await });
    let stuck = settled(&written).await;
    // The window of one direction, and then that of the other.
    assert!(stuck <= 2 * AHEAD, "{stuck} bytes were written");
    assert!(!copy.is_finished());
    copy.abort();
}

#[tokio::test]
async fn a_deadlock_ends_when_someone_reads() {
    let served = Served::start().await;
    let mut stub = served.stub().await;
    let (sender, requests) = mpsc::channel(1);
    let requests = ReceiverStream::new(requests);
    let mut copies = stub.copy(requests).await.unwrap().into_inner();
    let written = Arc::new(AtomicU64::new(0));
    let count = written.clone();
    let writer = tokio::spawn(async move {
        for _ in 0..MANY {
            let data = vec![0; CHUNK];
            sender.send(Chunk { data }).await.unwrap();
            count.fetch_add(CHUNK as u64, Ordering::SeqCst);
        }
    });
    settled(&written).await;
    assert!(!writer.is_finished());
    for _ in 0..MANY {
        soon(copies.message()).await.unwrap().unwrap();
    }
    assert_eq!(soon(copies.message()).await.unwrap(), None);
    soon(writer).await.unwrap();
}

#[tokio::test]
async fn reading_and_writing_at_the_same_time_is_no_deadlock() {
    let served = Served::start().await;
    let (mut stub, written) = (served.stub().await, AtomicU64::new(0));
    let copied = soon(write_and_read(&mut stub, MANY, &written)).await;
    assert_eq!(copied.unwrap(), MANY * CHUNK as u64);
}

/// Why a test with little data does not find the deadlock.
#[tokio::test]
async fn what_fits_into_the_windows_can_be_written_first() {
    let served = Served::start().await;
    let (mut stub, written) = (served.stub().await, AtomicU64::new(0));
    let copied = soon(write_then_read(&mut stub, 16, &written)).await;
    assert_eq!(copied.unwrap(), 16 * CHUNK as u64);
}

/// Begins to copy through `tap`, writes until nothing moves any more, and gives up.
async fn give_up<F>(tap: &Tap, copy: impl FnOnce(Stub, Arc<AtomicU64>) -> F) -> Stub
where
    F: Future<Output = Result<u64, Status>> + Send + 'static,
{
    let mut stub = Stub::new(endpoint(&tap.url()).unwrap().connect().await.unwrap());
    let written = Arc::new(AtomicU64::new(0));
    let call = tokio::spawn(copy(stub.clone(), written.clone()));
    settled(&written).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    // Each of these goes to the server and back.
    for _ in 0..100 {
        stub.progress(Ticket::default()).await.unwrap_err();
    }
    stub
}

/// hyper-1.12.0/src/proto/h2/client.rs resets a call whose upload waits for room only before its headers.
#[tokio::test]
async fn tonic_does_not_cancel_a_stuck_call_that_is_dropped() {
    let served = Served::start().await;
    let tap = Tap::start(&served.url).await.unwrap();
    let _stub = give_up(&tap, async |mut stub: Stub, written: Arc<AtomicU64>| {
        let (sender, requests) = mpsc::channel(1);
        let _unread = stub.copy(ReceiverStream::new(requests)).await?;
        loop {
            let data = vec![0; CHUNK];
            sender.send(Chunk { data }).await.unwrap();
            written.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    // Neither a reset nor an end.
    let frames = tap.frames();
    let copy = |it: &&wire::Frame| it.call.as_ref().is_some_and(|it| it.path.ends_with("Copy"));
    assert!(frames.iter().filter(copy).any(|it| it.is_request()));
    assert!(
        !frames
            .iter()
            .filter(copy)
            .any(|it| it.reset().is_some() || it.is_end_stream())
    );
}

#[tokio::test]
async fn a_stuck_call_that_is_given_up_is_read_to_its_end() {
    let served = Served::start().await;
    let tap = Tap::start(&served.url).await.unwrap();
    let stub = give_up(&tap, async |mut stub: Stub, written: Arc<AtomicU64>| {
        write_then_read(&mut stub, MANY, &written).await
    })
    .await;
    let is_copy = |it: &wire::Frame| it.call.as_ref().is_some_and(|it| it.path.ends_with("Copy"));
    tap.wait_for(|it| is_copy(it) && it.is_trailers()).await;
    // Nothing keeps the connection open.
    drop(stub);
    let is_closed = |it: &wire::Event| it.end().is_some();
    tap.wait_for_event(is_closed).await;
}
