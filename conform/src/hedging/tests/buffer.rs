//! What is kept of requests: gRFC A6, "Memory Management (Buffering)".

use std::sync::Mutex;

use futures::channel::mpsc;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::*;

const LIMITS: BufferLimits = BufferLimits {
    per_call: 1000,
    per_channel: 1500,
};

type Frames = mpsc::UnboundedSender<Result<Frame<Bytes>, Status>>;

fn open() -> (Frames, Request<Body>) {
    let (sender, frames) = mpsc::unbounded();
    let body = Body::new(StreamBody::new(frames));
    (sender, Request::new(body))
}

fn send(sender: &Frames, bytes: impl Into<Bytes>) {
    sender
        .unbounded_send(Ok(Frame::data(bytes.into())))
        .unwrap();
}

/// What became of the attempts: what each has read, and when those were dropped that had no answer.
#[derive(Default)]
struct Log {
    read: Vec<Vec<Bytes>>,
    dropped: Vec<(usize, Duration)>,
}

/// In the future of an attempt.
struct Attempt {
    number: usize,
    has_answered: bool,
    begun: Instant,
    log: Arc<Mutex<Log>>,
}

impl Attempt {
    fn answers(&mut self) {
        self.has_answered = true;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.has_answered {
            let dropped = (self.number, self.begun.elapsed());
            self.log.lock().unwrap().dropped.push(dropped);
        }
    }
}

/// Attempt n reads nothing for `waits[n]` milliseconds, then all, and answers `code`.
fn reader(
    waits: &'static [u64],
    code: Code,
) -> (
    impl Service<Request<Body>, Response = Response<Body>, Error = StdError, Future: Send> + Clone,
    Arc<Mutex<Log>>,
) {
    let log = Arc::new(Mutex::new(Log::default()));
    let (begun, seen) = (Instant::now(), log.clone());
    let service = tower::service_fn(move |request: Request<Body>| {
        let log = seen.clone();
        let number = {
            let mut log = log.lock().unwrap();
            log.read.push(Vec::new());
            log.read.len() - 1
        };
        let mut attempt = Attempt {
            number,
            has_answered: false,
            begun,
            log,
        };
        async move {
            sleep(millis(waits[number])).await;
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                let frame = frame.into_data().unwrap();
                attempt.log.lock().unwrap().read[number].push(frame);
            }
            attempt.answers();
            Ok(Status::new(code, "read").into_http())
        }
    });
    (service, log)
}

fn lengths(log: &Log) -> Vec<Vec<usize>> {
    let read = log.read.iter();
    read.map(|frames| frames.iter().map(Bytes::len).collect())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn each_attempt_reads_the_same_bytes_at_its_own_pace() {
    let (service, log) = reader(&[0, 50, 20], Code::Unavailable);
    let channel = hedge(3).buffer(LIMITS).layer(service);
    let (sender, request) = open();
    let running = tokio::spawn(call(channel.clone(), request));
    let sent = Bytes::from(vec![1; 400]);
    send(&sender, sent.clone());
    sleep(millis(45)).await;
    assert_eq!(
        lengths(&log.lock().unwrap()),
        [vec![400], vec![], vec![400]]
    );
    send(&sender, vec![2; 400]);
    drop(sender);
    assert_eq!(running.await.unwrap().code, Code::Unavailable);
    let log = log.lock().unwrap();
    assert_eq!(lengths(&log), [[400, 400]; 3]);
    assert!(
        log.read
            .iter()
            .all(|frames| frames[0].as_ptr() == sent.as_ptr())
    );
    assert_eq!(channel.settings.memory.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_leaves_one_attempt_and_begins_none() {
    for code in [Code::Ok, Code::Unavailable] {
        // The second one gets to the end first; the others wait, and would for long.
        let (service, log) = reader(&[1000, 5, 1000, 0, 0], code);
        let channel = hedge(5).buffer(LIMITS).layer(service);
        let (sender, request) = open();
        let running = tokio::spawn(call(channel.clone(), request));
        send(&sender, vec![0; 600]);
        sleep(millis(25)).await;
        assert_eq!(log.lock().unwrap().read.len(), 3);
        send(&sender, vec![0; 600]);
        sleep(millis(1)).await;
        assert_eq!(channel.settings.memory.used(), 0);
        {
            let mut log = log.lock().unwrap();
            log.dropped.sort();
            assert_eq!(log.dropped, [(0, millis(25)), (2, millis(25))]);
        }
        send(&sender, vec![0; 600]);
        drop(sender);
        assert_eq!(running.await.unwrap().code, code);
        assert_eq!(
            lengths(&log.lock().unwrap()),
            [vec![], vec![600; 3], vec![]]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_winner_keeps_nothing() {
    let sent = Bytes::from(vec![1; 900]);
    let service = tower::service_fn(|request: Request<Body>| async move {
        let is_first = !request.headers().contains_key("grpc-previous-rpc-attempts");
        let mut body = request.into_body();
        drop(body.frame().await);
        sleep(millis(if is_first { 500 } else { 5 })).await;
        // The upload goes on while replies come.
        Ok::<_, StdError>(Response::new(body))
    });
    let channel = hedge(2).buffer(LIMITS).layer(service);
    let (sender, request) = open();
    send(&sender, sent.clone());
    let mut replies = channel.clone().oneshot(request).await.unwrap().into_body();
    assert_eq!(channel.settings.memory.used(), 0);
    assert!(sent.is_unique());
    send(&sender, vec![0; 5000]);
    let echoed = replies.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(echoed.len(), 5000);
    drop(sender);
    assert!(replies.frame().await.is_none());
}
