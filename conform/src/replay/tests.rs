use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures::StreamExt;
use futures::channel::mpsc;
use futures::task::{ArcWake, waker};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Bytes};

use super::*;

const LIMITS: BufferLimits = BufferLimits {
    per_call: 1000,
    per_channel: 1500,
};

type Frames = mpsc::UnboundedSender<Result<Frame<Bytes>, Status>>;

/// A body that ends when its sender is dropped.
fn open() -> (Frames, Body) {
    let (sender, frames) = mpsc::unbounded();
    (sender, Body::new(StreamBody::new(frames)))
}

fn send(sender: &Frames, bytes: impl Into<Bytes>) {
    sender
        .unbounded_send(Ok(Frame::data(bytes.into())))
        .unwrap();
}

/// A call whose caller has sent these frames and will send more.
fn call(frames: &[&'static [u8]]) -> (Frames, Replay, Arc<Memory>) {
    let memory = Memory::new(LIMITS);
    let (sender, body) = open();
    frames.iter().for_each(|frame| send(&sender, *frame));
    (sender, Replay::new(body, &memory), memory)
}

/// What a reader gets at once: a frame, its end, or nothing yet.
#[derive(Debug, PartialEq)]
enum Got {
    Frame(Bytes),
    Error(String),
    End,
    Nothing,
}

impl PartialEq<&str> for Got {
    fn eq(&self, other: &&str) -> bool {
        matches!(self, Self::Frame(bytes) if bytes == other.as_bytes())
    }
}

fn get(body: &mut Body) -> Got {
    get_with(body, Waker::noop())
}

fn get_with(body: &mut Body, waker: &Waker) -> Got {
    match Pin::new(body).poll_frame(&mut Context::from_waker(waker)) {
        Poll::Ready(Some(Ok(frame))) => Got::Frame(frame.into_data().unwrap()),
        Poll::Ready(Some(Err(status))) => Got::Error(format!("{status:?}")),
        Poll::Ready(None) => Got::End,
        Poll::Pending => Got::Nothing,
    }
}

fn is_cancelled(got: Got) -> bool {
    matches!(got, Got::Error(error) if error.contains("CANCEL"))
}

/// Notes that it was woken.
#[derive(Default)]
struct Woken(Mutex<bool>);

impl Woken {
    fn take(&self) -> bool {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl ArcWake for Woken {
    fn wake_by_ref(this: &Arc<Self>) {
        *this.0.lock().unwrap() = true;
    }
}

#[test]
fn each_reader_begins_at_the_beginning_and_reads_at_its_own_pace() {
    let (sender, mut replay, _) = call(&[b"a", b"b"]);
    let (_one, mut first) = replay.attempt().unwrap();
    assert_eq!(get(&mut first), "a");
    let (_two, mut second) = replay.attempt().unwrap();
    assert_eq!(get(&mut second), "a");
    assert_eq!(get(&mut second), "b");
    assert_eq!(get(&mut second), Got::Nothing);
    assert_eq!(get(&mut first), "b");
    send(&sender, "c");
    assert_eq!(get(&mut first), "c");
    assert_eq!(get(&mut second), "c");
    drop(sender);
    assert_eq!(get(&mut first), Got::End);
    assert_eq!(get(&mut second), Got::End);
    let (_three, mut third) = replay.attempt().unwrap();
    for frame in ["a", "b", "c"] {
        assert!(!third.is_end_stream());
        assert_eq!(get(&mut third), frame);
    }
    // hyper ends the stream with its last frame then.
    assert!(third.is_end_stream());
}

#[test]
fn nothing_is_copied() {
    let bytes = Bytes::from(vec![7; 500]);
    let (sender, mut replay, _) = call(&[]);
    send(&sender, bytes.clone());
    for _ in 0..3 {
        let (_running, mut body) = replay.attempt().unwrap();
        let Got::Frame(frame) = get(&mut body) else {
            panic!("no frame");
        };
        assert_eq!(frame.as_ptr(), bytes.as_ptr());
    }
}

// gRFC A6, "Memory Management (Buffering)"
#[test]
fn a_call_that_is_committed_keeps_nothing_that_was_read() {
    let (sent, later) = (Bytes::from(vec![1; 400]), Bytes::from(vec![2; 400]));
    let (sender, mut replay, memory) = call(&[]);
    send(&sender, sent.clone());
    send(&sender, later.clone());
    let (one, mut first) = replay.attempt().unwrap();
    let (two, mut second) = replay.attempt().unwrap();
    drop(get(&mut first));
    drop((get(&mut first), get(&mut second)));
    assert_eq!(memory.used(), 800);
    assert!(!sent.is_unique() && !later.is_unique());

    assert!(replay.can_repeat());
    two.commit();
    assert_eq!(memory.used(), 0);
    assert!(sent.is_unique() && !later.is_unique());
    assert!(!replay.can_repeat() && replay.attempt().is_none());
    assert!(is_cancelled(get(&mut first)));

    drop(get(&mut second));
    assert!(later.is_unique());
    // It is too large to be kept, and passes.
    let more = Bytes::from(vec![3; 5000]);
    send(&sender, more.clone());
    assert_eq!(get(&mut second), Got::Frame(more.clone()));
    assert!(more.is_unique());
    assert_eq!(memory.used(), 0);
    drop((one, first, second));
    drop(sender);
}

#[test]
fn a_call_that_is_committed_to_an_attempt_that_reads_no_more_keeps_nothing() {
    for leaves_first in [true, false] {
        let bytes = Bytes::from(vec![1; 400]);
        let (sender, mut replay, _) = call(&[]);
        send(&sender, bytes.clone());
        let (_one, mut first) = replay.attempt().unwrap();
        drop(get(&mut first));
        let (two, second) = replay.attempt().unwrap();
        if leaves_first {
            drop(second);
            two.commit();
        } else {
            two.commit();
            drop(second);
        }
        assert!(bytes.is_unique());
    }
}

// gRFC A6, "Memory Management (Buffering)"
#[test]
fn what_does_not_fit_commits_the_call_to_the_attempt_that_sends_it() {
    let (sender, mut replay, memory) = call(&[b"a"]);
    let (_one, mut first) = replay.attempt().unwrap();
    let (_two, mut second) = replay.attempt().unwrap();
    assert_eq!((get(&mut first), get(&mut second)).0, "a");
    let large = Bytes::from(vec![0; 969]);
    send(&sender, large.clone());
    assert!(replay.can_repeat());
    assert_eq!(get(&mut second), Got::Frame(large));
    assert!(!replay.can_repeat());
    assert!(is_cancelled(get(&mut first)));
    assert_eq!(memory.used(), 0);
    send(&sender, "b");
    assert_eq!(get(&mut second), "b");
}

#[test]
fn the_limit_is_what_still_fits() {
    // "a" costs its place.
    let (sender, mut replay, memory) = call(&[b"a"]);
    send(&sender, vec![0; 968]);
    let (_one, mut first) = replay.attempt().unwrap();
    drop((get(&mut first), get(&mut first)));
    assert!(replay.can_repeat());
    assert_eq!(memory.used(), 1000);
    send(&sender, "");
    drop(get(&mut first));
    assert!(!replay.can_repeat());
}

#[test]
fn the_calls_of_a_channel_share_a_limit() {
    let memory = Memory::new(LIMITS);
    let mut calls: Vec<_> = (0..2)
        .map(|_| {
            let (sender, body) = open();
            send(&sender, vec![0; 800]);
            let mut replay = Replay::new(body, &memory);
            let (running, mut body) = replay.attempt().unwrap();
            drop(get(&mut body));
            (sender, replay, running, body)
        })
        .collect();
    assert!(calls[0].1.can_repeat());
    assert!(!calls[1].1.can_repeat());
    assert_eq!(memory.used(), 800);
    calls.clear();
    assert_eq!(memory.used(), 0);
}

#[test]
fn a_reader_that_waits_hears_what_another_one_gets() {
    let (sender, mut replay, _) = call(&[]);
    let (_one, mut first) = replay.attempt().unwrap();
    let (_two, mut second) = replay.attempt().unwrap();
    let (a, b) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    assert_eq!(get_with(&mut first, &waker(a.clone())), Got::Nothing);
    assert_eq!(get_with(&mut second, &waker(b.clone())), Got::Nothing);
    send(&sender, "a");
    // The caller knows only who asked last.
    assert!(b.take() && !a.take());
    assert_eq!(get_with(&mut second, &waker(b.clone())), "a");
    assert!(a.take());
    assert!(!b.take(), "woken by itself");
    assert_eq!(get_with(&mut first, &waker(a.clone())), "a");
    drop(sender);
    assert_eq!(get(&mut first), Got::End);
}

#[test]
fn a_reader_that_waits_asks_anew_when_the_one_that_asked_is_gone() {
    for is_stopped in [true, false] {
        let (sender, mut replay, _) = call(&[]);
        let (_one, mut first) = replay.attempt().unwrap();
        let (two, mut second) = replay.attempt().unwrap();
        let (a, b) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        assert_eq!(get_with(&mut first, &waker(a.clone())), Got::Nothing);
        assert_eq!(get_with(&mut second, &waker(b.clone())), Got::Nothing);
        if is_stopped {
            drop(two);
            assert!(b.take(), "it doesn't hear of it");
            assert!(is_cancelled(get(&mut second)));
        } else {
            drop(second);
        }
        assert!(a.take());
        assert_eq!(get_with(&mut first, &waker(a.clone())), Got::Nothing);
        send(&sender, "a");
        assert!(a.take());
        assert_eq!(get(&mut first), "a");
    }
}

#[test]
fn a_body_that_fails_fails_for_each_reader_and_ends_the_attempts() {
    let (sender, mut replay, _) = call(&[b"a"]);
    let (_one, mut first) = replay.attempt().unwrap();
    let (_two, mut second) = replay.attempt().unwrap();
    assert_eq!(get(&mut first), "a");
    sender
        .unbounded_send(Err(Status::data_loss("no more")))
        .unwrap();
    drop(sender);
    for reader in [&mut first, &mut second] {
        let mut got = get(reader);
        if got == "a" {
            assert!(!reader.is_end_stream());
            got = get(reader);
        }
        assert!(matches!(got, Got::Error(error) if error.contains("no more")));
    }
    assert!(!replay.can_repeat() && replay.attempt().is_none());
}

/// A body whose reader is stopped while it is asked.
fn stopped_while_asked(length: usize) -> (Replay, Arc<Memory>, Arc<Mutex<Option<Running>>>) {
    let memory = Memory::new(LIMITS);
    let running = Arc::new(Mutex::new(None));
    let stop = running.clone();
    let frames = futures::stream::iter([length, 1]).map(move |length| {
        drop(stop.lock().unwrap().take());
        Ok::<_, Status>(Frame::data(Bytes::from(vec![0; length])))
    });
    let body = Body::new(StreamBody::new(frames));
    (Replay::new(body, &memory), memory, running)
}

#[test]
fn what_a_reader_gets_while_it_is_stopped_is_not_lost() {
    for length in [500, 2000] {
        let (mut replay, _, stop) = stopped_while_asked(length);
        let (one, mut first) = replay.attempt().unwrap();
        let (two, mut second) = replay.attempt().unwrap();
        *stop.lock().unwrap() = Some(one);
        assert!(is_cancelled(get(&mut first)));
        assert_eq!(replay.can_repeat(), length == 500);
        for length in [length, 1] {
            assert!(matches!(get(&mut second), Got::Frame(bytes) if bytes.len() == length));
        }
        assert_eq!(get(&mut second), Got::End);
        two.commit();
    }
}

#[test]
fn what_does_not_fit_ends_the_attempts_also_if_none_runs() {
    let (mut replay, memory, stop) = stopped_while_asked(2000);
    let (one, mut first) = replay.attempt().unwrap();
    *stop.lock().unwrap() = Some(one);
    assert!(is_cancelled(get(&mut first)));
    assert!(!replay.can_repeat());
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn an_empty_body_needs_no_buffer() {
    let memory = Memory::new(LIMITS);
    let mut replay = Replay::new(Body::empty(), &memory);
    for _ in 0..20 {
        let (_running, body) = replay.attempt().unwrap();
        assert!(body.is_end_stream());
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }
    assert!(replay.can_repeat());
}

#[test]
fn no_more_than_five_read_at_once_and_places_become_free() {
    let (_sender, mut replay, _) = call(&[b"a"]);
    let mut running: Vec<_> = (0..5).map(|_| replay.attempt().unwrap()).collect();
    assert!(replay.attempt().is_none());
    for _ in 0..50 {
        let (stopped, mut body) = running.remove(0);
        drop(stopped);
        running.push(replay.attempt().unwrap());
        // Whoever has its place now doesn't read for it.
        assert!(is_cancelled(get(&mut body)));
        assert_eq!(get(&mut running[4].1), "a");
    }
}

#[test]
fn many_readers_in_many_threads_all_read_it_all() {
    for round in 0..50 {
        let memory = Memory::new(BufferLimits::default());
        let (sender, body) = open();
        let mut replay = Replay::new(body, &memory);
        let readers: Vec<_> = (0..5)
            .map(|_| {
                let (running, body) = replay.attempt().unwrap();
                std::thread::spawn(move || {
                    let _running = running;
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .build()
                        .unwrap();
                    let read = runtime.block_on(body.collect()).unwrap();
                    read.to_bytes()
                })
            })
            .collect();
        let sent: Vec<u8> = (0..200).map(|n| n ^ round).collect();
        sent.iter().for_each(|byte| send(&sender, vec![*byte]));
        drop(sender);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), sent);
        }
    }
}
