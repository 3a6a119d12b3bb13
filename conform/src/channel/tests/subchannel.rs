//! One subchannel, with connections that are made as the test has it, and paused time.

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, advance};

use super::super::connect::Connect;
use super::super::subchannel::{Connecting, Event, MOST_USELESS, Task};
use super::*;
use crate::balance::{Connection, LineEnd, Shared, Subchannel, SubchannelState};

/// An attempt to connect: who has the other end says how it goes.
struct Attempt {
    number: u64,
    begun: Instant,
    result: oneshot::Sender<Result<tonic::transport::Channel, Status>>,
    ended: oneshot::Sender<()>,
}

struct Scripted(mpsc::UnboundedSender<Attempt>);

impl Connect for Scripted {
    fn connect(
        &self,
        _: &Arc<Shared>,
        number: u64,
        ended: oneshot::Sender<()>,
        _: LineEnd,
    ) -> BoxFuture<'static, Result<tonic::transport::Channel, Status>> {
        let (result, becomes) = oneshot::channel();
        let attempt = Attempt {
            number,
            begun: Instant::now(),
            result,
            ended,
        };
        self.0.send(attempt).ok().unwrap();
        Box::pin(async {
            match becomes.await {
                Ok(result) => result,
                Err(_) => std::future::pending().await,
            }
        })
    }
}

struct Fixture {
    subchannel: Subchannel,
    attempts: mpsc::UnboundedReceiver<Attempt>,
    events: mpsc::Receiver<Event>,
}

impl Fixture {
    fn new() -> Self {
        let (sender, attempts) = mpsc::unbounded_channel();
        let (events_sender, events) = mpsc::channel(8);
        let connecting = Connecting {
            connector: Arc::new(Scripted(sender)),
            health: None,
            events: events_sender,
        };
        let address = Address::Tcp(([127, 0, 0, 1], 1).into());
        let subchannel = Subchannel::new(7, address, |shared| {
            Task::spawn(connecting.run(shared.clone()))
        });
        Self {
            subchannel,
            attempts,
            events,
        }
    }

    async fn event(&mut self) -> State {
        let (id, state) = self.events.recv().await.unwrap();
        assert_eq!(id, 7);
        state.state()
    }

    /// An attempt, after CONNECTING was told.
    async fn attempt(&mut self) -> Attempt {
        self.subchannel.connect();
        assert_eq!(self.event().await, State::Connecting);
        soon(self.attempts.recv()).await.unwrap()
    }

    async fn ends_at_once(&mut self) {
        let attempt = self.attempt().await;
        attempt.result.send(Ok(connection())).unwrap();
        assert_eq!(self.event().await, State::Ready);
        attempt.ended.send(()).unwrap();
        assert_eq!(self.event().await, State::Idle);
    }

    async fn fails(&mut self, attempt: Attempt) {
        let refused = Err(Status::unavailable("refused"));
        attempt.result.send(refused).unwrap();
        assert_eq!(self.event().await, State::TransientFailure);
    }
}

fn connection() -> tonic::transport::Channel {
    crate::testing::endpoint(([127, 0, 0, 1], 1).into()).connect_lazy()
}

#[tokio::test(start_paused = true)]
async fn a_subchannel_connects_only_when_it_is_asked_to() {
    let mut it = Fixture::new();
    advance(Duration::from_secs(3600)).await;
    assert!(it.attempts.try_recv().is_err());
    let attempt = it.attempt().await;
    attempt.result.send(Ok(connection())).unwrap();
    assert_eq!(it.event().await, State::Ready);
    let number = it.subchannel.connection().unwrap().number;
    it.subchannel.answered(number);
    // Asked while it's READY: that says nothing of the time after.
    it.subchannel.connect();
    attempt.ended.send(()).unwrap();
    assert_eq!(it.event().await, State::Idle);
    assert!(it.subchannel.connection().is_none());
    advance(Duration::from_secs(3600)).await;
    assert!(it.attempts.try_recv().is_err());
}

/// connection-backoff.md: from the beginning of one attempt to that of the next.
#[tokio::test(start_paused = true)]
async fn attempts_keep_the_connection_backoff() {
    let mut it = Fixture::new();
    let mut expected = 1.0_f64;
    let mut last: Option<Instant> = None;
    for _ in 0..14 {
        let attempt = it.attempt().await;
        if let Some(last) = last {
            let gap = (attempt.begun - last).as_secs_f64();
            assert!(
                gap >= expected * 0.79 && gap <= expected * 1.21,
                "{gap} {expected}"
            );
            expected = (expected * 1.6).min(120.0);
        }
        last = Some(attempt.begun);
        // Part of the wait is spent connecting.
        advance(Duration::from_millis(500)).await;
        it.fails(attempt).await;
        assert_eq!(it.event().await, State::Idle, "after the wait");
    }
    assert!(expected > 119.0, "the longest was reached");
}

#[tokio::test(start_paused = true)]
async fn the_backoff_begins_anew_after_a_success_with_no_call_waiting() {
    let mut it = Fixture::new();
    for _ in 0..5 {
        let attempt = it.attempt().await;
        it.fails(attempt).await;
        assert_eq!(it.event().await, State::Idle);
    }
    let attempt = it.attempt().await;
    attempt.result.send(Ok(connection())).unwrap();
    assert_eq!(it.event().await, State::Ready);
    // Longer than the wait that a failure would have brought.
    advance(Duration::from_secs(30)).await;
    attempt.ended.send(()).unwrap();
    assert_eq!(it.event().await, State::Idle);

    let attempt = it.attempt().await;
    let begun = attempt.begun;
    it.fails(attempt).await;
    assert_eq!(it.event().await, State::Idle);
    let wait = begun.elapsed().as_secs_f64();
    assert!((0.79..=1.21).contains(&wait), "{wait}");
}

