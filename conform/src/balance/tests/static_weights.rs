use super::super::static_weights::policy;
use super::*;

fn channel(weights: &[Option<u32>], seed: u64) -> FakeChannel {
    let mut channel = FakeChannel::new(Box::new(policy(Rng::with_seed(seed))));
    let list = (1..).zip(weights).map(|(port, weight)| match weight {
        Some(weight) => one(port).with(Weight(*weight)),
        None => one(port),
    });
    let list: Vec<_> = list.collect();
    channel.resolved(&list).unwrap();
    connect(&mut channel, (1..).zip(weights).map(|(port, _)| port));
    channel
}

#[tokio::test(start_paused = true)]
async fn each_gets_its_share_give_or_take_a_few_from_the_first_call_on() {
    let weights = [1, 2, 3, 10, 100];
    let total: u32 = weights.iter().sum();
    for seed in 0..10 {
        let mut channel = channel(&weights.map(Some), seed);
        let mut counts = BTreeMap::<Address, u32>::new();
        for calls in 1..=2000 {
            *counts.entry(address(pick(&mut channel))).or_default() += 1;
            for (port, weight) in (1..).zip(weights) {
                let count = counts.get(&at(port)).copied().unwrap_or_default();
                let expected = f64::from(calls * weight) / f64::from(total);
                let difference = (f64::from(count) - expected).abs();
                assert!(difference < 3.0, "{port}: {count} and not {expected}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_comes_in_small_pieces() {
    let mut channel = channel(&[Some(1), Some(2)], 7);
    let picks = picks(&mut channel, 3000);
    // Never two of the small one in a row, nor more than four of the big one.
    assert!(!picks.windows(2).any(|two| two == [at(1), at(1)]));
    assert!(!picks.windows(5).any(|five| !five.contains(&at(1))));
}

#[tokio::test(start_paused = true)]
async fn without_a_weight_or_with_nothing_as_its_weight_it_counts_as_one() {
    let mut channel = channel(&[None, Some(0), Some(1), Some(2)], 7);
    let shares = shares(&mut channel, 1000);
    let nearly = |port, count| shares[&at(port)].abs_diff(count) < 3;
    assert!(
        nearly(1, 200) && nearly(2, 200) && nearly(3, 200),
        "{shares:?}"
    );
    assert!(nearly(4, 400), "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn those_that_are_listed_twice_have_the_sum_of_their_weights() {
    let mut channel = named("static_weights", json!({}));
    let most = Weight(u32::MAX);
    let list = [one(1).with(most), one(2).with(most), one(1).with(most)];
    channel.resolved(&list).unwrap();
    connect(&mut channel, 1..=2);
    let shares = shares(&mut channel, 300);
    assert!(shares[&at(1)].abs_diff(200) < 3, "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn shares_are_among_those_that_are_ready_and_by_the_newest_weights() {
    let mut channel = channel(&[Some(1), Some(1), Some(2)], 7);
    channel.set(&at(1), Idle);
    let before = shares(&mut channel, 300);
    assert!(
        before[&at(2)].abs_diff(100) < 3 && before.len() == 2,
        "{before:?}"
    );
    let list = [one(2).with(Weight(3)), one(3)];
    channel.resolved(&list).unwrap();
    let after = shares(&mut channel, 400);
    assert!(after[&at(2)].abs_diff(300) < 3, "{after:?}");
}
