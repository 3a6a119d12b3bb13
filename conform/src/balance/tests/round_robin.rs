use super::super::round_robin::policy;
use super::*;

fn channel(backends: &[Backend]) -> FakeChannel {
    let mut channel = FakeChannel::new(Box::new(policy(Rng::with_seed(1))));
    channel.resolved(backends).unwrap();
    channel
}

/// Connected to these.
fn connected(ports: impl IntoIterator<Item = u16> + Clone) -> FakeChannel {
    let mut channel = channel(&backends(ports.clone()));
    connect(&mut channel, ports);
    channel.wanted();
    channel
}

// load-balancing.md, "round_robin".
#[tokio::test(start_paused = true)]
async fn takes_each_in_turn_and_in_order() {
    let mut channel = connected(1..=3);
    assert_eq!(channel.state(), Some(State::Ready));
    let picks = picks(&mut channel, 9);
    let first = picks.iter().position(|address| *address == at(1)).unwrap();
    let turn = [at(1), at(2), at(3)];
    let expected = turn.iter().cycle().skip((3 - first) % 3);
    assert!(picks.iter().eq(expected.take(9)), "{picks:?}");
}

#[tokio::test(start_paused = true)]
async fn begins_at_a_place_by_chance() {
    let mut firsts = BTreeMap::<_, u32>::new();
    for seed in 0..300 {
        let mut channel = FakeChannel::new(Box::new(policy(Rng::with_seed(seed))));
        channel.resolved(&backends(1..=3)).unwrap();
        connect(&mut channel, 1..=3);
        *firsts.entry(address(pick(&mut channel))).or_default() += 1;
    }
    assert_eq!(firsts.len(), 3);
    assert!(
        firsts.values().all(|count| (70..130).contains(count)),
        "{firsts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn connects_to_all_and_calls_wait_for_the_first_that_is_ready() {
    let mut channel = channel(&backends(1..=3));
    assert_eq!(channel.wanted(), [at(1), at(2), at(3)]);
    assert_eq!(channel.state(), Some(State::Connecting));
    assert!(waits(&mut channel));
    channel.set(&at(1), failure("no"));
    assert!(waits(&mut channel));
    connect(&mut channel, [2]);
    assert_eq!(picks(&mut channel, 2), [at(2), at(2)]);
}

// gRFC A48, "Aggregated Connectivity State", which is that of round_robin.
#[tokio::test(start_paused = true)]
async fn fails_only_when_all_have_failed_and_until_one_is_ready() {
    let mut channel = channel(&backends(1..=2));
    channel.set(&at(1), failure("one"));
    assert_eq!(channel.state(), Some(State::Connecting));
    channel.set(&at(2), failure("two"));
    assert_eq!(channel.state(), Some(State::TransientFailure));
    let message = "no backend can be reached; the last error: two";
    assert_eq!(error(&mut channel), message);
    channel.wanted();
    for port in [1, 2] {
        channel.set(&at(port), Idle);
        assert_eq!(channel.wanted(), [at(port)]);
        channel.set(&at(port), Connecting);
        assert_eq!(channel.state(), Some(State::TransientFailure));
    }
    channel.set(&at(1), failure("newer"));
    assert!(error(&mut channel).ends_with("newer"));
    channel.set(&at(2), Ready);
    assert_eq!(channel.state(), Some(State::Ready));
    assert_eq!(picks(&mut channel, 1), [at(2)]);
}

// gRFC A48, "Subchannel connectivity management", which is that of round_robin.
#[tokio::test(start_paused = true)]
async fn one_that_is_lost_gets_no_calls_and_is_connected_again() {
    let mut channel = connected(1..=3);
    channel.set(&at(2), Idle);
    assert_eq!(channel.wanted(), [at(2)]);
    assert_eq!(channel.re_resolutions(), 1);
    let shares = shares(&mut channel, 10);
    assert_eq!(shares, BTreeMap::from([(at(1), 5), (at(3), 5)]));
    connect(&mut channel, [2]);
    let shares = self::shares(&mut channel, 9);
    assert!(shares.values().all(|count| *count == 3) && shares.len() == 3);

    // Also the last one.
    for port in 1..=3 {
        channel.set(&at(port), Idle);
    }
    assert_eq!(channel.state(), Some(State::Connecting));
    assert!(waits(&mut channel));
}

#[tokio::test(start_paused = true)]
async fn a_new_list_keeps_connections_and_drops_those_that_are_gone() {
    let mut channel = connected(1..=3);
    channel.resolved(&backends([3, 4, 1])).unwrap();
    assert_eq!(channel.subchannels(), [at(1), at(3), at(4)]);
    assert_eq!(channel.wanted(), [at(4)]);
    let shares = shares(&mut channel, 10);
    assert_eq!(shares, BTreeMap::from([(at(1), 5), (at(3), 5)]));
    // News of one that is gone are no news.
    assert!(!channel.set(&at(2), Ready));
}

#[tokio::test(start_paused = true)]
async fn publishes_only_what_changes_something() {
    let mut channel = connected(1..=2);
    let before = channel.publications();
    channel.resolved(&backends(1..=3)).unwrap();
    assert_eq!(channel.publications(), before + 1);
    channel.set(&at(3), Connecting);
    channel.set(&at(3), failure("no"));
    channel.set(&at(3), Idle);
    assert_eq!(channel.publications(), before + 1);
    channel.set(&at(3), Ready);
    assert_eq!(channel.publications(), before + 2);
}

// gRFC A61, "Use pick_first as the Universal Leaf Policy".
#[tokio::test(start_paused = true)]
async fn a_backend_with_several_addresses_has_one_connection_and_one_share() {
    let list = [one(1).or(at(11)).or(at(12)), one(2).or(at(21)), one(3)];
    let mut channel = channel(&list);
    assert_eq!(channel.wanted(), [at(1), at(2), at(3)]);
    let start = Instant::now();
    connect(&mut channel, [3]);
    assert!(channel.wake().await);
    assert_eq!(start.elapsed(), CONNECTION_ATTEMPT_DELAY);
    assert_eq!(channel.wanted(), [at(11), at(21)]);
    connect(&mut channel, [21]);
    channel.set(&at(1), failure("no"));
    channel.set(&at(11), failure("no"));
    assert_eq!(channel.wanted(), [at(12)]);
    connect(&mut channel, [12]);
    let shares = shares(&mut channel, 9);
    let expected = [(at(3), 3), (at(12), 3), (at(21), 3)];
    assert_eq!(shares, BTreeMap::from(expected));
    assert_eq!(channel.subchannels(), [at(3), at(21), at(12)]);
}

// gRFC A61, "Address List Updates in Petiole Policies".
#[tokio::test(start_paused = true)]
async fn a_backend_is_the_same_if_its_addresses_are_in_any_order() {
    let mut channel = channel(&[one(1).or(at(2))]);
    connect(&mut channel, [1]);
    channel.wanted();
    channel.resolved(&[one(2).or(at(1))]).unwrap();
    assert_eq!(picks(&mut channel, 1), [at(1)]);
    assert_eq!(channel.wanted(), []);
    // The new order counts from the next attempt on.
    channel.set(&at(1), Idle);
    assert_eq!(channel.wanted(), [at(2)]);
    // With another address it's another backend.
    channel.resolved(&[one(2)]).unwrap();
    assert_eq!(channel.wanted(), [at(2)]);
}

#[tokio::test(start_paused = true)]
async fn two_backends_may_share_an_address() {
    let mut channel = channel(&[one(1), one(1).or(at(2))]);
    assert_eq!(channel.subchannels(), [at(1), at(1)]);
    connect(&mut channel, [1]);
    assert_eq!(channel.subchannels(), [at(1), at(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_listed_twice_gets_one_share() {
    let mut channel = channel(&backends([1, 2, 1]));
    connect(&mut channel, 1..=2);
    let shares = shares(&mut channel, 10);
    assert_eq!(shares, BTreeMap::from([(at(1), 5), (at(2), 5)]));
}

// gRFC A17, "round_robin"; gRFC A61, "Generic Health Reporting Mechanism".
#[tokio::test(start_paused = true)]
async fn one_that_is_ill_gets_no_calls_and_keeps_its_connection() {
    let mut channel = connected(1..=2);
    channel.set(&at(1), failure("NOT_SERVING"));
    assert_eq!(picks(&mut channel, 2), [at(2), at(2)]);
    assert_eq!(channel.wanted(), []);
    assert_eq!(channel.re_resolutions(), 0);
    channel.set(&at(2), failure("NOT_SERVING either"));
    assert_eq!(channel.state(), Some(State::TransientFailure));
    assert!(error(&mut channel).ends_with("NOT_SERVING either"));
    // Asked again, it is as ill as before until it has answered.
    channel.set(&at(1), Connecting);
    assert_eq!(channel.state(), Some(State::TransientFailure));
    channel.set(&at(1), Ready);
    assert_eq!(picks(&mut channel, 2), [at(1), at(1)]);
    assert_eq!(channel.subchannels(), [at(1), at(2)]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_takes_all_down_and_a_resolver_that_fails_nothing() {
    let mut channel = named("round_robin", json!({}));
    channel.failed(&Status::not_found("no such name"));
    assert_eq!(error(&mut channel), "no such name");
    channel.resolved(&backends([1])).unwrap();
    assert_eq!(channel.state(), Some(State::Connecting));
    connect(&mut channel, [1]);
    channel.failed(&Status::not_found("no such name"));
    assert_eq!(picks(&mut channel, 1), [at(1)]);

    let why = "the resolver has found no backends";
    assert_eq!(channel.resolved(&[]).unwrap_err(), why);
    assert_eq!(channel.state(), Some(State::TransientFailure));
    assert_eq!(error(&mut channel), why);
    assert_eq!(channel.subchannels(), []);
    channel.resolved(&backends([1])).unwrap();
    assert_eq!(channel.state(), Some(State::Connecting));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_too_long_changes_nothing() {
    let mut channel = named("round_robin", json!({}));
    let long = backends(0..=4096);
    let why = "4097 addresses are too many: 4096 is the most";
    assert_eq!(channel.resolved(&long).unwrap_err(), why);
    assert_eq!(error(&mut channel), why);
    channel.resolved(&long[1..]).unwrap();
    connect(&mut channel, [1]);
    assert!(channel.resolved(&long).is_err());
    assert_eq!(picks(&mut channel, 1), [at(1)]);
}
