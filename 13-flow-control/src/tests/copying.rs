//! Both sides write and neither reads: a deadlock, and the way around it.

use wire::{Frame, Tap};

use super::*;
use crate::copy::{write_and_read, write_then_read};

/// More than the windows of both directions hold.
const MANY: usize = 128;

#[tokio::test]
async fn both_sides_only_writing_is_a_deadlock() {
    let mut files = Served::start().await.client().await;
    let stuck = timeout(Duration::from_secs(3), write_then_read(&mut files, MANY)).await;
    assert!(stuck.is_err(), "it ended: {stuck:?}");
    // At the same time, as many chunks over the same connection.
    let copied = soon("a copy", write_and_read(&mut files, MANY)).await;
    assert_eq!(copied.unwrap(), MANY * CHUNK);
}

/// Why a test with little data doesn't find the deadlock.
#[tokio::test]
async fn what_fits_into_the_windows_can_be_written_first() {
    let mut files = Served::start().await.client().await;
    let copied = soon("a copy", write_then_read(&mut files, 16)).await;
    assert_eq!(copied.unwrap(), 16 * CHUNK);
}

#[tokio::test]
async fn a_deadlock_ends_when_someone_reads() {
    let mut files = Served::start().await.client().await;
    let (sender, requests) = mpsc::channel(1);
    let copies = files.copy(ReceiverStream::new(requests)).await.unwrap();
    let writer = tokio::spawn(async move {
        for _ in 0..MANY {
            let data = vec![0; CHUNK];
            sender.send(Chunk { data }).await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!writer.is_finished(), "the windows hold all of it");
    let mut copies = copies.into_inner();
    for _ in 0..MANY {
        soon("a copy", copies.message()).await.unwrap().unwrap();
    }
    assert_eq!(soon("the end", copies.message()).await.unwrap(), None);
    soon("the writer", writer).await.unwrap();
}

/// hyper resets a call whose upload waits for room only before its headers are sent.
#[tokio::test]
async fn tonic_alone_does_not_cancel_a_stuck_call_that_is_dropped() {
    let served = Served::start().await;
    let tap = Tap::start(&served.url).await.unwrap();
    let mut files = connect(tap.url()).await.unwrap();
    let stuck = timeout(Duration::from_secs(2), write_then_read(&mut files, MANY)).await;
    assert!(stuck.is_err(), "it ended: {stuck:?}");
    for _ in 0..20 {
        // Each of these goes to the server and back.
        download(&mut files, "nothing").await.unwrap_err();
    }
    let is_of_copy = |it: &Frame| it.path().is_some_and(|path| path.ends_with("Copy"));
    let of_copy: Vec<_> = tap.frames().into_iter().filter(is_of_copy).collect();
    assert!(of_copy.iter().any(Frame::is_request));
    let ends = of_copy
        .iter()
        .any(|it| it.reset().is_some() || it.is_end_stream());
    assert!(!ends, "tonic now cancels it");
}
