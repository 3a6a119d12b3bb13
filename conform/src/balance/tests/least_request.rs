use super::super::least_request::policy;
use super::*;

fn channel(choices: usize, count: u16) -> FakeChannel {
    let mut channel = FakeChannel::new(Box::new(policy(choices, Rng::with_seed(5))));
    channel.resolved(&backends(1..=count)).unwrap();
    connect(&mut channel, 1..=count);
    channel
}

fn begin(channel: &mut FakeChannel) -> Picked {
    match pick(channel) {
        Pick::Use(picked) => picked,
        other => panic!("{other:?}"),
    }
}

// gRFC A48, "Picker Behavior": each choice is free to be the same as another.
#[tokio::test(start_paused = true)]
async fn takes_the_one_with_the_fewest_open_calls_of_those_it_has_looked_at() {
    for (choices, expected) in [(2, 190), (10, 651)] {
        let mut channel = channel(choices, 10);
        let mut open = Vec::new();
        // Every one but the first has an open call.
        while open.len() < 9 {
            let call = begin(&mut channel);
            let address = call.subchannel().address().clone();
            if address != at(1) && open.iter().all(|(other, _)| *other != address) {
                open.push((address, call));
            }
        }
        let shares = shares(&mut channel, 1000);
        let share = shares[&at(1)];
        // Of 1000 choices: 1 - (9/10)^choices.
        assert!(share.abs_diff(expected) < 60, "{choices}: {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn open_calls_are_spread_evenly() {
    let mut channel = channel(10, 4);
    let open: Vec<_> = (0..400).map(|_| begin(&mut channel)).collect();
    let mut counts = BTreeMap::<_, usize>::new();
    for call in &open {
        *counts.entry(call.subchannel().id()).or_default() += 1;
    }
    assert!(
        counts.values().all(|count| count.abs_diff(100) <= 2),
        "{counts:?}"
    );
}

// gRFC A48, "Outstanding request counters".
#[tokio::test(start_paused = true)]
async fn a_call_counts_until_it_has_ended_also_for_the_next_picker() {
    let mut channel = channel(10, 2);
    let busy = begin(&mut channel);
    let address = busy.subchannel().address().clone();
    let (busy, idle) = match address == at(1) {
        true => (busy, at(2)),
        false => (busy, at(1)),
    };
    let (_, on_end) = busy.into_parts();
    let on_end = on_end.unwrap();
    channel.resolved(&backends([1, 2, 3])).unwrap();
    let before = shares(&mut channel, 1000);
    assert!(before[&idle] > 990, "{before:?}");
    on_end(&CallEnd::new(Some(Code::Ok), None));
    let after = shares(&mut channel, 1000);
    assert!(after[&idle].abs_diff(500) < 60, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn one_ready_backend_gets_all() {
    let mut channel = channel(2, 1);
    assert_eq!(picks(&mut channel, 3), [at(1), at(1), at(1)]);
}

// gRFC A48, "LB Policy Config".
#[test]
fn its_config_is_read() {
    let config = |config| {
        let chosen = Registry::new().policy("least_request_experimental", &config);
        format!("{:?}", chosen.unwrap().config())
    };
    assert_eq!(config(json!({})), "Config { choices: 2 }");
    assert_eq!(
        config(json!({ "choiceCount": null })),
        "Config { choices: 2 }"
    );
    assert_eq!(
        config(json!({ "choiceCount": 3, "x": 1 })),
        "Config { choices: 3 }"
    );
    assert_eq!(
        config(json!({ "choiceCount": "4" })),
        "Config { choices: 4 }"
    );
    assert_eq!(
        config(json!({ "choiceCount": 11 })),
        "Config { choices: 10 }"
    );

    let refused = |config| refused("least_request_experimental", config);
    for few in [0, 1] {
        let why =
            format!("least_request_experimental: choiceCount is {few}, and must be at least 2");
        assert_eq!(refused(json!({ "choiceCount": few })), why);
    }
    for wrong in [json!(-1), json!(2.5), json!("two"), json!(true), json!([2])] {
        let why = "choiceCount must be a whole number, at least 0";
        assert!(
            refused(json!({ "choiceCount": wrong })).ends_with(why),
            "{wrong}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_config_keeps_connections_and_counts() {
    let mut channel = channel(2, 10);
    let mut open = Vec::new();
    while open.len() < 9 {
        let call = begin(&mut channel);
        let address = call.subchannel().address().clone();
        if address != at(1) && open.iter().all(|(other, _)| *other != address) {
            open.push((address, call));
        }
    }
    let list = json!([{ "least_request_experimental": { "choiceCount": 10 } }]);
    let more = Registry::new().choose(&list).unwrap();
    assert!(channel.reconfigured(more.config()));
    channel.resolved(&backends(1..=10)).unwrap();
    // As with ten choices from the beginning.
    let share = shares(&mut channel, 1000)[&at(1)];
    assert!(share.abs_diff(651) < 60, "{share}");
    let other = Registry::new().choose(&json!([{ "round_robin": {} }]));
    assert!(!channel.reconfigured(other.unwrap().config()));
}
