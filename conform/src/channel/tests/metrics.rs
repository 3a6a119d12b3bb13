//! What a channel measures of itself: gRFC A66 and gRFC A96.

use super::*;
use crate::metrics::tests::Recorded;
use crate::testing::h2_peer;

const RETRIES: &str = "grpc.client.call.retries";
const TRANSPARENT: &str = "grpc.client.call.transparent_retries";
const HEDGES: &str = "grpc.client.call.hedges";
const DELAY: &str = "grpc.client.call.retry_delay";
const CALL: &str = "grpc.client.call.duration";
const STARTED: &str = "grpc.client.attempt.started";
const ATTEMPT: &str = "grpc.client.attempt.duration";
const SENT: &str = "grpc.client.attempt.sent_total_compressed_message_size";

/// The method that no stub was generated for, and the target.
const SERIES: &str = "other fleet:test";

fn channel(fleet: &Manual, config: &str, recorded: &Recorded) -> Channel {
    let builder = Channel::builder("fleet:test").scheme(fleet.clone());
    let builder = builder
        .metrics(&recorded.meter())
        .retry_metrics(&recorded.meter());
    builder.service_config(config).connect_lazy().unwrap()
}

/// Fails so many calls, and answers the others.
async fn failing(failures: u64) -> Served {
    let count = Arc::new(AtomicU64::new(0));
    let service = unary(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            match number < failures {
                true => Err(Status::unavailable("not now")),
                false => Ok(Response::new(Bytes::from_static(b"now"))),
            }
        }
    });
    serve(Identity::new(), service).await
}

#[tokio::test]
async fn a_call_is_measured_at_its_top_and_attempt_by_attempt() {
    let recorded = Recorded::new();
    let (_server, channel) = retried(&recorded).await;
    assert_eq!(recorded.counts(CALL), [format!("{SERIES} OK: 1")]);
    assert_eq!(recorded.counts(STARTED), [format!("{SERIES}: 3")]);
    let each = ["OK: 1", "UNAVAILABLE: 2"].map(|end| format!("{SERIES} {end}"));
    assert_eq!(recorded.counts(ATTEMPT), each);
    // The message has 9 bytes, and each attempt sends it.
    let sizes = ["OK: 9", "UNAVAILABLE: 18"].map(|end| format!("{SERIES} {end}"));
    assert_eq!(recorded.sums(SENT), sizes);
    assert_eq!(recorded.counts(RETRIES), [format!("{SERIES}: 1")]);
    assert_eq!(recorded.sums(RETRIES), [format!("{SERIES}: 2")]);
    let (_, count, delay) = recorded.points(DELAY).remove(0);
    let (_, _, whole) = recorded.points(CALL).remove(0);
    assert_eq!(count, 1);
    // Twice 50 ms, give or take a fifth, and what the machine takes.
    assert!(delay >= 0.08 && delay < whole, "{delay} of {whole}");

    // A96: what there wasn't isn't reported, but for the delay.
    assert_eq!(answer(&channel).await.unwrap(), "now");
    assert_eq!(recorded.counts(CALL), [format!("{SERIES} OK: 2")]);
    assert_eq!(recorded.counts(RETRIES), [format!("{SERIES}: 1")]);
    assert_eq!(recorded.counts(DELAY), [format!("{SERIES}: 2")]);
    for name in [HEDGES, TRANSPARENT] {
        assert!(recorded.points(name).is_empty(), "{name}");
    }
}

/// A call that is answered at its third attempt.
async fn retried(recorded: &Recorded) -> (Served, Channel) {
    const CONFIG: &str = r#"{ "methodConfig": [{
        "name": [{}],
        "retryPolicy": {
            "maxAttempts": 4,
            "initialBackoff": "0.05s",
            "maxBackoff": "0.05s",
            "backoffMultiplier": 1,
            "retryableStatusCodes": ["UNAVAILABLE"]
        }
    }] }"#;
    let server = failing(2).await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, CONFIG, recorded);
    assert_eq!(answer(&channel).await.unwrap(), "now");
    (server, channel)
}

#[tokio::test]
async fn hedges_are_counted_apart_from_retries() {
    let recorded = Recorded::new();
    hedged(&recorded).await;
    assert_eq!(recorded.counts(CALL), [format!("{SERIES} OK: 1")]);
    assert_eq!(recorded.counts(STARTED), [format!("{SERIES}: 3")]);
    assert_eq!(recorded.sums(HEDGES), [format!("{SERIES}: 2")]);
    assert_eq!(recorded.sums(DELAY), [format!("{SERIES}: 0")]);
    assert!(recorded.points(RETRIES).is_empty());
}

