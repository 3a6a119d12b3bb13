//! The rules of gRFC A6 one by one, in paused time.

use std::collections::BTreeSet;

use tonic::codegen::http::HeaderValue;

use super::*;

/// Calls a server that does `acts`, and tells how the call ended.
async fn run(layer: RetryLayer, acts: impl IntoIterator<Item = Act>) -> (Code, Script) {
    let script = Script::new(acts, &refused().await);
    let ended = call(layered(layer, &script), request(None)).await;
    (ended.code, script)
}

fn retry(max_attempts: u32) -> RetryLayer {
    RetryLayer::new().policy(policy(max_attempts)).seed(1)
}

fn some<const N: usize>(values: [&str; N]) -> Vec<Option<String>> {
    values
        .map(|value| {
            Some(value)
                .filter(|value| !value.is_empty())
                .map(Into::into)
        })
        .into()
}

// gRFC A6, "Exponential Backoff"
#[tokio::test(start_paused = true)]
async fn pauses_grow_and_have_a_jitter_of_a_fifth() {
    let mut firsts = BTreeSet::new();
    for seed in 0..200 {
        let layer = retry(5).seed(seed);
        let (code, script) = run(layer.clone(), vec![UNAVAILABLE; 5]).await;
        assert_eq!(code, Code::Unavailable);
        let pauses = script.pauses();
        assert_eq!(pauses.len(), 4);
        for (pause, planned) in pauses.iter().zip([100, 200, 300, 300]) {
            assert!(is_about(*pause, planned), "{pauses:?}");
        }
        firsts.insert(pauses[0]);
        let (_, again) = run(layer, vec![UNAVAILABLE; 5]).await;
        assert_eq!(again.pauses(), pauses, "the same seed");
    }
    assert!(firsts.first().unwrap() < &millis(83), "{firsts:?}");
    assert!(firsts.last().unwrap() > &millis(117), "{firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_seed_the_jitter_is_another_each_time() {
    let mut pauses = BTreeSet::new();
    for _ in 0..20 {
        let layer = RetryLayer::new().policy(policy(2));
        pauses.insert(run(layer, [UNAVAILABLE, Act::Ok]).await.1.pauses());
    }
    assert!(pauses.len() > 1, "{pauses:?}");
}

// gRFC A6, "Maximum Number of Retries" and "Exposed Retry Metadata"
#[tokio::test(start_paused = true)]
async fn attempts_are_counted_and_numbered() {
    let (code, script) = run(retry(3), vec![UNAVAILABLE; 3]).await;
    assert_eq!(code, Code::Unavailable);
    assert_eq!(script.previous(), some(["", "1", "2"]));
    let (code, script) = run(retry(3), [UNAVAILABLE, Act::Ok]).await;
    assert_eq!((code, script.previous()), (Code::Ok, some(["", "1"])));
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_says_of_its_attempts_is_not_sent() {
    let script = Script::new([UNAVAILABLE, Act::Ok], &refused().await);
    let mut request = request(None);
    for value in ["4", "5"] {
        let value = HeaderValue::from_static(value);
        request
            .headers_mut()
            .append("grpc-previous-rpc-attempts", value);
    }
    call(layered(retry(2), &script), request).await;
    assert_eq!(script.previous(), some(["", "1"]));
}

// gRFC A6, "Retryable Status Codes"
#[tokio::test(start_paused = true)]
async fn only_listed_codes_are_retried() {
    for code in (1..=16).map(Code::from_i32) {
        let (last, script) = run(retry(2), [Act::Fail(code), Act::Ok]).await;
        let is_retried = [Code::Unavailable, Code::Aborted].contains(&code);
        assert_eq!(last, if is_retried { Code::Ok } else { code });
        assert_eq!(script.seen().len(), 1 + usize::from(is_retried));
    }
    let (code, _) = run(retry(2), [Act::Cut, Act::Ok]).await;
    assert_eq!(code, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_status_is_unknown() {
    let (code, script) = run(retry(2), [Act::Nothing, Act::Ok]).await;
    assert_eq!((code, script.seen().len()), (Code::Unknown, 1));
    let unknown = RetryPolicy::new(2, millis(1), millis(1), 1.0, [Code::Unknown]).unwrap();
    let (code, _) = run(retry(2).policy(unknown), [Act::Nothing, Act::Ok]).await;
    assert_eq!(code, Code::Ok);
}

// gRFC A6, "When Retries are Valid"
#[tokio::test(start_paused = true)]
async fn nothing_is_retried_after_response_headers() {
    let (code, script) = run(retry(5), [Act::Late(Code::Unavailable), Act::Ok]).await;
    assert_eq!((code, script.seen().len()), (Code::Unavailable, 1));
}

// gRFC A6, "Pushback"
#[tokio::test(start_paused = true)]
async fn a_pushback_is_obeyed_exactly_and_the_pauses_grow_anew_after_it() {
    let push = Act::Push(Code::Unavailable, &["1234"]);
    let acts = [UNAVAILABLE, UNAVAILABLE, push, UNAVAILABLE, Act::Ok];
    let (code, script) = run(retry(5), acts).await;
    assert_eq!(code, Code::Ok);
    let pauses = script.pauses();
    assert_eq!(pauses[2], millis(1234));
    for (pause, planned) in [(0, 100), (1, 200), (3, 100)] {
        assert!(is_about(pauses[pause], planned), "{pauses:?}");
    }
    let now = Act::Push(Code::Unavailable, &["0"]);
    let (_, script) = run(retry(2), [now, Act::Ok]).await;
    assert!(script.pauses()[0] <= millis(1));
}

// gRFC A6, "Pushback"
#[tokio::test(start_paused = true)]
async fn a_pushback_that_says_stop_or_nothing_readable_stops() {
    for values in [&["-1"][..], &["soon"], &[""], &["1", "1"]] {
        let push = Act::Push(Code::Unavailable, values);
        let (code, script) = run(retry(5), [push, Act::Ok]).await;
        assert_eq!(
            (code, script.seen().len()),
            (Code::Unavailable, 1),
            "{values:?}"
        );
    }
}

// gRFC A6, "Pushback"
#[tokio::test(start_paused = true)]
async fn a_pushback_gives_neither_a_code_nor_an_attempt_more() {
    let push = Act::Push(Code::DataLoss, &["1"]);
    let (code, script) = run(retry(5), [push, Act::Ok]).await;
    assert_eq!((code, script.seen().len()), (Code::DataLoss, 1));
    let push = Act::Push(Code::Unavailable, &["1"]);
    let (code, script) = run(retry(2), vec![push; 5]).await;
    assert_eq!((code, script.seen().len()), (Code::Unavailable, 2));
}

// gRFC A6, "Throttling Retry Attempts and Hedged RPCs"
#[tokio::test(start_paused = true)]
async fn what_counts_for_the_throttle() {
    let stop = |code| Act::Push(code, &["-1"]);
    let push = |code| Act::Push(code, &["1"]);
    for (acts, left) in [
        (vec![UNAVAILABLE, UNAVAILABLE, Act::Ok], 8500),
        (vec![UNAVAILABLE; 5], 5000),
        (vec![Act::Fail(Code::DataLoss)], 10_000),
        (vec![UNAVAILABLE, Act::Fail(Code::DataLoss)], 9000),
        (vec![stop(Code::Unavailable)], 9000),
        (vec![stop(Code::DataLoss)], 9000),
        (vec![push(Code::DataLoss)], 10_000),
        (vec![push(Code::Unavailable), Act::Empty], 9500),
        (vec![UNAVAILABLE, Act::Late(Code::Aborted)], 8000),
        (vec![UNAVAILABLE, Act::Late(Code::DataLoss)], 9000),
        (
            vec![Act::NeverLeft, Act::Refused, UNAVAILABLE, Act::Ok],
            9500,
        ),
        (vec![Act::Refused, Act::Refused, Act::Ok], 9500),
        (vec![Act::Dropped], 10_000),
        (vec![Act::Nothing], 10_000),
    ] {
        let throttle = Throttle::new(10, 500).unwrap();
        run(retry(5).throttle(throttle.clone()), acts.clone()).await;
        assert_eq!(throttle.thousandths(), left, "{acts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_after_its_headers_does_not_count() {
    let throttle = Throttle::new(10, 500).unwrap();
    throttle.failed();
    let script = Script::new([Act::Ok], &refused().await);
    let layer = retry(2).throttle(throttle.clone());
    let response = layered(layer, &script)
        .oneshot(request(None))
        .await
        .unwrap();
    drop(response);
    assert_eq!(throttle.thousandths(), 9000);
}

// gRFC A6, "Throttling Retry Attempts and Hedged RPCs"
#[tokio::test(start_paused = true)]
async fn at_half_of_the_tokens_nothing_is_retried_on_any_clone() {
    let layer = retry(5).throttle(Throttle::new(4, 1000).unwrap());
    let acts = [
        UNAVAILABLE,
        UNAVAILABLE,
        UNAVAILABLE,
        Act::Ok,
        Act::Ok,
        UNAVAILABLE,
        Act::Ok,
    ];
    let script = Script::new(acts, &refused().await);
    let channel = layered(layer, &script);
    let clone = channel.clone();
    // 4 - 1 is more than half, 2 isn't.
    assert_eq!(
        call(&mut channel.clone(), request(None)).await.code,
        Code::Unavailable
    );
    assert_eq!(script.seen().len(), 2);
    assert_eq!(
        call(clone.clone(), request(None)).await.code,
        Code::Unavailable
    );
    assert_eq!(script.seen().len(), 3);
    // 1 + 2 - 1 is half.
    assert_eq!(call(clone.clone(), request(None)).await.code, Code::Ok);
    assert_eq!(call(clone.clone(), request(None)).await.code, Code::Ok);
    assert_eq!(call(channel, request(None)).await.code, Code::Unavailable);
    assert_eq!(script.seen().len(), 6);
}

// gRFC A6, "Throttling Retry Attempts and Hedged RPCs": regardless of the method.
#[tokio::test(start_paused = true)]
async fn calls_without_a_policy_count_too() {
    let throttle = Throttle::new(10, 500).unwrap();
    let layer = RetryLayer::new().throttle(throttle.clone());
    run(layer.clone(), [Act::Push(Code::Unavailable, &["-1"])]).await;
    assert_eq!(throttle.thousandths(), 9000);
    run(layer, [Act::Ok]).await;
    assert_eq!(throttle.thousandths(), 9500);
}

// gRFC A6, "Transparent Retries"
#[tokio::test(start_paused = true)]
async fn what_never_left_is_sent_again_at_once_and_does_not_count() {
    let mut acts = vec![Act::NeverLeft; 32];
    acts.push(Act::Ok);
    let (code, script) = run(RetryLayer::new(), acts.clone()).await;
    assert_eq!((code, script.seen().len()), (Code::Ok, 33));
    assert_eq!(script.previous(), vec![None; 33]);
    assert!(script.pauses().iter().all(Duration::is_zero));
    // It has an end.
    acts.insert(0, Act::NeverLeft);
    let (code, script) = run(RetryLayer::new(), acts.clone()).await;
    assert_eq!((code, script.seen().len()), (Code::Unavailable, 33));
    // Then the policy has a say.
    let (code, script) = run(retry(2), acts).await;
    assert_eq!((code, script.seen().len()), (Code::Ok, 34));
    assert_eq!(script.previous()[33].as_deref(), Some("1"));
    assert!(is_about(script.pauses()[32], 100));
}

// gRFC A6, "Transparent Retries"
#[tokio::test(start_paused = true)]
async fn what_was_refused_is_sent_again_once() {
    let (code, script) = run(RetryLayer::new(), [Act::Refused, Act::Ok]).await;
    assert_eq!((code, script.previous()), (Code::Ok, some(["", ""])));
    assert!(script.pauses()[0].is_zero());
    let acts = [Act::Refused, Act::Refused, Act::Ok];
    let (code, script) = run(RetryLayer::new(), acts.clone()).await;
    assert_eq!((code, script.seen().len()), (Code::Unavailable, 2));
    let (code, script) = run(retry(2), acts).await;
    assert_eq!((code, script.previous()), (Code::Ok, some(["", "", "1"])));
    assert!(is_about(script.pauses()[1], 100));
    // Also if it isn't the first attempt.
    let (code, script) = run(retry(2), [UNAVAILABLE, Act::Refused, Act::Ok]).await;
    assert_eq!((code, script.previous()), (Code::Ok, some(["", "1", "1"])));
}

// gRFC A6, "Transparent Retries": a pick that says drop.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_on_purpose_ends_at_once() {
    let (code, script) = run(retry(5), [Act::Dropped, Act::Ok]).await;
    assert_eq!((code, script.seen().len()), (Code::Unavailable, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_ends_in_an_attempt_and_between_two() {
    let refused = refused().await;
    for (act, dropped) in [(Act::Hang, 1), (UNAVAILABLE, 0)] {
        let script = Script::new([act, Act::Ok], &refused);
        let channel = layered(retry(3), &script);
        let running = tokio::time::timeout(millis(50), channel.oneshot(request(None)));
        running.await.unwrap_err();
        assert_eq!(script.dropped(), dropped);
        tokio::time::sleep(millis(1000)).await;
        assert_eq!(script.seen().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_that_of_the_last_attempt() {
    let push = Act::Push(Code::Unavailable, &["7"]);
    let script = Script::new([push.clone(), push, UNAVAILABLE], &refused().await);
    let ended = call(layered(retry(3), &script), request(None)).await;
    assert_eq!(ended.message, "as told");
    assert!(!ended.headers.contains_key("grpc-retry-pushback-ms"));
}

#[tokio::test(start_paused = true)]
async fn a_request_may_have_a_policy_and_a_throttle_of_its_own() {
    let (own, other) = (Throttle::new(10, 1).unwrap(), Throttle::new(10, 1).unwrap());
    let script = Script::new(vec![UNAVAILABLE; 9], &refused().await);
    let mut request = request(None);
    request.extensions_mut().insert(Arc::new(policy(4)));
    request.extensions_mut().insert(own.clone());
    call(layered(retry(2).throttle(other.clone()), &script), request).await;
    assert_eq!(script.seen().len(), 4);
    assert_eq!((own.thousandths(), other.thousandths()), (6000, 10_000));
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_nothing_is_retried() {
    let (code, script) = run(RetryLayer::new(), [UNAVAILABLE, Act::Ok]).await;
    assert_eq!((code, script.seen().len()), (Code::Unavailable, 1));
}

#[tokio::test(start_paused = true)]
async fn a_service_below_that_is_not_ready_is_waited_for_and_its_error_passed_on() {
    let error = RetryLayer::new()
        .layer(crate::testing::Readiness(std::task::Poll::Ready(Err(
            "never",
        ))))
        .oneshot(request(None));
    assert_eq!(error.await.unwrap_err().to_string(), "never");
    let waiting = RetryLayer::new()
        .layer(crate::testing::Readiness(std::task::Poll::Pending))
        .oneshot(request(None));
    tokio::time::timeout(millis(50), waiting).await.unwrap_err();
}
