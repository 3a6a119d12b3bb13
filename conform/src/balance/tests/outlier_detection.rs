//! gRFC A50: backends that fail more often than others get no calls for a while.

use serde_json::{Value, json};

use super::*;
use crate::balance::outlier_detection::Builder;

mod child;
mod config;
mod connections;

/// The defaults, but for these fields.
fn detecting(mut config: Value) -> FakeChannel {
    if let Value::Object(fields) = &mut config {
        let child = json!([{ "round_robin": {} }]);
        fields.entry("childPolicy").or_insert(child);
    }
    named(Builder.name(), config)
}

/// Ready, with as many backends.
fn ready(config: Value, count: u16) -> FakeChannel {
    let mut channel = detecting(config);
    channel.resolved(&backends(1..=count)).unwrap();
    connect(&mut channel, 1..=count);
    channel
}

/// So many calls to each backend in turn, of which those that `fails` names fail.
fn calls(channel: &mut FakeChannel, count: usize, fails: impl Fn(&Address, usize) -> bool) {
    let mut done: BTreeMap<Address, usize> = BTreeMap::new();
    for _ in 0..count {
        let Pick::Use(picked) = pick(channel) else {
            panic!("there are no backends");
        };
        let address = picked.subchannel().address().clone();
        let done = done.entry(address.clone()).or_default();
        let code = match fails(&address, *done) {
            true => Code::Internal,
            false => Code::Ok,
        };
        *done += 1;
        end(picked, Some(code));
    }
}

fn end(picked: crate::balance::Picked, code: Option<Code>) {
    let (_, on_end) = picked.into_parts();
    if let Some(tell) = on_end {
        tell(&CallEnd::new(code, None));
    }
}

/// Which backends get calls.
fn called(channel: &mut FakeChannel) -> Vec<Address> {
    shares(channel, 60).into_keys().collect()
}

/// Wakes the policy until these get calls, and says how long that took.
async fn until(channel: &mut FakeChannel, expected: Vec<Address>) -> Duration {
    let begin = Instant::now();
    for _ in 0..20 {
        if called(channel) == expected {
            return begin.elapsed();
        }
        assert!(channel.wake().await);
    }
    panic!("only {:?} get calls", called(channel));
}

fn ports(ports: impl IntoIterator<Item = u16>) -> Vec<Address> {
    ports.into_iter().map(at).collect()
}

const BY_PERCENTAGE: &str = r#"{ "failurePercentageEjection": {} }"#;

fn by_percentage() -> Value {
    serde_json::from_str(BY_PERCENTAGE).unwrap()
}

/// gRFC A50, *Failure Percentage Algorithm*, with the defaults: more than 85 % of 50 calls or more, five
/// backends or more.
#[tokio::test(start_paused = true)]
async fn a_backend_whose_calls_fail_is_ejected() {
    let mut channel = ready(by_percentage(), 5);
    let begin = Instant::now();
    calls(&mut channel, 250, |address, number| {
        *address == at(2) && number < 43
    });
    assert_eq!(called(&mut channel), ports(1..=5), "not before the sweep");

    assert!(channel.wake().await);
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
    assert_eq!(called(&mut channel), ports([1, 3, 4, 5]));
    assert_eq!(channel.state(), Some(State::Ready));
}

#[tokio::test(start_paused = true)]
async fn as_many_failures_as_the_threshold_are_none_too_many() {
    let mut channel = ready(
        json!({ "failurePercentageEjection": { "threshold": 86 } }),
        5,
    );
    calls(&mut channel, 250, |address, number| {
        *address == at(2) && number < 43
    });
    channel.wake().await;
    assert_eq!(called(&mut channel), ports(1..=5));
}

#[tokio::test(start_paused = true)]
async fn too_few_calls_are_not_judged() {
    let mut channel = ready(by_percentage(), 5);
    // 49 of each.
    calls(&mut channel, 245, |address, _| *address == at(2));
    channel.wake().await;
    assert_eq!(called(&mut channel), ports(1..=5));
    // What came before the sweep doesn't count any more.
    calls(&mut channel, 245, |address, _| *address == at(2));
    channel.wake().await;
    assert_eq!(called(&mut channel), ports(1..=5));
}

#[tokio::test(start_paused = true)]
async fn too_few_backends_are_not_judged() {
    let mut channel = ready(by_percentage(), 4);
    calls(&mut channel, 400, |address, _| *address == at(2));
    channel.wake().await;
    assert_eq!(called(&mut channel), ports(1..=4));
}

