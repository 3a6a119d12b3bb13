use super::super::pick_first::policy;
use super::*;

fn channel(backends: &[Backend]) -> FakeChannel {
    let mut channel = FakeChannel::new(Box::new(policy(false, Rng::with_seed(1))));
    channel.resolved(backends).unwrap();
    channel
}

/// The order in which the addresses are tried.
async fn order(channel: &mut FakeChannel) -> Vec<Address> {
    let mut order = channel.wanted();
    while channel.wake().await {
        order.extend(channel.wanted());
    }
    order
}

// gRFC A61, "Happy Eyeballs in the pick_first LB Policy".
#[tokio::test(start_paused = true)]
async fn tries_the_next_address_beside_the_first_after_a_quarter_of_a_second() {
    let mut channel = channel(&backends(1..=3));
    let start = Instant::now();
    assert_eq!(channel.state(), Some(State::Connecting));
    assert!(waits(&mut channel));
    assert_eq!(channel.wanted(), [at(1)]);
    channel.set(&at(1), Connecting);
    let due = start + Duration::from_millis(250);
    assert_eq!(channel.wake_at(), Some(due));

    assert!(channel.wake().await);
    assert_eq!(Instant::now(), due);
    assert_eq!(channel.wanted(), [at(2)]);
    assert!(channel.wake().await);
    assert_eq!(start.elapsed(), Duration::from_millis(500));
    assert_eq!(channel.wanted(), [at(3)]);
    // There is no fourth.
    assert_eq!(channel.wake_at(), None);
    assert_eq!(channel.subchannels(), [at(1), at(2), at(3)]);
    assert_eq!(channel.state(), Some(State::Connecting));

    // The first one that is READY wins, and the others are dropped.
    channel.set(&at(2), Connecting);
    channel.set(&at(2), Ready);
    assert_eq!(channel.state(), Some(State::Ready));
    assert_eq!(channel.subchannels(), [at(2)]);
    assert_eq!(picks(&mut channel, 3), [at(2), at(2), at(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_fires_after_the_connection_is_there_does_nothing() {
    let mut channel = channel(&backends(1..=2));
    connect(&mut channel, [1]);
    assert!(channel.wake().await);
    assert_eq!(channel.subchannels(), [at(1)]);
    assert_eq!(channel.state(), Some(State::Ready));
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_fires_early_does_nothing() {
    let mut policy = policy(false, Rng::with_seed(1));
    let mut control = Nothing;
    let control = &mut control;
    policy.resolved(&backends(1..=2), control).unwrap();
    // `Nothing` hands out no second subchannel.
    policy.woken(control);
}

/// A control that knows one address.
struct Nothing;

impl Control for Nothing {
    fn subchannel(&mut self, _: &Backend, address: &Address) -> Subchannel {
        assert_eq!(*address, at(1));
        Subchannel::new(1, address.clone(), |_| ())
    }

    fn publish(&mut self, _: State, _: Arc<dyn Picker>) {}

    fn re_resolve(&mut self) {}

    fn wake_at(&mut self, _: Instant) {}
}

#[tokio::test(start_paused = true)]
async fn a_failure_starts_the_next_attempt_at_once() {
    let mut channel = channel(&backends(1..=3));
    assert_eq!(channel.wanted(), [at(1)]);
    channel.set(&at(1), Connecting);
    channel.set(&at(1), failure("no"));
    assert_eq!(channel.wanted(), [at(2)]);
    // Its own time begins then.
    tokio::time::advance(Duration::from_millis(100)).await;
    let before = Instant::now();
    channel.set(&at(2), failure("no"));
    assert_eq!(channel.wanted(), [at(3)]);
    assert_eq!(channel.state(), Some(State::Connecting));
    assert_eq!(before, Instant::now());
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_an_earlier_attempt_starts_nothing() {
    let mut channel = channel(&backends(1..=3));
    channel.wake().await;
    assert_eq!(channel.wanted(), [at(1), at(2)]);
    channel.set(&at(1), failure("no"));
    assert_eq!(channel.wanted(), []);
}

// gRFC A61, "Happy Eyeballs in the pick_first LB Policy", the end of the first pass, and gRFC A62,
// "Use sticky-TF by default".
#[tokio::test(start_paused = true)]
async fn when_all_have_failed_it_fails_calls_and_keeps_trying_each() {
    let mut channel = channel(&backends(1..=2));
    channel.set(&at(1), failure("one"));
    assert_eq!(channel.re_resolutions(), 0);
    channel.set(&at(2), failure("two"));
    assert_eq!(channel.state(), Some(State::TransientFailure));
    let message = "no backend can be reached; the last error: two";
    assert_eq!(error(&mut channel), message);
    assert_eq!(channel.re_resolutions(), 1);
    channel.wanted();

    // Each after its own backoff, in any order, and it stays a failure meanwhile.
    for port in [2, 1] {
        channel.set(&at(port), Idle);
        assert_eq!(channel.wanted(), [at(port)]);
        channel.set(&at(port), Connecting);
        assert_eq!(channel.state(), Some(State::TransientFailure));
    }
    // As many failures as addresses: time to ask again, whose ever they are.
    channel.set(&at(2), failure("again"));
    assert_eq!(channel.re_resolutions(), 1);
    assert!(error(&mut channel).ends_with("again"));
    channel.set(&at(2), Idle);
    channel.set(&at(2), failure("once more"));
    assert_eq!(channel.re_resolutions(), 2);
    channel.set(&at(2), failure("and more"));
    assert_eq!(channel.re_resolutions(), 2);

    channel.set(&at(1), Ready);
    assert_eq!(channel.state(), Some(State::Ready));
    assert_eq!(channel.subchannels(), [at(1)]);
}

#[tokio::test(start_paused = true)]
async fn those_whose_backoff_is_over_when_the_last_one_fails_are_tried_at_once() {
    let mut channel = channel(&backends(1..=2));
    channel.set(&at(1), failure("one"));
    channel.set(&at(1), Idle);
    assert_eq!(channel.wanted(), [at(1), at(2)]);
    channel.set(&at(2), failure("two"));
    assert_eq!(channel.wanted(), [at(1)]);
}

// gRFC A62, "Background": "If this connection breaks at a later point in time, …".
#[tokio::test(start_paused = true)]
async fn it_is_idle_when_the_connection_is_lost_and_connects_for_the_next_call() {
    let mut channel = channel(&backends(1..=2));
    channel.set(&at(1), failure("one"));
    connect(&mut channel, [2]);
    channel.wanted();
    channel.set(&at(2), Idle);
    assert_eq!(channel.state(), Some(State::Idle));
    assert_eq!(channel.re_resolutions(), 1);
    assert_eq!(channel.wanted(), []);
    assert_eq!(channel.wake_at().map(|_| ()), channel.wake_at().map(|_| ()));

    // From the first address on.
    assert!(waits(&mut channel));
    assert_eq!(channel.state(), Some(State::Connecting));
    assert_eq!(channel.wanted(), [at(1)]);
    channel.set(&at(1), Ready);
    assert_eq!(picks(&mut channel, 1), [at(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_before_it_was_ready_is_a_connection_that_is_lost() {
    let mut channel = channel(&backends(1..=2));
    channel.wake().await;
    channel.set(&at(1), Connecting);
    channel.set(&at(2), Connecting);
    channel.set(&at(1), Idle);
    assert_eq!(channel.state(), Some(State::Idle));
    assert_eq!(channel.subchannels(), [at(1)]);
}

#[tokio::test(start_paused = true)]
async fn it_stays_on_its_connection_while_the_list_has_its_address() {
    let mut channel = channel(&backends(1..=3));
    connect(&mut channel, [1]);
    channel.wanted();
    let before = channel.publications();
    channel.resolved(&backends([5, 4, 1])).unwrap();
    assert_eq!(channel.publications(), before);
    assert_eq!(channel.subchannels(), [at(1)]);
    assert_eq!(picks(&mut channel, 2), [at(1), at(1)]);

    // The newest list counts once the connection is lost.
    channel.set(&at(1), Idle);
    assert!(waits(&mut channel));
    assert_eq!(channel.wanted(), [at(5)]);
}

#[tokio::test(start_paused = true)]
async fn it_leaves_a_connection_whose_address_is_gone() {
    let mut channel = channel(&backends(1..=2));
    connect(&mut channel, [1]);
    channel.wanted();
    channel.resolved(&backends(2..=3)).unwrap();
    assert_eq!(channel.state(), Some(State::Connecting));
    assert_eq!(channel.subchannels(), [at(2)]);
    assert_eq!(channel.wanted(), [at(2)]);
}

#[tokio::test(start_paused = true)]
async fn idle_it_takes_a_new_list_without_connecting() {
    let mut channel = channel(&backends([1]));
    connect(&mut channel, [1]);
    channel.set(&at(1), Idle);
    channel.wanted();
    channel.resolved(&backends([2])).unwrap();
    assert_eq!(channel.state(), Some(State::Idle));
    assert_eq!(channel.wanted(), []);
    assert!(waits(&mut channel));
    assert_eq!(channel.wanted(), [at(2)]);
}

// gRFC A61, "Happy Eyeballs in the pick_first LB Policy": "every time the LB policy receives a new
// address list, it will start an initial Happy Eyeballs pass".
#[tokio::test(start_paused = true)]
async fn a_new_list_begins_a_new_pass_with_the_subchannels_that_are_there() {
    let mut channel = channel(&backends(1..=3));
    channel.set(&at(1), Connecting);
    channel.wake().await;
    channel.set(&at(2), failure("in backoff"));
    channel.set(&at(3), Connecting);
    channel.wanted();
    let list = backends([2, 1, 4, 5]);
    channel.resolved(&list).unwrap();
    // The one in backoff is left out, the one that is connecting gets its time.
    assert_eq!(channel.wanted(), []);
    assert_eq!(channel.subchannels(), [at(1), at(2)]);
    assert_eq!(order(&mut channel).await, [at(4), at(5)]);

    for port in [1, 4, 5] {
        assert_eq!(channel.state(), Some(State::Connecting));
        channel.set(&at(port), failure("no"));
    }
    assert_eq!(channel.state(), Some(State::TransientFailure));
    // All are in backoff: the pass over a new list is over at once.
    channel.resolved(&backends([5, 4])).unwrap();
    assert_eq!(channel.state(), Some(State::TransientFailure));
    assert_eq!(channel.re_resolutions(), 2);
    // A new one on the list doesn't make it better before it's READY.
    channel.resolved(&backends([5, 6])).unwrap();
    assert_eq!(channel.wanted(), [at(6)]);
    assert_eq!(channel.state(), Some(State::TransientFailure));
    channel.set(&at(6), Ready);
    assert_eq!(channel.state(), Some(State::Ready));
}

// gRFC A61, "Address List Handling in pick_first".
#[tokio::test(start_paused = true)]
async fn the_families_take_turns_and_no_address_comes_twice() {
    let unix = Address::Unix("/run/a".into());
    let list = [
        Backend::new(six(1)).or(six(2)),
        Backend::new(six(3)).or(at(1)),
        Backend::new(at(2)).or(six(1)).or(at(2)),
        Backend::new(unix.clone()),
    ];
    let mut channel = channel(&list);
    let expected = [six(1), at(1), unix, six(2), at(2), six(3)];
    assert_eq!(order(&mut channel).await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_ipv4_address_in_ipv6_is_one_of_ipv4() {
    let mapped: std::net::SocketAddr = "[::ffff:127.0.0.1]:1".parse().unwrap();
    let list = [Backend::at(mapped), one(1), Backend::new(six(1))];
    let expected = [mapped.into(), six(1), at(1)];
    assert_eq!(order(&mut channel(&list)).await, expected);
}

// gRFC A62, "Enable random shuffling of address list".
#[tokio::test(start_paused = true)]
async fn shuffles_backends_and_not_their_addresses_if_asked_to() {
    let list: Vec<_> = (1..=3).map(|n| one(n).or(at(n + 10))).collect();
    let mut orders = BTreeSet::new();
    let mut firsts = BTreeMap::<_, u32>::new();
    for seed in 0..300 {
        let mut channel = FakeChannel::new(Box::new(policy(true, Rng::with_seed(seed))));
        channel.resolved(&list).unwrap();
        let order = order(&mut channel).await;
        for pair in order.chunks(2) {
            let ports = pair.iter().map(|address| match address {
                Address::Tcp(address) => address.port(),
                other => panic!("{other}"),
            });
            let ports: Vec<_> = ports.collect();
            assert_eq!(ports[0] + 10, ports[1]);
        }
        *firsts.entry(order[0].clone()).or_default() += 1;
        orders.insert(order);
    }
    assert_eq!(orders.len(), 6);
    assert!(
        firsts.values().all(|count| (70..130).contains(count)),
        "{firsts:?}"
    );

    let mut channel = named("pick_first", json!({ "shuffleAddressList": false }));
    channel.resolved(&list).unwrap();
    let expected = [at(1), at(11), at(2), at(12), at(3), at(13)];
    assert_eq!(order(&mut channel).await, expected);
}

// gRFC A113, "Changes within Pick First".
#[tokio::test(start_paused = true)]
async fn shuffles_by_weight() {
    let list = [one(1), one(2).with(Weight(3))];
    let mut firsts = 0;
    for seed in 0..1000 {
        let mut channel = FakeChannel::new(Box::new(policy(true, Rng::with_seed(seed))));
        channel.resolved(&list).unwrap();
        firsts += u32::from(channel.wanted() == [at(2)]);
    }
    assert!((700..800).contains(&firsts), "{firsts}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_is_a_failure_until_there_is_another() {
    let mut channel = channel(&backends([1]));
    connect(&mut channel, [1]);
    channel.wanted();
    assert!(channel.resolved(&[]).is_err());
    assert_eq!(channel.state(), Some(State::TransientFailure));
    assert_eq!(error(&mut channel), "the resolver has found no addresses");
    assert_eq!(channel.subchannels(), []);
    channel.failed(&Status::internal("no such name"));
    assert_eq!(error(&mut channel), "no such name");

    // It's no failure to connect, so it isn't sticky.
    channel.resolved(&backends([2])).unwrap();
    assert_eq!(channel.state(), Some(State::Connecting));
    assert_eq!(channel.wanted(), [at(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_fails_takes_nothing_down() {
    let mut channel = named("pick_first", json!({}));
    channel.failed(&Status::not_found("no such name"));
    assert_eq!(channel.state(), Some(State::TransientFailure));
    assert_eq!(error(&mut channel), "no such name");

    channel.resolved(&backends([1])).unwrap();
    connect(&mut channel, [1]);
    channel.failed(&Status::not_found("no such name"));
    assert_eq!(channel.state(), Some(State::Ready));
    assert_eq!(picks(&mut channel, 1), [at(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_too_long_changes_nothing() {
    let mut fresh = named("pick_first", json!({}));
    let long = backends(0..=4096);
    let why = "4097 addresses are too many: 4096 is the most";
    assert_eq!(fresh.resolved(&long).unwrap_err(), why);
    assert_eq!(error(&mut fresh), why);
    fresh.resolved(&long[1..]).unwrap();

    let mut channel = channel(&backends([1]));
    connect(&mut channel, [1]);
    assert_eq!(channel.resolved(&long).unwrap_err(), why);
    assert_eq!(picks(&mut channel, 1), [at(1)]);
}

// gRFC A17, "pick_first".
#[test]
fn asks_nobody_for_its_health() {
    let registry = Registry::new();
    let health = |name| {
        let chosen = registry.policy(name, &json!({})).unwrap();
        chosen.config().health_checks()
    };
    assert!(!health("pick_first"));
    assert!(health("round_robin"));
}

#[tokio::test(start_paused = true)]
async fn a_new_config_shuffles_from_the_next_list_on() {
    let mut channel = channel(&backends(1..=50));
    let list = json!([{ "pick_first": { "shuffleAddressList": true } }]);
    let other = Registry::new().choose(&list).unwrap();
    assert!(channel.reconfigured(other.config()));
    channel.wanted();
    channel.resolved(&backends(1..=50)).unwrap();
    assert_ne!(channel.wanted(), [at(1)]);
}
