//! One deadline for all attempts, in paused time.

use super::*;
use crate::attempts::tests::script::ReadyAt;
use crate::deadline::{ClientDeadlineLayer, parse_timeout};

fn retry(max_attempts: u32) -> RetryLayer {
    RetryLayer::new().policy(policy(max_attempts))
}

// gRFC A6, "Maximum Number of Retries": one deadline for all attempts.
#[tokio::test(start_paused = true)]
async fn each_attempt_is_told_the_time_that_is_left() {
    for has_deadline_layer in [true, false] {
        let push = Act::Push(Code::Unavailable, &["300"]);
        let slow = Act::After(millis(200), Box::new(push));
        let script = Script::new([slow, Act::NeverLeft, Act::Ok], &refused().await);
        let channel = layered(retry(3), &script);
        if has_deadline_layer {
            let channel = ClientDeadlineLayer::new().layer(channel);
            call(channel, request(Some("2S"))).await;
        } else {
            call(channel, request(Some("2S"))).await;
        }
        let timeouts: Vec<_> = script
            .seen()
            .into_iter()
            .map(|seen| seen.timeout.unwrap())
            .collect();
        assert_eq!(timeouts[0], "2S");
        for later in &timeouts[1..] {
            let left: u64 = later.strip_suffix('u').unwrap().parse().unwrap();
            assert!((1_490_000..=1_500_000).contains(&left), "{timeouts:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_waited_to_be_taken_is_told_the_time_that_is_left() {
    let script = Script::new([Act::Ok], &refused().await);
    let channel = retry(3).layer(ReadyAt(millis(500), script.clone()));
    call(channel, request(Some("2S"))).await;
    let told = script.seen().remove(0).timeout.unwrap();
    let told = parse_timeout(told.as_bytes()).unwrap();
    assert!((millis(1490)..=millis(1500)).contains(&told), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn no_pause_is_longer_than_the_deadline() {
    // Nor is there an attempt at the deadline itself.
    let pauses = [&["2000"], &["1000"]];
    for (pause, has_deadline_layer) in pauses.map(|it| [(it, true), (it, false)]).concat() {
        let push = Act::Push(Code::Unavailable, pause);
        let script = Script::new([push, Act::Ok], &refused().await);
        let channel = layered(retry(3), &script);
        let begun = tokio::time::Instant::now();
        let ended = if has_deadline_layer {
            let channel = ClientDeadlineLayer::new().layer(channel);
            call(channel, request(Some("1S"))).await
        } else {
            let ended = call(channel, request(Some("1S"))).await;
            assert!(
                ended
                    .message
                    .ends_with("the last one ended with Unavailable")
            );
            ended
        };
        assert_eq!(ended.code, Code::DeadlineExceeded);
        assert!((999..=1002).contains(&begun.elapsed().as_millis()));
        assert_eq!(script.seen().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_again_after_the_deadline() {
    let late = Act::After(millis(1500), Box::new(Act::NeverLeft));
    let script = Script::new([late, Act::Ok], &refused().await);
    let ended = call(layered(retry(3), &script), request(Some("1S"))).await;
    assert_eq!(ended.code, Code::DeadlineExceeded);
    assert_eq!(script.seen().len(), 1);
}
