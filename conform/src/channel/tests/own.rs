//! What a caller says of one call counts more than what the config says.

use super::*;
use crate::hedging::HedgingPolicy;
use crate::message_limit::CallLimits;
use crate::retry::{RetryPolicy, Throttle};

const FOUR_TIMES: &str = r#"{
    "methodConfig": [{
        "name": [{}],
        "retryPolicy": {
            "maxAttempts": 4,
            "initialBackoff": "0.001s",
            "maxBackoff": "0.001s",
            "backoffMultiplier": 1,
            "retryableStatusCodes": ["UNAVAILABLE"]
        }
    }],
    "retryThrottling": { "maxTokens": 100, "tokenRatio": 0.1 }
}"#;

const THREE_AT_ONCE: &str = r#"{ "methodConfig": [{
    "name": [{}],
    "hedgingPolicy": {
        "maxAttempts": 3,
        "hedgingDelay": "0s",
        "nonFatalStatusCodes": ["UNAVAILABLE"]
    }
}] }"#;

/// How often a call with this extension is made that always fails: the first call of a channel, which
/// waits for the config, and one that finds it there.
async fn attempts(config: &str, extension: impl Clone + Send + Sync + 'static) -> [u64; 2] {
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let service = unary(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Err(Status::unavailable("not now")) }
    });
    let server = serve(Identity::new(), service).await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, config);
    let mut made = [0; 2];
    for made in &mut made {
        let status = calls(&channel, extension.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        *made = count.swap(0, Ordering::SeqCst);
    }
    made
}

#[tokio::test]
async fn a_callers_own_policy_and_tokens_stand_in_for_those_of_the_config() {
    const MS: Duration = Duration::from_millis(1);
    let retry = RetryPolicy::new(2, MS, MS, 1.0, [Code::Unavailable]);
    let retry = Arc::new(retry.unwrap());
    let hedging = HedgingPolicy::new(2, Duration::ZERO, [Code::Unavailable]);
    let hedging = Arc::new(hedging.unwrap());
    for (config, its_own) in [(FOUR_TIMES, 4), (THREE_AT_ONCE, 3)] {
        assert_eq!(attempts(config, "unknown").await, [its_own; 2]);
        assert_eq!(attempts(config, retry.clone()).await, [2, 2]);
        assert_eq!(attempts(config, hedging.clone()).await, [2, 2]);
    }
    // The first failure takes its only token.
    let throttle = Throttle::new(1, 1).unwrap();
    assert_eq!(attempts(FOUR_TIMES, throttle).await, [1, 1]);
}

#[tokio::test]
async fn the_smallest_of_the_callers_limits_and_the_configs_counts() {
    let server = named("one").await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let limits = |incoming, outgoing| CallLimits { incoming, outgoing };
    let config = |bytes: u32| {
        let limits =
            format!(r#""maxRequestMessageBytes": {bytes}, "maxResponseMessageBytes": {bytes}"#);
        format!(r#"{{ "methodConfig": [{{ "name": [{{}}], {limits} }}] }}"#)
    };
    let small = channel(&fleet, &config(2));
    let large = channel(&fleet, &config(1000));
    for _ in 0..2 {
        for own in [limits(Some(2), None), limits(None, Some(2))] {
            let status = calls(&large, own).await.unwrap_err();
            assert_eq!(status.code(), Code::ResourceExhausted, "{own:?}");
        }
        let status = calls(&small, limits(Some(1000), Some(1000))).await;
        assert_eq!(status.unwrap_err().code(), Code::ResourceExhausted);
        let enough = limits(Some(1000), Some(1000));
        calls(&large, enough).await.unwrap();
    }
}
