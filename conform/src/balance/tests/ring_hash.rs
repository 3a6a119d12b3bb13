use super::super::ring::{Entry, after, ring};
use super::super::ring_hash::{Config, policy};
use super::*;

fn channel(backends: &[Backend]) -> FakeChannel {
    let config = Config {
        min: 1024,
        max: 4096,
        header: HeaderName::from_static("session"),
    };
    let mut channel = FakeChannel::new(Box::new(policy(config, Rng::with_seed(1))));
    channel.resolved(backends).unwrap();
    channel
}

/// A call of this session.
fn ask(channel: &mut FakeChannel, sessions: &[&str]) -> Pick {
    let mut headers = HeaderMap::new();
    for session in sessions {
        headers.append("session", HeaderValue::from_str(session).unwrap());
    }
    channel.pick(&Call::new("/test.Test/Call", &headers))
}

/// Where calls of this session go, if all are READY.
fn home(channel: &mut FakeChannel, session: &str) -> Address {
    address(ask(channel, &[session]))
}

fn port(address: &Address) -> u16 {
    match address {
        Address::Tcp(address) => address.port(),
        other => panic!("{other}"),
    }
}

/// Three backends, IDLE, and a session whose calls go to `first`, then to `second`, then to `third`.
struct Three {
    channel: FakeChannel,
    session: String,
    first: u16,
    second: u16,
    third: u16,
}

fn three() -> Three {
    let session = "Ann".to_owned();
    let mut order = Vec::new();
    let mut left: Vec<u16> = (1..=3).collect();
    while !left.is_empty() {
        let mut channel = channel(&backends(left.clone()));
        connect(&mut channel, left.clone());
        let next = port(&home(&mut channel, &session));
        order.push(next);
        left.retain(|port| *port != next);
    }
    Three {
        channel: channel(&backends(1..=3)),
        session,
        first: order[0],
        second: order[1],
        third: order[2],
    }
}

impl Three {
    fn ask(&mut self) -> Pick {
        ask(&mut self.channel, &[&self.session])
    }

    fn waits(&mut self) -> bool {
        matches!(self.ask(), Pick::Wait)
    }

    fn set(&mut self, port: u16, state: SubchannelState) {
        assert!(self.channel.set(&at(port), state));
    }
}

// gRFC A42, "Ring Construction". The hashes are those of Python's xxhash.
#[test]
fn the_ring_is_the_one_that_others_have() {
    let weights = [("a", 3), ("b", 3), ("c", 4)];
    let weights = weights.map(|(key, weight)| (key.to_owned(), weight));
    let ring = ring(&weights, 10, 20);
    let expected = [
        (4148279810343392165, 0),
        (4189641231046734040, 1),
        (5051629784258667479, 2),
        (5637671355026233228, 1),
        (6560897439782492108, 1),
        (7866922100246443948, 0),
        (8142612688290817183, 2),
        (14554126711339088812, 2),
        (14801583559950740418, 2),
        (18017992814255492179, 0),
    ];
    let expected = expected.map(|(hash, backend)| Entry { hash, backend });
    assert_eq!(ring, expected);

    // A hash belongs to the next place, and past the last one to the first.
    for (hash, index) in [
        (0, 0),
        (4148279810343392165, 0),
        (4148279810343392166, 1),
        (18017992814255492179, 9),
        (18017992814255492180, 0),
    ] {
        assert_eq!(after(&ring, hash), Some(ring[index]), "{hash}");
    }
    assert_eq!(after(&[], 0), None);
}

