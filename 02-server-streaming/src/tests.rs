//! A stream as it travels, how a search ends, and the exercises.

use conform::status::explain;
use tonic::Code;
use tonic::transport::Channel;
use wire::testing::{framed, outline, post, soon};
use wire::{Direction, Frame, Tap};

use super::*;
use crate::proto::calculator_client::CalculatorClient;

mod harden;

/// The product of two primes just below 2³²: trial division finds nothing for many seconds.
const HARD: u64 = 18_446_743_979_220_271_189;

type Stub = CalculatorClient<Channel>;

#[tokio::test]
async fn a_factor_travels_before_the_next_one_is_found() {
    let (tap, mut stub, mut log) = start().await;
    // The first factor is 2; what is left takes seconds.
    let value = 2 * 9_223_371_873_002_223_329;
    let _replies = stub.factorize(Integer { value }).await.unwrap();
    let is_reply =
        |frame: &Frame| frame.direction == Direction::ToClient && !frame.messages().is_empty();
    let first = tap.wait_for(is_reply).await;
    let messages = first.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].text(), "{ value: 2 }");
    assert!(log.try_recv().is_err(), "the search isn't over");
    assert!(!tap.frames().iter().any(Frame::is_trailers));
}

#[tokio::test]
async fn each_factor_is_a_message_and_the_status_comes_last() {
    let (tap, mut stub, _log) = start().await;
    assert_eq!(read_all(&mut stub, 12).await.unwrap(), [2, 2, 3]);
    assert_eq!(
        outline(&tap),
        [
            "client: Request",
            "client: { value: 12 }",
            "client: END_STREAM",
            "server: Response",
            "server: { value: 2 }",
            "server: { value: 2 }",
            "server: { value: 3 }",
            "server: Trailers",
            "server: END_STREAM",
        ]
    );
    assert_eq!(tap.wait_for(Frame::is_trailers).await.status(), Some("OK"));
}

#[tokio::test]
async fn hanging_up_resets_the_stream_and_stops_the_search() {
    let (tap, mut stub, mut log) = start().await;
    drop(stub.factorize(Integer { value: HARD }).await.unwrap());
    let reset = tap.wait_for(|frame| frame.reset().is_some()).await;
    assert_eq!(reset.reset(), Some("CANCEL"));
    assert_eq!(reset.direction, Direction::ToServer);
    let gone = format!("{HARD}: the client went away");
    assert_eq!(line(&mut log).await, gone);
    // The connection goes on.
    assert_eq!(read_all(&mut stub, 42).await.unwrap(), [2, 3, 7]);
    assert_eq!(line(&mut log).await, "42: done");
    assert_eq!(tap.connections(), 1);
}

#[tokio::test]
async fn the_search_stops_when_the_connection_is_lost() {
    let (tap, mut stub, mut log) = start().await;
    let _replies = stub.factorize(Integer { value: HARD }).await.unwrap();
    tap.reset();
    let gone = format!("{HARD}: the client went away");
    assert_eq!(line(&mut log).await, gone);
}

#[tokio::test]
async fn a_long_search_leaves_the_server_answering_others() {
    let (_tap, mut stub, _log) = start().await;
    let _long = stub.factorize(Integer { value: HARD }).await.unwrap();
    // The test's runtime has one thread: work on it would leave no room for this call.
    let others = soon("the factors of 42", read_all(&mut stub, 42)).await;
    assert_eq!(others.unwrap(), [2, 3, 7]);
}

#[tokio::test]
async fn zero_is_refused_and_one_is_an_empty_stream() {
    let (_tap, mut stub, mut log) = start().await;
    let status = stub.factorize(Integer { value: 0 }).await.unwrap_err();
    let expected = "InvalidArgument: every number divides 0: it has no prime factors";
    assert_eq!(explain(&status), expected);
    assert_eq!(read_all(&mut stub, 1).await.unwrap(), [0; 0]);
    assert_eq!(line(&mut log).await, "1: done");
}

#[test]
fn factors_are_prime_rising_and_multiply_to_the_number() {
    let all = |number| -> Vec<u64> {
        let steps = factors(number).unwrap();
        steps
            .filter_map(|step| match step {
                Step::Factor(value) => Some(value),
                Step::Searching => None,
            })
            .collect()
    };
    for number in 1..500 {
        let factors = all(number);
        assert_eq!(factors.iter().product::<u64>(), number);
        assert!(factors.is_sorted());
        let is_prime = |factor: &u64| (2..*factor).all(|divisor| !factor.is_multiple_of(divisor));
        assert!(factors.iter().all(is_prime), "{number}: {factors:?}");
    }
    assert_eq!(all(1 << 63), [2; 63]);
    assert_eq!(all(u64::MAX), [3, 5, 17, 257, 641, 65537, 6_700_417]);
    assert_eq!(all(999_983 * 999_983), [999_983, 999_983]);
}

