//! The rules of gRFC A6 one by one, in paused time.

use tokio::time::{Instant, timeout};

use super::*;
use crate::attempts::tests::script::ReadyAt;
use crate::deadline::{ClientDeadlineLayer, parse_timeout};
use crate::retry::RetryLayer;

/// Calls a server that does `acts`: how the call ended, and after how many milliseconds.
async fn run(layer: HedgingLayer, acts: impl IntoIterator<Item = Act>) -> (Code, u64, Script) {
    let script = Script::new(acts, &refused().await);
    let begun = Instant::now();
    let ended = call(layered(layer, &script), request(None)).await;
    (ended.code, begun.elapsed().as_millis() as u64, script)
}

fn times(script: &Script) -> Vec<u64> {
    let seen = script.seen().into_iter();
    seen.map(|seen| seen.at.as_millis() as u64).collect()
}

// gRFC A6, "Validation of hedgingPolicy" and "Limits on Retries and Hedges"
#[test]
fn a_policy_has_bounds() {
    for max in [0, 1] {
        let error = HedgingPolicy::new(max, millis(1), []).unwrap_err();
        assert_eq!(error.to_string(), "maxAttempts must be at least 2");
    }
    for (given, taken) in [(2, 2), (5, 5), (6, 5), (u32::MAX, 5)] {
        assert_eq!(policy(given).max_attempts(), taken);
    }
    assert_eq!(policy(2).hedging_delay(), millis(10));
    for code in (0..=16).map(Code::from_i32) {
        assert_eq!(policy(2).is_non_fatal(code), code == Code::Unavailable);
    }
}

