//! What a stream of factors promises, and the exercise.

use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use super::*;
use crate::calculator::calculator_client::CalculatorClient;

mod endings;
mod garbage;
mod on_the_wire;

/// The product of two primes just below 2³²: trial division finds nothing for many seconds.
const HARD: u64 = 18_446_743_979_220_271_189;

type Stub = CalculatorClient<Channel>;

/// Serves on a free port; returns a stub and the journal.
async fn start() -> (Stub, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (journal, lines) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, journal));
    (Stub::connect(url).await.unwrap(), lines)
}

async fn read_all(mut replies: Streaming<Integer>) -> Result<Vec<u64>, Status> {
    let mut values = Vec::new();
    while let Some(reply) = replies.message().await? {
        values.push(reply.value);
    }
    Ok(values)
}

async fn factors(stub: &mut Stub, value: u64) -> Result<Vec<u64>, Status> {
    read_all(stub.factorize(Integer { value }).await?.into_inner()).await
}

/// The journal's next line. The time is a guard against waiting for ever, not a measure.
async fn next_line(lines: &mut UnboundedReceiver<String>) -> String {
    timeout(Duration::from_secs(20), lines.recv())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn factors_come_smallest_first_and_as_often_as_they_divide() {
    let (mut stub, _lines) = start().await;
    for (number, expected) in [
        (2, vec![2]),
        (4, vec![2, 2]),
        (97, vec![97]),
        (360, vec![2, 2, 2, 3, 3, 5]),
        (1 << 63, vec![2; 63]),
        (u64::MAX, vec![3, 5, 17, 257, 641, 65537, 6_700_417]),
        (999_983 * 999_983, vec![999_983, 999_983]),
    ] {
        assert_eq!(factors(&mut stub, number).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn every_small_number_is_the_product_of_its_factors() {
    let (mut stub, _lines) = start().await;
    for number in 1..200 {
        let factors = factors(&mut stub, number).await.unwrap();
        assert_eq!(factors.iter().product::<u64>(), number);
        assert!(factors.is_sorted());
        assert!(
            factors
                .iter()
                .all(|&factor| (2..factor).all(|divisor| factor % divisor != 0))
        );
    }
}

#[tokio::test]
async fn zero_is_refused_and_one_is_an_empty_stream() {
    let (mut stub, mut lines) = start().await;
    let status = factors(&mut stub, 0).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(factors(&mut stub, 1).await.unwrap(), Vec::<u64>::new());
    assert_eq!(next_line(&mut lines).await, "factored 1");
}

#[tokio::test]
async fn a_factor_is_sent_before_the_next_one_is_found() {
    let (mut stub, mut lines) = start().await;
    // The first factor is 2; what is left takes seconds.
    let value = 2 * 9_223_371_873_002_223_329;
    let mut replies = stub
        .factorize(Integer { value })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(replies.message().await.unwrap(), Some(Integer { value: 2 }));
    assert!(lines.try_recv().is_err(), "the search is not over");
}

#[tokio::test]
async fn a_long_search_leaves_the_server_answering_others() {
    let (mut stub, mut lines) = start().await;
    let _long = stub.factorize(Integer { value: HARD }).await.unwrap();
    // The test's runtime has one thread: work on it would leave no room for this call.
    assert_eq!(factors(&mut stub, 42).await.unwrap(), [2, 3, 7]);
    assert_eq!(next_line(&mut lines).await, "factored 42");
}

#[tokio::test]
async fn the_search_stops_when_the_client_cancels() {
    let (mut stub, mut lines) = start().await;
    let replies = stub.factorize(Integer { value: HARD }).await.unwrap();
    drop(replies);
    assert!(
        next_line(&mut lines)
            .await
            .starts_with("stopped factoring 18446743979220271189")
    );
}

#[tokio::test]
async fn the_search_stops_when_the_client_vanishes() {
    let (mut stub, mut lines) = start().await;
    let replies = stub.factorize(Integer { value: HARD }).await.unwrap();
    // Without a stub and a stream the channel closes its connection.
    drop((replies, stub));
    assert!(
        next_line(&mut lines)
            .await
            .starts_with("stopped factoring 18446743979220271189")
    );
}

#[tokio::test]
#[ignore = "measurement: prints how long a search goes on after its client has left"]
async fn how_long_a_search_goes_on() {
    let (mut stub, mut lines) = start().await;
    for _ in 0..10 {
        let replies = stub.factorize(Integer { value: HARD }).await.unwrap();
        assert_eq!(factors(&mut stub, 6).await.unwrap(), [2, 3]);
        assert_eq!(next_line(&mut lines).await, "factored 6");
        let left = std::time::Instant::now();
        drop(replies);
        next_line(&mut lines).await;
        println!("stopped after {:?}", left.elapsed());
    }
}

#[tokio::test]
#[ignore = "exercise 1: primes without end"]
async fn exercise_1_sends_primes_until_the_client_has_enough() {
    let (mut stub, mut lines) = start().await;
    for (from, expected) in [(0, [2, 3, 5, 7, 11]), (90, [97, 101, 103, 107, 109])] {
        let mut primes = stub
            .primes(Integer { value: from })
            .await
            .unwrap()
            .into_inner();
        for prime in expected {
            assert_eq!(
                primes.message().await.unwrap(),
                Some(Integer { value: prime })
            );
        }
        drop(primes);
        let line = next_line(&mut lines).await;
        assert!(
            line.starts_with(&format!("stopped sending primes from {from}")),
            "{line}"
        );
    }
}