/// connection-backoff.md, MIN_CONNECT_TIMEOUT.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_given_up() {
    let mut it = Fixture::new();
    let attempt = it.attempt().await;
    let (id, state) = it.events.recv().await.unwrap();
    assert_eq!(id, 7);
    let SubchannelState::TransientFailure(status) = state else {
        panic!("{state:?}");
    };
    assert!(status.message().contains("took too long"), "{status}");
    assert_eq!(attempt.begun.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_while_it_is_made_is_not_taken() {
    let mut it = Fixture::new();
    let attempt = it.attempt().await;
    attempt.ended.send(()).unwrap();
    attempt.result.send(Ok(connection())).unwrap();
    assert_eq!(it.event().await, State::TransientFailure);
    assert!(it.subchannel.connection().is_none());
}

#[tokio::test(start_paused = true)]
async fn news_of_a_connection_from_before_says_nothing_of_the_one_that_there_is() {
    let mut it = Fixture::new();
    let mut numbers = Vec::new();
    let mut endings = Vec::new();
    for _ in 0..2 {
        if let Some(ended) = endings.pop() {
            oneshot::Sender::send(ended, ()).unwrap();
            assert_eq!(it.event().await, State::Idle);
        }
        let attempt = it.attempt().await;
        attempt.result.send(Ok(connection())).unwrap();
        assert_eq!(it.event().await, State::Ready);
        it.subchannel.answered(attempt.number);
        numbers.push(attempt.number);
        endings.push(attempt.ended);
    }
    it.subchannel.lose(numbers[0]);
    assert!(it.subchannel.connection().is_some());
    it.subchannel.lose(numbers[1]);
    assert!(it.subchannel.connection().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_subchannel_ends_with_its_last_handle() {
    let mut it = Fixture::new();
    let attempt = it.attempt().await;
    drop(it.subchannel.clone());
    assert!(!attempt.result.is_closed());
    drop(it.subchannel);
    let mut attempt = attempt;
    soon(attempt.result.closed()).await;
    assert!(it.events.recv().await.is_none());
}

#[tokio::test]
async fn handles_of_a_connection_are_lent_again_while_it_is_there() {
    let made = |number| Connection::open(number, connection());
    let address = Address::Tcp(([127, 0, 0, 1], 1).into());
    let subchannel = Subchannel::new(1, address, |shared| shared.connected(made(1)));
    let shared = subchannel.clone().into_shared();
    let lent: Vec<_> = (0..20).map(|_| subchannel.lend().unwrap()).collect();
    assert_eq!(shared.idle(), 0);
    for it in lent {
        shared.give_back(it.number, it.channel);
    }
    assert_eq!(shared.idle(), 16, "not all of a busy moment's");
    let old = subchannel.lend().unwrap();
    assert_eq!(shared.idle(), 15);
    // It has another connection when that one comes back.
    shared.connected(made(2));
    shared.give_back(old.number, old.channel);
    assert_eq!(shared.idle(), 0);
    assert!(shared.gone(2));
    assert!(subchannel.lend().is_none());
}

/// connection-backoff.md leaves open what ends the backoff: a connection that is of some use.
#[tokio::test(start_paused = true)]
async fn connections_that_end_at_once_keep_the_backoff_too() {
    let mut it = Fixture::new();
    // A few may be bad luck.
    let begun = Instant::now();
    for _ in 0..MOST_USELESS {
        it.ends_at_once().await;
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let mut expected = 1.0_f64;
    for _ in 0..14 {
        let attempt = it.attempt().await;
        let begun = attempt.begun;
        attempt.result.send(Ok(connection())).unwrap();
        assert_eq!(it.event().await, State::Ready);
        attempt.ended.send(()).unwrap();
        assert_eq!(it.event().await, State::Idle);
        // Who wants another one has to wait.
        it.subchannel.connect();
        let (_, state) = it.events.recv().await.unwrap();
        let SubchannelState::TransientFailure(status) = state else {
            panic!("{state:?}");
        };
        assert!(status.message().contains("before a call"), "{status}");
        assert_eq!(it.event().await, State::Idle);
        let gap = begun.elapsed().as_secs_f64();
        assert!(
            gap >= expected * 0.79 && gap <= expected * 1.21,
            "{gap} {expected}"
        );
        expected = (expected * 1.6).min(120.0);
    }
    // One that is of use ends it.
    let attempt = it.attempt().await;
    let last = attempt.begun;
    attempt.result.send(Ok(connection())).unwrap();
    assert_eq!(it.event().await, State::Ready);
    let number = it.subchannel.connection().unwrap().number;
    it.subchannel.answered(number);
    attempt.ended.send(()).unwrap();
    assert_eq!(it.event().await, State::Idle);
    let next = it.attempt().await;
    assert_eq!(next.begun, last);
    let begun = next.begun;
    it.fails(next).await;
    assert_eq!(it.event().await, State::Idle);
    assert!(begun.elapsed().as_secs_f64() <= 1.21);
}

/// After the wait nobody is told of the connection that was of no use.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_wanted_late_is_made_at_once() {
    let mut it = Fixture::new();
    let attempt = it.attempt().await;
    attempt.result.send(Ok(connection())).unwrap();
    assert_eq!(it.event().await, State::Ready);
    attempt.ended.send(()).unwrap();
    assert_eq!(it.event().await, State::Idle);
    advance(Duration::from_secs(2)).await;
    it.attempt().await;
}