// gRFC A6, "Hedging Policy" and "Exposed Retry Metadata"
#[tokio::test(start_paused = true)]
async fn an_attempt_is_sent_after_each_delay_and_the_first_headers_win() {
    let (code, time, script) = run(
        hedge(4),
        [Act::Hang, Act::Hang, after(15, Act::Ok), Act::Hang],
    )
    .await;
    assert_eq!((code, time), (Code::Ok, 35));
    assert_eq!(times(&script), [0, 10, 20, 30]);
    let previous = [None, Some("1"), Some("2"), Some("3")];
    assert_eq!(script.previous(), previous.map(|n| n.map(String::from)));
    assert_eq!(script.dropped(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_needs_no_second_attempt() {
    for act in [Act::Ok, Act::Empty, Act::Late(Code::Unavailable)] {
        let (_, time, script) = run(hedge(4), [after(9, act)]).await;
        assert_eq!((time, script.seen().len()), (9, 1));
    }
}

// gRFC A6, "Hedging Policy": "0s", or leave unset
#[tokio::test(start_paused = true)]
async fn without_a_delay_all_are_sent_at_once() {
    let policy = HedgingPolicy::new(3, Duration::ZERO, []).unwrap();
    let acts = [Act::Hang, Act::Hang, after(7, Act::Ok)];
    let (code, time, script) = run(HedgingLayer::new().policy(policy), acts).await;
    assert_eq!((code, time), (Code::Ok, 7));
    assert_eq!(times(&script), [0; 3]);
}

// gRFC A6, "Summary of Retry and Hedging Logic", 3
#[tokio::test(start_paused = true)]
async fn a_code_that_is_not_fatal_sends_the_next_one_at_once() {
    let (code, _, script) = run(
        hedge(4),
        [after(3, UNAVAILABLE), Act::Hang, after(4, Act::Ok)],
    )
    .await;
    assert_eq!(code, Code::Ok);
    assert_eq!(times(&script), [0, 3, 13]);
}

// gRFC A6, "Summary of Retry and Hedging Logic", 2
#[tokio::test(start_paused = true)]
async fn a_fatal_code_ends_the_call_and_the_other_attempts() {
    let acts = [Act::Hang, after(3, Act::Fail(Code::DataLoss)), Act::Ok];
    let (code, time, script) = run(hedge(4), acts).await;
    assert_eq!((code, time), (Code::DataLoss, 13));
    assert_eq!((script.seen().len(), script.dropped()), (2, 1));
}

// gRFC A6, "Hedging Policy": "If all instances of a hedged RPC fail"
#[tokio::test(start_paused = true)]
async fn if_all_fail_the_last_answer_counts() {
    let acts = [
        after(30, Act::Push(Code::Unavailable, &["1"])),
        after(3, UNAVAILABLE),
        after(3, UNAVAILABLE),
    ];
    let script = Script::new(acts, &refused().await);
    let ended = call(layered(hedge(3), &script), request(None)).await;
    assert_eq!(ended.code, Code::Unavailable);
    assert!(ended.headers.contains_key("grpc-retry-pushback-ms"));
    assert_eq!(times(&script), [0, 10, 13]);
}

// gRFC A6, "Summary of Retry and Hedging Logic", 5
#[tokio::test(start_paused = true)]
async fn a_pushback_puts_off_the_next_attempt_and_the_others_with_it() {
    let push = after(3, Act::Push(Code::Unavailable, &["40"]));
    let (_, _, script) = run(hedge(4), [push, Act::Hang, Act::Hang, after(5, Act::Ok)]).await;
    assert_eq!(times(&script), [0, 43, 53, 63]);
}

// gRFC A6, "Summary of Retry and Hedging Logic", 4
#[tokio::test(start_paused = true)]
async fn a_pushback_that_says_stop_stops_what_comes_and_not_what_runs() {
    for value in [&["-1"][..], &["soon"], &["1", "1"]] {
        let push = after(3, Act::Push(Code::Unavailable, value));
        let (code, time, script) = run(hedge(4), [after(50, Act::Ok), push]).await;
        assert_eq!((code, time), (Code::Ok, 50));
        assert_eq!(script.seen().len(), 2);
        let push = Act::Push(Code::Unavailable, value);
        let (code, _, script) = run(hedge(4), [push, Act::Ok]).await;
        assert_eq!((code, script.seen().len()), (Code::Unavailable, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pushback_does_not_make_a_fatal_code_harmless() {
    let push = Act::Push(Code::DataLoss, &["1"]);
    let (code, _, script) = run(hedge(4), [push, Act::Ok]).await;
    assert_eq!((code, script.seen().len()), (Code::DataLoss, 1));
}

// gRFC A6, "Throttling Retry Attempts and Hedged RPCs"
#[tokio::test(start_paused = true)]
async fn what_counts_for_the_throttle() {
    for (acts, left) in [
        (vec![Act::Hang, Act::Ok], 8500),
        (vec![UNAVAILABLE, Act::Hang, Act::Ok], 7500),
        (vec![UNAVAILABLE; 3], 5000),
        (vec![UNAVAILABLE, Act::Fail(Code::DataLoss)], 7000),
        (vec![Act::Fail(Code::DataLoss)], 8000),
        (vec![Act::Push(Code::DataLoss, &["-1"])], 7000),
        (vec![Act::Push(Code::Unavailable, &["-1"])], 7000),
        (vec![Act::Late(Code::Unavailable)], 7000),
        (vec![Act::Late(Code::DataLoss)], 8000),
        (vec![Act::Empty], 8500),
        (vec![Act::NeverLeft, Act::Refused, Act::Ok], 8500),
        (vec![Act::Dropped], 8000),
    ] {
        let throttle = Throttle::new(10, 500).unwrap();
        throttle.failed();
        throttle.failed();
        run(hedge(3).throttle(throttle.clone()), acts.clone()).await;
        assert_eq!(throttle.thousandths(), left, "{acts:?}");
    }
}

// gRFC A6, "Throttling Retry Attempts and Hedged RPCs"
#[tokio::test(start_paused = true)]
async fn at_half_of_the_tokens_only_the_first_attempt_is_sent() {
    let throttle = Throttle::new(4, 1).unwrap();
    let layer = hedge(4).throttle(throttle.clone());
    throttle.failed();
    throttle.failed();
    let (code, time, script) = run(layer.clone(), [after(50, Act::Ok), Act::Ok]).await;
    assert_eq!((code, time, script.seen().len()), (Code::Ok, 50, 1));
    assert_eq!(throttle.thousandths(), 2001);
    // One that runs goes on when the throttle closes.
    let acts = [after(50, Act::Ok), after(3, UNAVAILABLE), Act::Ok];
    let (code, time, script) = run(layer.clone(), acts).await;
    assert_eq!((code, time, script.seen().len()), (Code::Ok, 50, 2));
    // If none runs, the call is over.
    for act in [UNAVAILABLE, Act::Push(Code::Unavailable, &["40"])] {
        let (code, time, script) = run(layer.clone(), [act, Act::Ok]).await;
        assert_eq!((code, time, script.seen().len()), (Code::Unavailable, 0, 1));
    }
}

// gRFC A6, "Transparent Retries"
#[tokio::test(start_paused = true)]
async fn an_attempt_that_no_server_has_seen_is_sent_again_at_once() {
    let acts = [
        Act::NeverLeft,
        Act::Refused,
        Act::NeverLeft,
        after(5, Act::Ok),
    ];
    let (code, time, script) = run(hedge(2), acts).await;
    assert_eq!((code, time), (Code::Ok, 5));
    assert_eq!(script.previous(), vec![None; 4]);
    // Refused once more: that is a failure.
    let acts = [Act::Refused, Act::Refused, after(5, Act::Ok)];
    let (code, _, script) = run(hedge(2), acts).await;
    assert_eq!(code, Code::Ok);
    assert_eq!(script.previous(), [None, None, Some("1".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_on_purpose_ends_at_once() {
    let (code, time, script) = run(hedge(3), [Act::Hang, Act::Dropped, Act::Ok]).await;
    assert_eq!(
        (code, time, script.seen().len()),
        (Code::Unavailable, 10, 2)
    );
}

// gRFC A6, "Hedging Policy": one deadline for all attempts
#[tokio::test(start_paused = true)]
async fn each_attempt_is_told_the_time_that_is_left_and_none_outlives_it() {
    let script = Script::new(vec![Act::Hang; 5], &refused().await);
    let channel = ClientDeadlineLayer::new().layer(layered(hedge(5), &script));
    let ended = call(channel, request(Some("25m"))).await;
    assert_eq!(ended.code, Code::DeadlineExceeded);
    assert_eq!(times(&script), [0, 10, 20]);
    let timeouts: Vec<_> = script
        .seen()
        .into_iter()
        .map(|seen| seen.timeout.unwrap())
        .collect();
    assert_eq!(timeouts, ["25m", "15000000n", "5000000n"]);
    assert_eq!(script.dropped(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_waited_to_be_taken_is_told_the_time_that_is_left() {
    let script = Script::new([Act::Ok], &refused().await);
    let channel = hedge(2).layer(ReadyAt(millis(5), script.clone()));
    call(channel, request(Some("25m"))).await;
    let told = script.seen().remove(0).timeout.unwrap();
    let told = parse_timeout(told.as_bytes()).unwrap();
    assert!((millis(19)..=millis(20)).contains(&told), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn no_attempt_waits_for_its_turn_longer_than_the_deadline() {
    let script = Script::new(
        [Act::Push(Code::Unavailable, &["5000"]), Act::Ok],
        &refused().await,
    );
    let begun = Instant::now();
    let ended = call(layered(hedge(2), &script), request(Some("1S"))).await;
    assert_eq!(ended.code, Code::DeadlineExceeded);
    assert!((1000..=1001).contains(&begun.elapsed().as_millis()));
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_takes_its_attempts_with_it() {
    let script = Script::new(vec![Act::Hang; 5], &refused().await);
    let running = layered(hedge(5), &script).oneshot(request(None));
    timeout(millis(25), running).await.unwrap_err();
    assert_eq!(script.dropped(), 3);
    tokio::time::sleep(millis(100)).await;
    assert_eq!(script.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_request_may_have_a_policy_and_a_throttle_of_its_own() {
    let (own, other) = (Throttle::new(10, 1).unwrap(), Throttle::new(10, 1).unwrap());
    let script = Script::new(vec![UNAVAILABLE; 9], &refused().await);
    let mut request = request(None);
    request.extensions_mut().insert(Arc::new(policy(4)));
    request.extensions_mut().insert(own.clone());
    call(layered(hedge(2).throttle(other.clone()), &script), request).await;
    assert_eq!(script.seen().len(), 4);
    assert_eq!((own.thousandths(), other.thousandths()), (6000, 10_000));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_policy_passes_and_leaves_its_extensions_to_retry() {
    let throttle = Throttle::new(10, 1).unwrap();
    let script = Script::new([UNAVAILABLE, after(50, Act::Ok)], &refused().await);
    let channel = HedgingLayer::new().layer(RetryLayer::new().layer(script.clone()));
    let mut request = request(None);
    let codes = [Code::Unavailable];
    let retry = crate::retry::RetryPolicy::new(2, millis(10), millis(10), 1.0, codes).unwrap();
    request.extensions_mut().insert(Arc::new(retry));
    request.extensions_mut().insert(throttle.clone());
    assert_eq!(call(channel, request).await.code, Code::Ok);
    assert_eq!(script.seen().len(), 2);
    assert_eq!(throttle.thousandths(), 9001);
}

#[tokio::test(start_paused = true)]
async fn retry_below_lets_attempts_pass_as_they_are() {
    let throttle = Throttle::new(10, 1).unwrap();
    let codes = [Code::Unavailable];
    let policy = crate::retry::RetryPolicy::new(5, millis(1), millis(1), 1.0, codes).unwrap();
    let retry = RetryLayer::new().policy(policy).throttle(throttle.clone());
    let acts = [UNAVAILABLE, Act::Refused, UNAVAILABLE, UNAVAILABLE];
    let script = Script::new(acts, &refused().await);
    let channel = hedge(3)
        .throttle(throttle.clone())
        .layer(retry.layer(script.clone()));
    assert_eq!(call(channel, request(None)).await.code, Code::Unavailable);
    let previous = [None, Some("1"), Some("1"), Some("2")];
    assert_eq!(script.previous(), previous.map(|n| n.map(String::from)));
    assert_eq!(throttle.thousandths(), 7000);
}

#[tokio::test(start_paused = true)]
async fn a_service_below_that_is_not_ready_is_waited_for_and_its_error_passed_on() {
    use crate::testing::Readiness;
    use std::task::Poll;

    for layer in [HedgingLayer::new(), hedge(2)] {
        let failing = layer.layer(Readiness(Poll::Ready(Err("never"))));
        let error = failing.oneshot(request(None)).await.unwrap_err();
        assert!(error.to_string().contains("never"), "{error}");
        let waiting = layer.layer(Readiness(Poll::Pending)).oneshot(request(None));
        timeout(millis(50), waiting).await.unwrap_err();
    }
}