#[tokio::test]
#[ignore = "exercise 1: primes without end"]
async fn exercise_1_streams_primes_and_stops() {
    let (_tap, mut stub, mut log) = start().await;
    for from in [0, 90, 7_919, 1_000_000] {
        let mut primes = primes(&mut stub, from).await;
        let is_prime =
            |number: &u64| *number > 1 && (2..=number.isqrt()).all(|it| !number.is_multiple_of(it));
        for expected in (from..).filter(is_prime).take(200) {
            let got = soon("the next prime", primes.message()).await;
            let got = got
                .unwrap_or_else(|status| panic!("expected {expected}, got {}", explain(&status)));
            let got = got.map(|prime| prime.value);
            assert_eq!(
                got,
                Some(expected),
                "the next prime from {from} on (left: yours)"
            );
        }
        assert!(
            log.try_recv().is_err(),
            "the log must say nothing while the client reads"
        );
        drop(primes);
        let expected = format!("primes from {from}: the client went away");
        let got = soon("a line of the log after the client went away", log.recv()).await;
        assert_eq!(got, Some(expected), "the log (left: yours)");
    }
    // Whether 2⁶⁴ - 59 is a prime takes long to find out. Meanwhile the client leaves.
    let from = u64::MAX - 58;
    drop(primes(&mut stub, from).await);
    let what = "a line of the log: a search that finds nothing must stop too";
    let got = soon(what, log.recv()).await;
    let expected = format!("primes from {from}: the client went away");
    assert_eq!(got, Some(expected), "the log (left: yours)");
}

async fn primes(stub: &mut Stub, value: u64) -> Streaming<Integer> {
    let primes = soon("the response of Primes", stub.primes(Integer { value })).await;
    let primes =
        primes.unwrap_or_else(|status| panic!("expected primes, got {}", explain(&status)));
    primes.into_inner()
}

#[tokio::test]
#[ignore = "exercise 2: give up in time"]
async fn exercise_2_gives_up_in_time() {
    let (_tap, mut stub, mut log) = start().await;
    let long = Duration::from_secs(60);
    let what = "first_within, though the first factor or the end is there at once";
    let mut first = async |value, patience| {
        let replies = stub.factorize(Integer { value }).await.unwrap();
        soon(what, first_within(replies.into_inner(), patience)).await
    };
    for (value, expected) in [
        (15, Some(3)),
        (1, None),
        (9_223_371_873_002_223_329 * 2, Some(2)),
    ] {
        let got = first(value, long).await;
        let got =
            got.unwrap_or_else(|status| panic!("expected {expected:?}, got {}", explain(&status)));
        let got = got.map(|reply| reply.value);
        assert_eq!(got, expected, "the first factor of {value} (left: yours)");
    }
    // This one takes a while, but not a minute.
    let value = 1_000_003 * 1_000_003;
    let got = first(value, long).await.unwrap().map(|reply| reply.value);
    assert_eq!(
        got,
        Some(1_000_003),
        "the first factor of {value} (left: yours)"
    );

    let got = first(HARD, Duration::from_millis(100)).await.unwrap();
    assert_eq!(
        got, None,
        "the first factor of {HARD} comes too late (left: yours)"
    );
    let gone = Some(format!("{HARD}: the client went away"));
    while soon("the search to stop: is the stream dropped?", log.recv()).await != gone {}
}

#[tokio::test]
#[ignore = "exercise 3: prime powers"]
async fn exercise_3_groups_equal_factors() {
    let (tap, _stub, _log) = start().await;
    let path = "/calculator.v1.Calculator/PrimePowers";
    for (number, expected) in [
        (12, vec![(2, 2), (3, 1)]),
        (97, vec![(97, 1)]),
        (72, vec![(2, 3), (3, 2)]),
        (1, vec![]),
    ] {
        let reply = post(tap.url(), path, framed(&[8, number])).await;
        let got = (reply.status(), reply.messages);
        let expected = expected
            .into_iter()
            .map(|(prime, exponent)| vec![8, prime, 16, exponent]);
        let expected: Vec<_> = expected.map(bytes::Bytes::from).collect();
        assert_eq!(
            got,
            (Some("OK"), expected),
            "PrimePowers of {number}, as bytes (left: yours)"
        );
    }
    let reply = post(tap.url(), path, framed(&[])).await;
    assert_eq!(
        reply.status(),
        Some("INVALID_ARGUMENT"),
        "PrimePowers of 0 (left: yours)"
    );
}

async fn read_all(stub: &mut Stub, value: u64) -> Result<Vec<u64>, Status> {
    let mut factors = stub.factorize(Integer { value }).await?.into_inner();
    let mut values = Vec::new();
    while let Some(factor) = factors.message().await? {
        values.push(factor.value);
    }
    Ok(values)
}

/// Serves behind a tap; returns the tap, a stub and the log.
async fn start() -> (Tap, Stub, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tap = Tap::start(listener.local_addr().unwrap()).await.unwrap();
    let (log, lines) = mpsc::channel(64);
    tokio::spawn(serve(listener, log));
    let stub = Stub::connect(tap.url()).await.unwrap();
    (tap, stub, lines)
}

async fn line(log: &mut mpsc::Receiver<String>) -> String {
    soon("a line of the log", log.recv()).await.unwrap()
}
