//! What becomes of lookups that fail, and of answers that can't be used.

use super::*;
use crate::backoff::{BACKOFF_JITTER, BACKOFF_MULTIPLIER, INITIAL_BACKOFF, MAX_BACKOFF};

/// Whether these moments lie as far apart as the connection backoff protocol has it.
fn are_backed_off(asked: &[f64]) -> bool {
    let mut wait = INITIAL_BACKOFF.as_secs_f64();
    asked.windows(2).all(|pair| {
        let gap = pair[1] - pair[0];
        let is_right = (gap / wait - 1.0).abs() <= BACKOFF_JITTER + 0.01;
        wait = (wait * BACKOFF_MULTIPLIER).min(MAX_BACKOFF.as_secs_f64());
        is_right
    })
}

impl Channel {
    /// When the name was looked up.
    fn asked(&self) -> Vec<f64> {
        self.script.asked.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_reported_and_tried_again_after_growing_waits() {
    let mut channel = Channel::new(Dns::new(), [Reply::Fails]);
    let heard = channel.until(3000).await;
    for heard in &heard {
        assert_eq!(*heard, failed(heard.0, "as told"));
    }
    let asked = channel.asked();
    assert_eq!(heard.len(), asked.len());
    assert!(asked.len() > 20, "{asked:?}");
    assert!(are_backed_off(&asked), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_success_the_waits_begin_anew() {
    use Reply::Fails;
    let answer = Reply::Found(found(&["10.0.0.1"], 40));
    let replies = [Fails, Fails, Fails, answer.clone(), Fails, Fails, answer];
    let mut channel = Channel::new(Dns::new(), replies);
    channel.until(60).await;
    let asked = channel.asked();
    assert_eq!(asked.len(), 7, "{asked:?}");
    assert!(are_backed_off(&asked[..4]), "{asked:?}");
    assert!((asked[4] - asked[3] - 40.0).abs() < 0.1, "{asked:?}");
    assert!(are_backed_off(&asked[4..]), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn requests_do_not_shorten_the_wait_after_a_failure() {
    use Reply::Fails;
    let answer = Reply::Found(found(&["10.0.0.1"], None));
    let mut channel = Channel::new(Dns::new(), [Fails, Fails, Fails, answer]);
    for second in 0..3 {
        channel.until(second).await;
        channel.updates.ask();
    }
    channel.until(1000).await;
    let asked = channel.asked();
    // The lookup that succeeds is the answer to all of them.
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(are_backed_off(&asked), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_an_error() {
    let addresses = Reply::Found(found(&["10.0.0.1"], 40));
    let replies = [addresses, Reply::Found(found(&[], 40))];
    let mut channel = Channel::new(Dns::new(), replies);
    let reason = "it has no address";
    let heard_first = [heard(0, &["10.0.0.1"]), failed(40, reason)];
    assert_eq!(channel.until(40).await, heard_first);
    assert_eq!(channel.until(41).await, [failed(41, reason)]);
}

#[tokio::test(start_paused = true)]
async fn after_an_error_the_same_answer_is_news() {
    let answer = Reply::Found(found(&["10.0.0.1"], 40));
    let mut channel = Channel::new(Dns::new(), [answer.clone(), Reply::Fails, answer]);
    assert_eq!(
        channel.until(50).await,
        [
            heard(0, &["10.0.0.1"]),
            failed(40, "as told"),
            heard(41, &["10.0.0.1"])
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_hangs_is_given_up_and_dropped() {
    let mut channel = Channel::new(Dns::new(), [Reply::Hangs]);
    assert_eq!(channel.until(29).await, []);
    assert_eq!(channel.script.running(), 1);
    let gave_up = [failed(30, "no answer within 30s")];
    assert_eq!(channel.until(30).await, gave_up);
    assert_eq!(channel.script.running(), 0);
    let settings = Dns::new().timeout(Duration::from_secs(2));
    let mut channel = Channel::new(settings, [Reply::Hangs]);
    let gave_up = [failed(2, "no answer within 2s")];
    assert_eq!(channel.until(2).await, gave_up);
}

// gRFC A21, "Behavior on receiving a new gRPC Config", 5.2: "for a polling-based resolver, it should
// retry the query after appropriate backoff".
#[tokio::test(start_paused = true)]
async fn what_the_channel_cannot_use_is_looked_up_and_told_again() {
    let answer = Reply::Found(found(&["10.0.0.1"], None));
    let mut channel = Channel::new(Dns::new(), [answer]);
    channel.verdict = false;
    let refused = channel.until(60).await;
    let asked = channel.asked();
    assert_eq!(refused.len(), asked.len());
    assert!(asked.len() > 5, "{asked:?}");
    assert!(are_backed_off(&asked), "{asked:?}");
    channel.verdict = true;
    assert_eq!(channel.until(10_000).await.len(), 1);
    assert_eq!(channel.asked().len(), asked.len() + 1);
}

fn without(family: Family, addresses: &[&str]) -> Reply {
    Reply::Found(Answer {
        failed: Some(family),
        ..found(addresses, 1000)
    })
}

#[tokio::test(start_paused = true)]
async fn a_family_that_fails_keeps_its_addresses_and_is_tried_again_soon() {
    let both = Reply::Found(found(&["10.0.0.1", "10.0.0.2", "::1"], 40));
    let replies = [
        both,
        without(Family::V4, &["::2"]),
        without(Family::V6, &["10.0.0.3"]),
        Reply::Found(found(&["10.0.0.3"], 1000)),
    ];
    let mut channel = Channel::new(Dns::new(), replies);
    assert_eq!(
        channel.until(500).await,
        [
            heard(0, &["10.0.0.1", "10.0.0.2", "[::1]"]),
            heard(40, &["[::2]", "10.0.0.1", "10.0.0.2"]),
            heard(70, &["10.0.0.3", "[::2]"]),
            heard(100, &["10.0.0.3"]),
        ]
    );
    assert_eq!(channel.script.asked(), [0, 40, 70, 100]);
}

#[tokio::test(start_paused = true)]
async fn a_family_that_fails_at_first_is_not_missed() {
    let replies = [
        without(Family::V4, &["::1"]),
        Reply::Found(found(&["10.0.0.1", "::1"], None)),
    ];
    let mut channel = Channel::new(Dns::new().only_when_asked(), replies);
    assert_eq!(
        channel.until(500).await,
        [heard(0, &["[::1]"]), heard(30, &["10.0.0.1", "[::1]"])]
    );
}