// gRFC A42, "Ring Construction".
#[test]
fn the_ring_is_as_large_as_it_must_be() {
    let size = |weights: &[u64], min, max| {
        let keys: Vec<_> = (weights.iter().enumerate())
            .map(|(index, weight)| (index.to_string(), *weight))
            .collect();
        let ring = ring(&keys, min, max);
        let mut counts = vec![0; weights.len()];
        for entry in &ring {
            counts[entry.backend] += 1;
        }
        (ring.len(), counts)
    };
    assert_eq!(size(&[], 10, 20), (0, vec![]));
    assert_eq!(size(&[1], 10, 20), (10, vec![10]));
    assert_eq!(size(&[1, 1, 1], 10, 20), (12, vec![4, 4, 4]));
    assert_eq!(size(&[1, 1, 1], 10, 10), (10, vec![4, 3, 3]));
    assert_eq!(size(&[1, 9], 5, 100), (10, vec![1, 9]));
    assert_eq!(size(&[1, 9], 5, 8), (8, vec![1, 7]));
    // Sums are larger than a weight can be.
    let most = u64::from(u32::MAX);
    assert_eq!(size(&[most, most], 10, 20), (10, vec![5, 5]));
}

#[tokio::test(start_paused = true)]
async fn a_session_stays_and_sessions_are_spread() {
    let mut channel = channel(&backends(1..=10));
    connect(&mut channel, 1..=10);
    let mut counts = BTreeMap::<_, u32>::new();
    let mut homes = Vec::new();
    for number in 0..1000 {
        let session = number.to_string();
        let home = home(&mut channel, &session);
        assert_eq!(self::home(&mut channel, &session), home);
        *counts.entry(home.clone()).or_default() += 1;
        homes.push((session, home));
    }
    assert!(
        counts.len() == 10 && counts.values().all(|count| *count > 30),
        "{counts:?}"
    );

    // When one goes, its sessions move, and few others: each backend has a few places more now.
    channel.resolved(&backends(2..=10)).unwrap();
    let mut moved = 0;
    for (session, home) in homes {
        let now = self::home(&mut channel, &session);
        moved += usize::from(home != at(1) && now != home);
    }
    assert!(moved < 200, "{moved}");
}

#[tokio::test(start_paused = true)]
async fn shares_follow_the_weights() {
    let mut channel = channel(&[one(1), one(2).with(Weight(3)), one(1)]);
    connect(&mut channel, 1..=2);
    let to_second = |number: &u32| {
        let session = number.to_string();
        home(&mut channel, &session) == at(2)
    };
    let count = (0..1000).filter(to_second).count();
    // 3 of 5.
    assert!(count.abs_diff(600) < 100, "{count}");
}

// gRFC A42, "Subchannel State Handling" and "Picker Behavior".
#[tokio::test(start_paused = true)]
async fn connects_only_to_those_that_calls_go_to() {
    let mut three = three();
    let first = three.first;
    assert_eq!(three.channel.state(), Some(State::Idle));
    assert_eq!(three.channel.wanted(), []);
    assert!(three.waits() && three.waits());
    assert_eq!(three.channel.wanted(), [at(first)]);
    three.set(first, Connecting);
    assert_eq!(three.channel.state(), Some(State::Connecting));
    assert!(three.waits());
    assert_eq!(three.channel.wanted(), []);
    three.set(first, Ready);
    assert_eq!(three.channel.state(), Some(State::Ready));
    assert_eq!(address(three.ask()), at(first));

    // Lost, it is IDLE, and the next call of its own connects it.
    three.set(first, Idle);
    assert_eq!(three.channel.re_resolutions(), 1);
    assert_eq!(three.channel.state(), Some(State::Idle));
    assert_eq!(three.channel.wanted(), []);
    assert!(three.waits());
    assert_eq!(three.channel.wanted(), [at(first)]);
}

