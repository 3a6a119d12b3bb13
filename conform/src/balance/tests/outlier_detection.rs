//! gRFC A50: backends that fail more often than others get no calls for a while.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;
use crate::balance::outlier_detection::Builder;

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

/// gRFC A50, *Subchannel Wrapper*.
#[tokio::test(start_paused = true)]
async fn what_becomes_of_an_ejected_connection_shows_when_it_is_back() {
    let mut channel = ready(by_percentage(), 5);
    calls(&mut channel, 250, |address, _| *address == at(2));
    channel.wake().await;
    let publications = channel.publications();
    // It's lost, and found again. Nobody asks for that.
    channel.set(&at(2), Idle);
    channel.set(&at(2), Connecting);
    channel.set(&at(2), Ready);
    assert_eq!(channel.publications(), publications);
    assert_eq!(called(&mut channel), ports([1, 3, 4, 5]));
    channel.set(&at(2), Idle);
    let _ = channel.wanted();
    for _ in 0..4 {
        assert!(channel.wake().await);
    }
    assert_eq!(channel.wanted(), [at(2)]);
    // It's back, but has no connection.
    assert_eq!(called(&mut channel), ports([1, 3, 4, 5]));
    connect(&mut channel, [2]);
    assert_eq!(called(&mut channel), ports(1..=5));
}

