//! What a channel promises, and the exercises.

use std::time::Duration;

use futures::future::{poll_immediate, try_join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::*;
use crate::calculator::calculator_client::CalculatorClient;
use crate::pool::Pool;

mod blocking;
mod connecting;
mod cost;
mod limit;
mod outage;
mod states;
#[cfg(unix)]
mod unix;

/// A number that takes hours.
const HOURS: f64 = 10_000_000.0;
/// On which no server listens.
const NOBODY: &str = "http://127.0.0.1:1";

/// Serves on a free port; returns where, and the journal.
async fn start() -> (Endpoint, UnboundedReceiver<String>) {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.address().unwrap()));
    let (journal, lines) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, journal));
    (endpoint.unwrap(), lines)
}

async fn square_root(channel: &Channel, value: f64) -> Result<f64, Status> {
    let mut stub = CalculatorClient::new(channel.clone());
    let root = stub.square_root(Number { value }).await?;
    Ok(root.into_inner().value)
}

/// The time is a guard against waiting for ever, not a measure.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.unwrap()
}

async fn next_line(lines: &mut UnboundedReceiver<String>) -> String {
    soon(lines.recv()).await.unwrap()
}

/// Reads the journal until `calls` calls are done; returns how many connections there were, and how many
/// calls at once.
async fn count(lines: &mut UnboundedReceiver<String>, calls: usize) -> (usize, usize) {
    let (mut connections, mut done, mut most) = (0, 0, 0);
    while done < calls {
        let line = next_line(lines).await;
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["connection", _] => connections += 1,
            ["1", "call"] => (done, most) = (done + 1, most.max(1)),
            [begun, "calls,", "at", "most", at_once, "at", "once"] => {
                done += begun.parse::<usize>().unwrap();
                most = most.max(at_once.parse().unwrap());
            }
            _ => panic!("{line}"),
        }
    }
    (connections, most)
}

#[tokio::test]
async fn ten_slow_calls_at_once_take_as_long_as_one() {
    let (endpoint, mut lines) = start().await;
    let channel = endpoint.connect().await.unwrap();
    let begin = Instant::now();
    let roots = try_join_all([900.0; 10].map(|value| square_root(&channel, value)));
    assert_eq!(roots.await.unwrap(), [30.0; 10]);
    // In a row they would take nine seconds.
    assert!(begin.elapsed() < Duration::from_millis(4500));
    assert_eq!(count(&mut lines, 10).await, (1, 10));
}

#[tokio::test]
async fn one_slow_call_does_not_hold_up_the_others() {
    let (endpoint, _lines) = start().await;
    let channel = endpoint.connect().await.unwrap();
    let mut slow = Box::pin(square_root(&channel, HOURS));
    assert!(poll_immediate(&mut slow).await.is_none());
    for _ in 0..10 {
        assert_eq!(soon(square_root(&channel, 4.0)).await.unwrap(), 2.0);
    }
    assert!(poll_immediate(&mut slow).await.is_none());
}

#[tokio::test]
async fn answers_come_as_they_are_ready() {
    let (endpoint, _lines) = start().await;
    let channel = endpoint.connect().await.unwrap();
    let calls = [1600.0, 900.0, 400.0].map(|value| square_root(&channel, value));
    let answers = FuturesUnordered::from_iter(calls);
    let roots: Vec<_> = answers.map(Result::unwrap).collect().await;
    assert_eq!(roots, [20.0, 30.0, 40.0]);
}

#[tokio::test]
async fn what_would_never_be_ready_is_refused() {
    let (endpoint, _lines) = start().await;
    let channel = endpoint.connect().await.unwrap();
    for value in [-4.0, f64::NAN, f64::INFINITY, f64::MAX] {
        let status = soon(square_root(&channel, value)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(
            status.message().contains(&value.to_string()),
            "{}",
            status.message()
        );
    }
}

#[tokio::test]
#[ignore = "exercise 1: a pool of connections"]
async fn exercise_1_a_pool_uses_its_connections_in_turn() {
    let server = Server::builder().max_concurrent_streams(2);
    let (endpoint, mut lines) = limit::start(server).await;
    let pool = Pool::new(&endpoint, 3);
    let channels: Vec<_> = (0..6).map(|_| pool.channel()).collect();
    let calls = channels.iter().map(|channel| square_root(channel, 900.0));
    try_join_all(calls).await.unwrap();
    assert_eq!(count(&mut lines, 6).await, (3, 6));
    // Their turns come round again, and an empty pool is no pool.
    for channel in [pool.channel(), Pool::new(&endpoint, 0).channel()] {
        square_root(&channel, 0.0).await.unwrap();
    }
}

#[test]
#[ignore = "exercise 2: many calls at once from blocking code"]
fn exercise_2_blocking_code_asks_for_many_roots_at_once() {
    let (url, mut lines) = blocking::start_elsewhere(1);
    let mut calculator = crate::blocking::Calculator::connect(&url).unwrap();
    let values = [400.0, 900.0, 225.0, 625.0, 400.0, 1600.0];
    let roots = calculator.square_roots(&values).unwrap();
    assert_eq!(roots, [20.0, 30.0, 15.0, 25.0, 20.0, 40.0]);
    let refused = calculator.square_roots(&[1.0, -1.0]).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(calculator.square_roots(&[]).unwrap(), []);
    assert_eq!(lines.blocking_recv().unwrap(), "connection 1");
    assert_eq!(lines.blocking_recv().unwrap(), "6 calls, at most 6 at once");
}