// gRFC A61, "Ring Hash".
#[tokio::test(start_paused = true)]
async fn passes_over_those_that_have_failed() {
    let mut three = three();
    let (first, second, third) = (three.first, three.second, three.third);
    three.set(first, Connecting);
    three.set(first, failure("one"));
    // It connects to another one by itself, and to the one that the call goes to now.
    assert_eq!(three.channel.state(), Some(State::Connecting));
    three.channel.wanted();
    three.set(second, Idle);
    assert!(three.waits());
    assert!(three.channel.wanted().contains(&at(second)));
    connect(&mut three.channel, [second]);
    assert_eq!(address(three.ask()), at(second));
    // Connecting again is no reason to wait for it.
    three.set(first, Idle);
    assert_eq!(three.channel.wanted(), [at(first)]);
    three.set(first, Connecting);
    assert_eq!(address(three.ask()), at(second));
    // A call whose place is READY doesn't care.
    three.set(first, Ready);
    assert_eq!(address(three.ask()), at(first));

    for port in [second, third] {
        three.set(port, failure("other"));
    }
    three.set(first, failure("one"));
    assert_eq!(three.channel.state(), Some(State::TransientFailure));
    let Pick::Fail(status) = three.ask() else {
        panic!("it doesn't fail");
    };
    // That of its own place.
    let message = "no backend can be reached; the last error: one";
    assert_eq!(status.message(), message);
    assert!(error(&mut three.channel).starts_with("no backend"));
}

// gRFC A42, "Aggregated Connectivity State".
#[tokio::test(start_paused = true)]
async fn its_state_is_made_of_those_of_all() {
    const READY: SubchannelState = Ready;
    let failed = || failure("no");
    let rows = [
        (vec![READY, failed(), failed()], State::Ready),
        (
            vec![failed(), failed(), Connecting],
            State::TransientFailure,
        ),
        (vec![failed(), Connecting, Idle], State::Connecting),
        (vec![Connecting, Idle, Idle], State::Connecting),
        (vec![failed(), Idle, Idle], State::Connecting),
        (vec![Idle, Idle], State::Idle),
        (vec![failed()], State::TransientFailure),
        (vec![Connecting], State::Connecting),
    ];
    for (states, expected) in rows {
        let mut channel = channel(&backends((1..).zip(&states).map(|(port, _)| port)));
        for (port, state) in (1..).zip(&states) {
            if !matches!(state, Idle) {
                channel.set(&at(port), Connecting);
                channel.set(&at(port), state.clone());
            }
        }
        assert_eq!(channel.state(), Some(expected), "{states:?}");
    }
}

// gRFC A61, "Ring Hash": "proactively triggers connection attempts".
#[tokio::test(start_paused = true)]
async fn in_trouble_it_connects_one_after_another_without_a_call() {
    let mut channel = channel(&backends(1..=4));
    channel.set(&at(2), Connecting);
    assert_eq!(channel.wanted(), []);
    channel.set(&at(2), failure("no"));
    assert_eq!(channel.wanted(), [at(1)]);
    channel.set(&at(1), Connecting);
    assert_eq!(channel.wanted(), []);
    channel.set(&at(1), failure("no"));
    assert_eq!(channel.state(), Some(State::TransientFailure));
    assert_eq!(channel.wanted(), [at(3)]);
    channel.set(&at(3), Connecting);
    assert_eq!(channel.state(), Some(State::TransientFailure));
    // The one that it was to be is gone.
    channel.resolved(&backends([1, 2, 4])).unwrap();
    assert_eq!(channel.wanted(), [at(4)]);
    channel.set(&at(4), Connecting);
    channel.set(&at(4), Ready);
    assert_eq!(channel.state(), Some(State::Ready));
    channel.resolved(&backends([1, 2, 4, 5])).unwrap();
    assert_eq!(channel.wanted(), []);
}