/// A call with three attempts at once.
async fn hedged(recorded: &Recorded) {
    const CONFIG: &str = r#"{ "methodConfig": [{
        "name": [{}],
        "hedgingPolicy": { "maxAttempts": 3, "hedgingDelay": "0s" }
    }] }"#;
    let (server, go_on, count) = held().await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, CONFIG, recorded);
    let calling = tokio::spawn({
        let channel = channel.clone();
        async move { answer(&channel).await }
    });
    soon(async {
        while count.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    go_on.send(true).unwrap();
    assert_eq!(soon(calling).await.unwrap().unwrap(), "held");
}

#[tokio::test]
async fn a_call_that_was_refused_unprocessed_is_a_transparent_retry() {
    let recorded = Recorded::new();
    refused(&recorded).await;
    assert_eq!(recorded.counts(CALL), [format!("{SERIES} NOT_FOUND: 1")]);
    assert_eq!(recorded.counts(STARTED), [format!("{SERIES}: 2")]);
    assert_eq!(recorded.sums(TRANSPARENT), [format!("{SERIES}: 1")]);
    assert!(recorded.points(RETRIES).is_empty());
}

/// A call that is answered after it was refused.
async fn refused(recorded: &Recorded) {
    let refused = Arc::new(AtomicU64::new(0));
    let server = h2_peer(move |_, mut respond| {
        let number = refused.fetch_add(1, Ordering::SeqCst);
        async move {
            if number == 0 {
                return respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
            let status = Status::not_found("").into_http::<()>();
            respond.send_response(status, true).unwrap();
        }
    });
    let server = server.await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, "{}", recorded);
    assert_eq!(answer(&channel).await, Err(Code::NotFound));
}

/// A96, letter for letter: names, units, and the bounds of the buckets.
#[tokio::test]
async fn the_instruments_are_those_of_a96() {
    let recorded = Recorded::new();
    retried(&recorded).await;
    hedged(&recorded).await;
    refused(&recorded).await;
    let all = recorded.metrics().into_keys();
    let of_a96 = all.filter(|name| !name.contains(".attempt.") && !name.contains(CALL));
    assert_eq!(
        of_a96.collect::<Vec<_>>(),
        [
            "grpc.client.call.hedges {hedge}, 5 bounds",
            "grpc.client.call.retries {retry}, 5 bounds",
            "grpc.client.call.retry_delay s, 41 bounds",
            "grpc.client.call.transparent_retries {transparent_retry}, 6 bounds",
        ]
    );
    assert_eq!(recorded.bounds(RETRIES), [1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(recorded.bounds(HEDGES), [1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(
        recorded.bounds(TRANSPARENT),
        [1.0, 2.0, 3.0, 4.0, 5.0, 10.0]
    );
    assert_eq!(recorded.bounds(DELAY), crate::metrics::LATENCY_BOUNDS);
}

/// Who asks for one of the two has only that.
#[tokio::test]
async fn the_two_grfcs_are_recorded_apart() {
    let server = named("one").await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let (of_a66, of_a96) = (Recorded::new(), Recorded::new());
    let builder = || Channel::builder("fleet:test").scheme(fleet.clone());
    let channel = builder().metrics(&of_a66.meter()).connect_lazy().unwrap();
    answer(&channel).await.unwrap();
    let channel = builder().retry_metrics(&of_a96.meter()).connect_lazy();
    answer(&channel.unwrap()).await.unwrap();
    assert_eq!(of_a66.metrics().len(), 5);
    assert_eq!(of_a96.counts(DELAY), [format!("{SERIES}: 1")]);
    assert_eq!(of_a96.metrics().len(), 1);
}

/// A call that nobody waits for any more, and one that the channel doesn't take.
#[tokio::test]
async fn every_call_is_recorded_once() {
    let (server, _go_on, count) = held().await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let recorded = Recorded::new();
    let channel = channel(&fleet, "{}", &recorded);
    let mut running = Box::pin(answer(&channel));
    soon(async {
        while count.load(Ordering::SeqCst) < 1 {
            assert!(futures::poll!(&mut running).is_pending());
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(running);
    assert_eq!(recorded.counts(CALL), [format!("{SERIES} CANCELLED: 1")]);
    assert_eq!(recorded.counts(ATTEMPT), [format!("{SERIES} CANCELLED: 1")]);
}