/// gRFC A50, *Success Rate Algorithm*: mean 0.95, deviation 0.1; below 0.95 - 1.9 × 0.1.
#[tokio::test(start_paused = true)]
async fn a_backend_that_stands_out_is_ejected() {
    let config = json!({ "successRateEjection": {} });
    for (failures, is_ejected) in [(75, true), (0, false)] {
        let mut channel = ready(config.clone(), 5);
        calls(&mut channel, 500, |address, number| {
            *address == at(4) && number < failures
        });
        channel.wake().await;
        let expected = if is_ejected {
            ports([1, 2, 3, 5])
        } else {
            ports(1..=5)
        };
        assert_eq!(called(&mut channel), expected, "{failures} failures");
    }
    // One of four that succeeds in a quarter of its calls isn't twice the deviation below the mean.
    let mut channel = ready(json!({ "successRateEjection": { "minimumHosts": 4 } }), 4);
    calls(&mut channel, 400, |address, number| {
        *address == at(4) && number < 75
    });
    channel.wake().await;
    assert_eq!(called(&mut channel), ports(1..=4));
}

/// gRFC A50, *Success Rate Algorithm*: by the share of calls that succeed, not by their number.
#[tokio::test(start_paused = true)]
async fn who_gets_fewer_calls_does_not_stand_out() {
    let mut channel = ready(json!({ "successRateEjection": {} }), 5);
    calls(&mut channel, 500, |_, _| false);
    // As many again for all but one.
    for _ in 0..500 {
        let Pick::Use(picked) = pick(&mut channel) else {
            panic!("there are no backends");
        };
        let is_other = *picked.subchannel().address() != at(3);
        end(picked, is_other.then_some(Code::Ok));
    }
    assert!(channel.wake().await);
    assert_eq!(called(&mut channel), ports(1..=5));
}

#[tokio::test(start_paused = true)]
async fn the_child_may_ask_for_the_resolver() {
    let mut channel = ready(by_percentage(), 2);
    channel.set(&at(1), Idle);
    assert_eq!(channel.re_resolutions(), 1);
}

