//! Configs: those that are refused, and those that follow another one.

use super::*;

#[test]
fn a_config_that_is_wrong_is_refused() {
    let ok = json!([{ "round_robin": {} }]);
    let refused = |mut config: Value, with_child: bool| {
        if with_child {
            config["childPolicy"] = ok.clone();
        }
        refused(Builder.name(), config)
    };
    let name = Builder.name();
    for (config, with_child, why) in [
        (json!({}), false, "childPolicy is missing"),
        (
            json!({ "childPolicy": [] }),
            false,
            "childPolicy: none of its policies is known",
        ),
        (
            json!({ "interval": 10 }),
            true,
            "interval must be a time of at least 0, as \"1.5s\"",
        ),
        (
            json!({ "maxEjectionPercent": 101 }),
            true,
            "maxEjectionPercent is 101, and can't be more than 100",
        ),
        (
            json!({ "failurePercentageEjection": { "threshold": 101 } }),
            true,
            "failurePercentageEjection: threshold is 101, and can't be more than 100",
        ),
        (
            json!({ "successRateEjection": { "enforcementPercentage": 101 } }),
            true,
            "successRateEjection: enforcementPercentage is 101, and can't be more than 100",
        ),
        (
            json!({ "successRateEjection": 3 }),
            true,
            "successRateEjection: its config must be an object",
        ),
    ] {
        let error = refused(config, with_child);
        assert!(error.starts_with(&format!("{name}: {why}")), "{error}");
    }
}

fn reconfigured(channel: &mut FakeChannel, mut config: Value, child: &str) -> bool {
    config["childPolicy"] = json!([{ child: {} }]);
    let chosen = Registry::new().policy(Builder.name(), &config).unwrap();
    let is_taken = channel.reconfigured(chosen.config());
    channel.resolved(&backends(1..=5)).unwrap();
    is_taken
}

/// gRFC A50, *Outlier Detection Behavior*: the time that has passed counts.
#[tokio::test(start_paused = true)]
async fn a_new_config_is_taken_while_everything_goes_on() {
    let mut channel = ready(by_percentage(), 5);
    calls(&mut channel, 250, |address, _| *address == at(2));
    channel.wake().await;
    tokio::time::advance(Duration::from_secs(4)).await;
    let mut config = by_percentage();
    config["interval"] = json!("5s");
    config["baseEjectionTime"] = json!("12s");
    assert!(reconfigured(&mut channel, config, "round_robin"));
    assert_eq!(called(&mut channel), ports([1, 3, 4, 5]));
    assert_eq!(
        channel.wake_at(),
        Some(Instant::now() + Duration::from_secs(1))
    );
    // After 5, 10 and 15 s.
    let back = until(&mut channel, ports(1..=5)).await;
    assert_eq!(back, Duration::from_secs(11));
    assert!(!reconfigured(
        &mut channel,
        by_percentage(),
        "least_request_experimental"
    ));
    let other = Registry::new().policy("round_robin", &json!({})).unwrap();
    assert!(!channel.reconfigured(other.config()));
}

/// gRFC A50, the same section: a config without a rule has everybody back, for good.
#[tokio::test(start_paused = true)]
async fn a_new_config_without_a_rule_ejects_nobody() {
    let mut channel = ready(by_percentage(), 5);
    calls(&mut channel, 250, |address, _| *address == at(2));
    channel.wake().await;
    assert!(reconfigured(&mut channel, json!({}), "round_robin"));
    assert_eq!(called(&mut channel), ports(1..=5));
    // As new: half a minute again, and not a whole one.
    assert!(reconfigured(&mut channel, by_percentage(), "round_robin"));
    assert_eq!(
        channel.wake_at(),
        Some(Instant::now() + Duration::from_secs(10))
    );
    calls(&mut channel, 250, |address, _| *address == at(2));
    channel.wake().await;
    let away = until(&mut channel, ports(1..=5)).await;
    assert_eq!(away, Duration::from_secs(40));
}