// gRFC A76, "Explicitly setting the request hash key".
#[tokio::test(start_paused = true)]
async fn a_call_without_the_header_goes_anywhere() {
    let mut channel = channel(&backends(1..=4));
    // It asks for one connection, and others that come meanwhile for no other.
    for _ in 0..20 {
        assert!(waits(&mut channel));
        assert!(matches!(ask(&mut channel, &[""]), Pick::Wait));
        channel.set(&at(9), Connecting);
    }
    let wanted = channel.wanted();
    assert!(!wanted.is_empty());
    channel.set(&wanted[0], Connecting);
    for _ in 0..20 {
        assert!(waits(&mut channel));
    }
    assert_eq!(channel.wanted(), []);
    // What is READY takes it, while others are connected on the way.
    channel.set(&wanted[0], Ready);
    for _ in 0..100 {
        assert_eq!(address(pick(&mut channel)), wanted[0]);
    }
    let on_the_way = channel.wanted();
    assert_eq!(on_the_way.len(), 3);
    for address in &on_the_way {
        channel.set(address, Connecting);
        channel.set(address, Ready);
    }
    let shares = shares(&mut channel, 1000);
    assert!(
        shares.len() == 4 && shares.values().all(|count| *count > 150),
        "{shares:?}"
    );

    for port in 1..=4 {
        channel.set(&at(port), failure("no"));
    }
    assert!(error(&mut channel).starts_with("no backend"));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_the_header_asks_for_no_connection_behind_one_that_is_ready() {
    // Four of five places are READY.
    let mut channel = channel(&[one(1).with(Weight(4)), one(2)]);
    connect(&mut channel, [1]);
    channel.wanted();
    let mut asked = 0;
    for _ in 0..100 {
        assert_eq!(address(pick(&mut channel)), at(1));
        asked += channel.wanted().len();
    }
    assert!((5..40).contains(&asked), "{asked}");
}

// gRFC A61, "Ring Hash": a call fails only if all have failed.
#[tokio::test(start_paused = true)]
async fn a_call_without_the_header_waits_while_one_has_not_failed() {
    let mut channel = channel(&backends(1..=2));
    channel.set(&at(1), failure("no"));
    for state in [Idle, Connecting] {
        channel.set(&at(2), state);
        assert!((0..20).all(|_| waits(&mut channel)));
    }
    channel.set(&at(2), failure("no"));
    assert!(error(&mut channel).starts_with("no backend"));
}

#[tokio::test(start_paused = true)]
async fn several_values_count_as_one() {
    let mut channel = channel(&backends(1..=50));
    connect(&mut channel, 1..=50);
    let joined = address(ask(&mut channel, &["a,b,"]));
    for _ in 0..5 {
        assert_eq!(address(ask(&mut channel, &["a", "b", ""])), joined);
        assert_eq!(
            address(ask(&mut channel, &["", ""])),
            address(ask(&mut channel, &[","])),
        );
    }
    assert_ne!(address(ask(&mut channel, &["b", "a", ""])), joined);
}

// gRFC A76, "Explicitly setting the endpoint hash key".
#[tokio::test(start_paused = true)]
async fn a_backend_with_a_key_keeps_its_place_wherever_it_is() {
    let named = |ports: [u16; 3]| -> Vec<Backend> {
        let keys = ["a", "b", ""].map(|key| HashKey(key.into()));
        let all = ports.into_iter().zip(keys);
        all.map(|(port, key)| one(port).with(key)).collect()
    };
    let mut channel = channel(&named([1, 2, 3]));
    connect(&mut channel, 1..=3);
    let sessions: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    let before: Vec<_> = sessions.iter().map(|it| home(&mut channel, it)).collect();
    channel.resolved(&named([11, 12, 3])).unwrap();
    connect(&mut channel, 11..=12);
    for (session, before) in sessions.iter().zip(before) {
        let moved = match port(&before) {
            3 => 3,
            port => port + 10,
        };
        assert_eq!(home(&mut channel, session), at(moved));
    }
}

// gRFC A61, "Ring Hash": a backend is tried at all of its addresses.
#[tokio::test(start_paused = true)]
async fn a_backend_that_a_call_connects_tries_its_other_addresses_too() {
    let mut channel = channel(&[one(1).or(at(2))]);
    assert!(matches!(ask(&mut channel, &["a"]), Pick::Wait));
    assert_eq!(channel.wanted(), [at(1)]);
    channel.set(&at(1), Connecting);
    assert!(channel.wake().await);
    assert_eq!(channel.wanted(), [at(2)]);
    channel.set(&at(2), Ready);
    assert_eq!(address(ask(&mut channel, &["a"])), at(2));
    // Then it is IDLE, and begins with the first again.
    channel.set(&at(2), Idle);
    assert!(matches!(ask(&mut channel, &["a"]), Pick::Wait));
    assert_eq!(channel.wanted(), [at(1)]);
}

#[tokio::test(start_paused = true)]
async fn no_backends_are_a_failure() {
    let mut channel = named(
        "ring_hash_experimental",
        json!({ "requestHashHeader": "x" }),
    );
    channel.failed(&Status::internal("no such name"));
    assert_eq!(channel.state(), Some(State::TransientFailure));
    assert_eq!(error(&mut channel), "no such name");
    channel.resolved(&backends([1])).unwrap();
    channel.failed(&Status::internal("no such name"));
    assert_eq!(channel.state(), Some(State::Idle));
    let why = "the resolver has found no backends";
    assert_eq!(channel.resolved(&[]).unwrap_err(), why);
    assert_eq!(channel.state(), Some(State::TransientFailure));
    assert_eq!(error(&mut channel), why);
    assert_eq!(channel.subchannels(), []);
}

// gRFC A42, "LB Policy Config"; gRFC A76, "Explicitly setting the request hash key".
#[test]
fn its_config_is_read() {
    let config = |config| {
        let chosen = Registry::new().policy("ring_hash_experimental", &config);
        format!("{:?}", chosen.unwrap().config())
    };
    for (fields, expected) in [
        (json!({}), "min: 1024, max: 4096"),
        (
            json!({ "minRingSize": 0, "maxRingSize": 0 }),
            "min: 1024, max: 4096",
        ),
        (
            json!({ "minRingSize": 7, "maxRingSize": "8" }),
            "min: 7, max: 8",
        ),
        (
            json!({ "minRingSize": 8388608, "maxRingSize": 8388608 }),
            "min: 4096, max: 4096",
        ),
    ] {
        let mut fields = fields;
        fields["requestHashHeader"] = "Session".into();
        let expected = format!("Config {{ {expected}, header: \"session\" }}");
        assert_eq!(config(fields), expected);
    }
    let refused = |config| refused("ring_hash_experimental", config);
    for (fields, why) in [
        (
            json!({}),
            "requestHashHeader must name the header whose value decides",
        ),
        (
            json!({ "requestHashHeader": "" }),
            "requestHashHeader must name the header whose value decides",
        ),
        (
            json!({ "requestHashHeader": 1 }),
            "requestHashHeader must be a string",
        ),
        (
            json!({ "requestHashHeader": "a b" }),
            "requestHashHeader \"a b\" is no header's name",
        ),
        (
            json!({ "requestHashHeader": "a-bin" }),
            "requestHashHeader \"a-bin\" is a binary header, and must not be",
        ),
        (
            json!({ "minRingSize": 8388609, "maxRingSize": 8388609 }),
            "minRingSize is 8388609, and 8388608 is the most",
        ),
        (
            json!({ "maxRingSize": 8388609 }),
            "maxRingSize is 8388609, and 8388608 is the most",
        ),
        (
            json!({ "minRingSize": 9, "maxRingSize": 8 }),
            "minRingSize is 9, more than maxRingSize, 8",
        ),
        (
            json!({ "maxRingSize": [] }),
            "maxRingSize must be a whole number, at least 0",
        ),
        (json!([]), "its config must be an object"),
    ] {
        let expected = format!("ring_hash_experimental: {why}");
        assert_eq!(refused(fields), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_config_may_name_another_header() {
    let mut channel = channel(&backends(1..=5));
    connect(&mut channel, 1..=5);
    let home_of_ann = home(&mut channel, "ann");
    let list = json!([{ "ring_hash_experimental": { "requestHashHeader": "user" } }]);
    let other = Registry::new().choose(&list).unwrap();
    assert!(channel.reconfigured(other.config()));
    channel.resolved(&backends(1..=5)).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("user", HeaderValue::from_static("ann"));
    for number in 0..20 {
        // What the old one says doesn't matter any more.
        headers.insert("session", number.into());
        let picked = channel.pick(&Call::new("/test.Test/Call", &headers));
        assert_eq!(address(picked), home_of_ann);
    }
}