/// gRFC A17: whether backends are asked for their health is the child's business.
#[test]
fn backends_are_asked_for_their_health_if_the_child_wants_that() {
    for (child, expected) in [("round_robin", true), ("pick_first", false)] {
        let config = json!({ "childPolicy": [{ child: {} }] });
        let chosen = Registry::new().policy(Builder.name(), &config).unwrap();
        assert_eq!(chosen.config().health_checks(), expected, "{child}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_factor_of_the_deviation_comes_in_thousandths() {
    // The one is 2.0 deviations below the mean, whatever its rate is.
    for (factor, is_ejected) in [(1990, true), (2010, false)] {
        let mut channel = ready(
            json!({ "successRateEjection": { "stdevFactor": factor } }),
            5,
        );
        calls(&mut channel, 500, |address, number| {
            *address == at(4) && number < 50
        });
        channel.wake().await;
        assert_eq!(
            called(&mut channel).len(),
            if is_ejected { 4 } else { 5 },
            "{factor}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_rate_needs_more_calls() {
    let mut channel = ready(json!({ "successRateEjection": {} }), 5);
    calls(&mut channel, 495, |address, _| *address == at(4));
    channel.wake().await;
    assert_eq!(called(&mut channel), ports(1..=5));
}

/// gRFC A50, *Outlier Detection Behavior*, 5: 30 s, and 30 s more each time.
#[tokio::test(start_paused = true)]
async fn it_comes_back_and_is_away_longer_the_next_time() {
    let mut channel = ready(by_percentage(), 5);
    let mut away = Vec::new();
    for _ in 0..3 {
        calls(&mut channel, 250, |address, _| *address == at(2));
        channel.wake().await;
        away.push(until(&mut channel, ports(1..=5)).await.as_secs());
    }
    // At the first sweep after 30, 60 and 90 s.
    assert_eq!(away, [40, 70, 100]);
}

#[tokio::test(start_paused = true)]
async fn good_times_are_taken_into_account() {
    let mut channel = ready(by_percentage(), 5);
    calls(&mut channel, 250, |address, _| *address == at(2));
    channel.wake().await;
    until(&mut channel, ports(1..=5)).await;
    // One sweep without an ejection takes one ejection back.
    channel.wake().await;
    calls(&mut channel, 250, |address, _| *address == at(2));
    channel.wake().await;
    let away = until(&mut channel, ports(1..=5)).await;
    assert_eq!(away, Duration::from_secs(40));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_away_longer_than_the_longest_time() {
    let config = json!({
        "failurePercentageEjection": {}, "baseEjectionTime": "15s", "maxEjectionTime": "20s",
    });
    let mut channel = ready(config, 5);
    let mut away = Vec::new();
    for _ in 0..3 {
        calls(&mut channel, 250, |address, _| *address == at(2));
        channel.wake().await;
        away.push(until(&mut channel, ports(1..=5)).await.as_secs());
    }
    assert_eq!(away, [20, 30, 30]);
}

/// gRFC A50, both algorithms, 3.1 and 2.1.
#[tokio::test(start_paused = true)]
async fn only_so_many_are_ejected() {
    for (percent, left) in [(0, 10), (10, 9), (11, 8), (30, 7), (100, 5)] {
        let config = json!({ "failurePercentageEjection": {}, "maxEjectionPercent": percent });
        let mut channel = ready(config, 10);
        let bad = ports(1..=5);
        calls(&mut channel, 500, |address, _| bad.contains(address));
        channel.wake().await;
        assert_eq!(called(&mut channel).len(), left, "{percent} %");
    }
}

#[tokio::test(start_paused = true)]
async fn all_may_be_ejected_and_then_calls_fail() {
    let config = json!({ "failurePercentageEjection": {}, "maxEjectionPercent": 100 });
    let mut channel = ready(config, 5);
    calls(&mut channel, 250, |_, _| true);
    channel.wake().await;
    assert_eq!(channel.state(), Some(State::TransientFailure));
    let error = error(&mut channel);
    assert!(
        error.contains("gets no calls for a while: too many of them have failed"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_judgment_is_carried_out_as_often_as_the_config_says() {
    for rule in ["failurePercentageEjection", "successRateEjection"] {
        let mut channel = ready(json!({ rule: { "enforcementPercentage": 0 } }), 5);
        calls(&mut channel, 500, |address, _| *address == at(2));
        channel.wake().await;
        assert_eq!(called(&mut channel), ports(1..=5), "{rule}");
    }
    let rule = json!({ "enforcementPercentage": 50 });
    let config = json!({ "failurePercentageEjection": rule, "maxEjectionPercent": 100 });
    let mut channel = detecting(config);
    channel.resolved(&backends(1..=200)).unwrap();
    connect(&mut channel, 1..=200);
    calls(&mut channel, 10_000, |_, _| true);
    channel.wake().await;
    let left = shares(&mut channel, 400).len();
    assert!((70..=130).contains(&left), "{left}");
}

#[tokio::test(start_paused = true)]
async fn without_a_rule_nothing_is_counted_or_ejected() {
    let mut channel = ready(json!({}), 5);
    assert_eq!(channel.wake_at(), None);
    let Pick::Use(picked) = pick(&mut channel) else {
        panic!("there are no backends");
    };
    assert!(picked.into_parts().1.is_none());
}

/// gRFC A61, *Reasons for Generic Health Reporting*: not with `pick_first`.
#[tokio::test(start_paused = true)]
async fn pick_first_ejects_nobody() {
    let child = json!([{ "pick_first": {} }]);
    let rule = json!({ "minimumHosts": 1 });
    let config = json!({ "failurePercentageEjection": rule, "childPolicy": child });
    let chosen = Registry::new().policy(Builder.name(), &config).unwrap();
    assert!(!chosen.config().health_checks());
    let mut channel = detecting(config);
    channel.resolved(&backends(1..=5)).unwrap();
    pick(&mut channel);
    connect(&mut channel, [1]);
    calls(&mut channel, 250, |_, _| true);
    for _ in 0..3 {
        channel.wake().await;
    }
    assert_eq!(called(&mut channel), ports([1]));
}

#[tokio::test(start_paused = true)]
async fn calls_that_were_broken_off_count_for_nothing() {
    let mut channel = ready(by_percentage(), 5);
    for _ in 0..250 {
        let Pick::Use(picked) = pick(&mut channel) else {
            panic!("there are no backends");
        };
        let is_bad = *picked.subchannel().address() == at(2);
        end(picked, (!is_bad).then_some(Code::Ok));
    }
    channel.wake().await;
    assert_eq!(called(&mut channel), ports(1..=5));
}

#[tokio::test(start_paused = true)]
async fn who_is_ejected_by_both_rules_is_ejected_once() {
    let config = json!({
        "failurePercentageEjection": {}, "successRateEjection": {}, "maxEjectionPercent": 100,
    });
    let mut channel = ready(config, 5);
    calls(&mut channel, 500, |address, _| *address == at(2));
    channel.wake().await;
    let away = until(&mut channel, ports(1..=5)).await;
    assert_eq!(away, Duration::from_secs(40));
}