#[tokio::test(start_paused = true)]
async fn a_new_list_does_not_put_off_the_sweep() {
    let mut channel = ready(by_percentage(), 5);
    let due = channel.wake_at();
    tokio::time::advance(Duration::from_secs(5)).await;
    channel.resolved(&backends(1..=5)).unwrap();
    assert_eq!(channel.wake_at(), due);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_has_an_ejected_backend_still_changes_nothing_for_it() {
    let mut channel = ready(by_percentage(), 5);
    calls(&mut channel, 250, |address, _| *address == at(2));
    channel.wake().await;
    channel.resolved(&backends(1..=6)).unwrap();
    connect(&mut channel, [6]);
    assert_eq!(called(&mut channel), ports([1, 3, 4, 5, 6]));
    // Forgotten once it's off the list.
    channel.resolved(&backends([1, 3, 4, 5, 6])).unwrap();
    channel.resolved(&backends(1..=6)).unwrap();
    connect(&mut channel, [2]);
    assert_eq!(called(&mut channel), ports(1..=6));
}

/// gRFC A61, *Outlier Detection*: the backend is ejected, whichever of its addresses was called.
#[tokio::test(start_paused = true)]
async fn a_backend_is_ejected_with_all_of_its_addresses() {
    let mut channel = detecting(by_percentage());
    let both = Backend::new(at(1)).or(at(11));
    let list: Vec<_> = [both].into_iter().chain(backends(2..=5)).collect();
    channel.resolved(&list).unwrap();
    connect(&mut channel, 2..=5);
    channel.set(&at(1), Connecting);
    channel.set(&at(1), failure("refused"));
    connect(&mut channel, [11]);
    calls(&mut channel, 250, |address, _| *address == at(11));
    assert_eq!(called(&mut channel), ports([2, 3, 4, 5, 11]));
    until(&mut channel, ports(2..=5)).await;
    assert!(!channel.set(&at(1), Idle), "nor is the other address tried");
}

/// While it connects, too: its other address isn't a way in.
#[tokio::test(start_paused = true)]
async fn an_ejected_backend_that_connects_stays_ejected() {
    let mut channel = detecting(by_percentage());
    let both = Backend::new(at(1)).or(at(11));
    let list: Vec<_> = [both].into_iter().chain(backends(2..=5)).collect();
    channel.resolved(&list).unwrap();
    connect(&mut channel, 1..=5);
    calls(&mut channel, 250, |address, _| *address == at(1));
    tokio::time::advance(Duration::from_millis(9_900)).await;
    channel.set(&at(1), Idle);
    channel.set(&at(1), Connecting);
    channel.wake().await;
    assert!(
        channel.set(&at(11), Connecting),
        "it's tried after the sweep"
    );
    channel.set(&at(11), Ready);
    assert_eq!(called(&mut channel), ports(2..=5));
    until(&mut channel, ports([2, 3, 4, 5, 11])).await;
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

#[tokio::test(start_paused = true)]
async fn the_child_is_woken_at_its_own_times() {
    let mut channel = detecting(by_percentage());
    let both = Backend::new(at(1)).or(at(11));
    channel.resolved(&[both]).unwrap();
    channel.set(&at(1), Connecting);
    // Happy eyeballs, long before the sweep.
    let begin = Instant::now();
    assert!(channel.wake().await);
    assert_eq!(begin.elapsed(), crate::balance::CONNECTION_ATTEMPT_DELAY);
    assert_eq!(channel.subchannels(), [at(1), at(11)]);
    assert_eq!(channel.wake_at(), Some(begin + Duration::from_secs(10)));
}

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

#[derive(Clone, Copy, Debug, PartialEq)]
enum Heard {
    End(Option<Code>),
    State(State),
    ResolverFailed,
    Connect,
}

/// Calls its first backend, and hears what it's told.
#[derive(Clone, Debug, Default)]
struct Hearing {
    heard: Arc<Mutex<Vec<Heard>>>,
    first: Option<Subchannel>,
}

impl Hearing {
    fn hear(&self, heard: Heard) {
        self.heard.lock().unwrap().push(heard);
    }

    /// Since the last time.
    fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

impl PolicyBuilder for Hearing {
    fn name(&self) -> &str {
        "hearing"
    }

    fn parse(&self, _: &Value) -> Result<Arc<dyn PolicyConfig>, String> {
        Ok(Arc::new(self.clone()))
    }
}

impl PolicyConfig for Hearing {
    fn build(&self) -> Box<dyn Policy> {
        Box::new(self.clone())
    }
}

impl Policy for Hearing {
    fn resolved(&mut self, backends: &[Backend], control: &mut dyn Control) -> Result<(), String> {
        let address = &backends[0].addresses()[0];
        let same = self.first.take().filter(|first| first.address() == address);
        let first = same.unwrap_or_else(|| control.subchannel(&backends[0], address));
        self.first = Some(first.clone());
        let hearing = self.clone();
        let picker = move |_: &Call<'_>| {
            let hearing = hearing.clone();
            let picked = crate::balance::Picked::new(first.clone());
            Pick::Use(picked.on_end(move |end| hearing.hear(Heard::End(end.code))))
        };
        control.publish(State::Ready, Arc::new(picker));
        Ok(())
    }

    fn failed(&mut self, _: &Status, _: &mut dyn Control) {
        self.hear(Heard::ResolverFailed);
    }

    fn changed(&mut self, _: &Subchannel, state: &SubchannelState, _: &mut dyn Control) {
        self.hear(Heard::State(state.state()));
    }

    fn connect(&mut self, _: &mut dyn Control) {
        self.hear(Heard::Connect);
    }
}

fn heard_by(hearing: &Hearing) -> Box<dyn Policy> {
    let rule = json!({ "minimumHosts": 1, "requestVolume": 1 });
    let child = json!([{ "hearing": {} }]);
    let config = json!({ "failurePercentageEjection": rule, "childPolicy": child });
    let registry = Registry::new().with(hearing.clone());
    let chosen = registry.policy(Builder.name(), &config).unwrap();
    chosen.config().build()
}

#[test]
fn a_policy_of_your_own_may_be_inside_and_hears_of_all() {
    let hearing = Hearing::default();
    let mut channel = FakeChannel::new(heard_by(&hearing));
    channel.resolved(&backends(1..=2)).unwrap();
    calls(&mut channel, 2, |_, number| number == 1);
    let codes = [Code::Ok, Code::Internal];
    assert_eq!(hearing.heard(), codes.map(|code| Heard::End(Some(code))));
    channel.failed(&Status::unavailable("no DNS today"));
    assert_eq!(hearing.heard(), [Heard::ResolverFailed]);
    heard_by(&hearing).connect(&mut Nothing);
    assert_eq!(hearing.heard(), [Heard::Connect]);
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_to_an_ejected_backend_is_ejected_too() {
    let hearing = Hearing::default();
    let mut channel = FakeChannel::new(heard_by(&hearing));
    channel.resolved(&backends([1, 2])).unwrap();
    calls(&mut channel, 1, |_, _| true);
    let _ = hearing.heard();
    channel.wake().await;
    let ejected = [Heard::State(State::TransientFailure)];
    assert_eq!(hearing.heard(), ejected);
    channel.resolved(&backends([2, 1])).unwrap();
    assert_eq!(hearing.heard(), []);
    channel.resolved(&backends([1, 2])).unwrap();
    assert_eq!(hearing.heard(), ejected);
    // With another address it's another backend, though the connection is the same.
    channel.resolved(&[Backend::new(at(1)).or(at(11))]).unwrap();
    assert_eq!(hearing.heard(), [Heard::State(State::Idle)]);
}

struct Nothing;

impl Control for Nothing {
    fn subchannel(&mut self, _: &Backend, _: &Address) -> Subchannel {
        unreachable!()
    }

    fn publish(&mut self, _: State, _: Arc<dyn Picker>) {}

    fn re_resolve(&mut self) {}

    fn wake_at(&mut self, _: Instant) {}
}
