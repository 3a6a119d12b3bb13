use super::*;

fn waits(seed: u64, count: usize) -> Vec<f64> {
    let mut backoff = Backoff::with_chance(Rng::with_seed(seed));
    (0..count).map(|_| backoff.next().as_secs_f64()).collect()
}

// connection-backoff.md, "Proposed Backoff Algorithm"
#[test]
fn waits_grow_by_the_multiplier_up_to_the_maximum_give_or_take_the_jitter() {
    let mut shortest = f64::MAX;
    let mut longest = f64::MIN;
    for seed in 0..1000 {
        let mut expected = 1.0_f64;
        for wait in waits(seed, 20) {
            let part = wait / expected;
            // A wait is rounded to a nanosecond.
            assert!((0.8 - 1e-9..=1.2 + 1e-9).contains(&part), "{seed}: {wait}");
            shortest = shortest.min(part);
            longest = longest.max(part);
            expected = (expected * 1.6).min(120.0);
        }
        assert_eq!(expected, 120.0);
    }
    // All of the range is used.
    assert!(shortest < 0.801 && longest > 1.199, "{shortest} {longest}");
}

#[test]
fn clients_that_failed_together_come_back_apart() {
    let first = |_| Backoff::new().next();
    let mut waits: Vec<_> = (0..100).map(first).collect();
    waits.sort();
    waits.dedup();
    assert!(waits.len() > 90, "{waits:?}");
}

#[test]
fn the_same_seed_gives_the_same_waits() {
    assert_eq!(waits(7, 9), waits(7, 9));
    assert_ne!(waits(7, 9), waits(8, 9));
}

// connection-backoff.md, "Reset Backoff"
#[test]
fn a_reset_begins_again() {
    let mut backoff = Backoff::with_chance(Rng::with_seed(1));
    for _ in 0..9 {
        backoff.next();
    }
    assert!(backoff.next() > Duration::from_secs(50));
    backoff.reset();
    assert!(backoff.next() <= Duration::from_millis(1200));
    assert!(backoff.next() >= Duration::from_millis(1280));
}
