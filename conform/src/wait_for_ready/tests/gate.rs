//! Short scripts for the gate alone.

use super::*;
use crate::wait_for_ready::gate::Gate;

fn failure() -> Failure {
    Arc::from(no_connection())
}

async fn go(gate: &Arc<Gate>) -> Pass {
    gate.enter(false).now_or_never().unwrap().unwrap()
}

fn is_shut(gate: &Arc<Gate>) -> bool {
    matches!(gate.enter(false).now_or_never(), Some(Err(_)))
}

/// Goes once at first, so that there is a connection.
async fn open() -> Arc<Gate> {
    let gate = Arc::<Gate>::default();
    go(&gate).await.connected();
    gate
}

#[tokio::test(start_paused = true)]
async fn of_calls_that_lose_the_same_connection_one_counts() {
    let gate = open().await;
    let calls = [go(&gate).await, go(&gate).await, go(&gate).await];
    for call in calls {
        call.failed(failure());
    }
    // Three that counted would make it 2 s at least.
    advance(Duration::from_millis(1201)).await;
    go(&gate).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_from_before_the_connection_that_there_is_says_nothing() {
    let gate = open().await;
    let early = go(&gate).await;
    go(&gate).await.failed(failure());
    advance(2 * SECOND).await;
    go(&gate).await.connected();
    early.failed(failure());
    assert!(!is_shut(&gate));
    assert!(gate.last_failure().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_finds_a_connection_lets_those_go_that_wait() {
    let gate = open().await;
    let other = go(&gate).await;
    go(&gate).await.failed(failure());
    let mut waits = Box::pin(gate.enter(true));
    assert!((&mut waits).now_or_never().is_none());
    other.connected();
    assert!(waits.now_or_never().unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_leaves_the_gate_as_it_is_unless_it_tries() {
    let gate = open().await;
    drop(go(&gate).await);
    // There are many at a time.
    let _calls = [go(&gate).await, go(&gate).await];
    let tries = go(&gate).await;
    tries.failed(failure());
    advance(2 * SECOND).await;
    let tries = go(&gate).await;
    assert!(gate.enter(false).now_or_never().is_none());
    drop(tries);
    go(&gate).await;
}

#[tokio::test(start_paused = true)]
async fn what_took_over_is_not_disturbed_by_what_it_took_over_from() {
    let gate = Arc::<Gate>::default();
    let slow = go(&gate).await;
    advance(20 * SECOND).await;
    let next = go(&gate).await;
    drop(slow);
    assert!(gate.enter(false).now_or_never().is_none());
    next.failed(failure());
    assert!(is_shut(&gate));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_took_longer_than_the_wait_is_followed_at_once() {
    let gate = Arc::<Gate>::default();
    let slow = go(&gate).await;
    advance(2 * SECOND).await;
    slow.failed(failure());
    go(&gate).await;
}
