//! gRFC A58, "Earliest Deadline First (EDF) Scheduler", and the numbers with which gRPC tests its own
//! scheduler: test/core/load_balancing/static_stride_scheduler_test.cc.

use std::sync::atomic::{AtomicU64, Ordering};

use arbtest::arbtest;

use super::*;

/// One generation more than which nothing new comes.
const CYCLE: u64 = u16::MAX as u64;

fn scheduler(weights: &[f64]) -> Scheduler {
    let weights: Vec<_> = weights.iter().map(|weight| Some(*weight)).collect();
    Scheduler::new(&weights)
}

/// How often each of `backends` is picked in so many picks.
fn picks(scheduler: &Scheduler, backends: usize, picks: usize, from: u64) -> Vec<u64> {
    let sequence = AtomicU64::new(from);
    let mut counts = vec![0; backends];
    for _ in 0..picks {
        counts[scheduler.pick(&sequence).unwrap()] += 1;
    }
    counts
}

#[test]
fn no_backend_no_pick() {
    let scheduler = Scheduler::new(&[]);
    assert_eq!(scheduler.pick(&AtomicU64::new(0)), None);
    assert!(!scheduler.is_weighted());
}

// "When less than two subchannels have load info, all subchannels will get the same weight"
#[test]
fn with_less_than_two_weights_it_is_round_robin() {
    for weights in [
        &[None][..],
        &[Some(5.0)],
        &[None, None, None],
        &[None, Some(9.0), None],
        &[
            Some(0.0),
            Some(9.0),
            Some(-1.0),
            Some(f64::NAN),
            Some(f64::INFINITY),
        ],
    ] {
        let scheduler = Scheduler::new(weights);
        assert!(!scheduler.is_weighted(), "{weights:?}");
        let sequence = AtomicU64::new(u64::from(u32::MAX) * 60);
        for turn in 0..30 {
            let expected = turn % weights.len();
            assert_eq!(scheduler.pick(&sequence), Some(expected), "{weights:?}");
        }
    }
}

#[test]
fn picks_are_in_proportion_to_weights() {
    assert_eq!(picks(&scheduler(&[1.0, 2.0, 3.0]), 3, 6, 0), [1, 2, 3]);
    assert!(scheduler(&[1.0, 2.0, 3.0]).is_weighted());
}

// "Subchannels that are included with a zero weight are still picked but with the average weight"
#[test]
fn a_backend_without_a_weight_gets_the_mean() {
    let mean = Scheduler::new(&[Some(3.0), None, Some(1.0)]);
    assert_eq!(picks(&mean, 3, 6, 0), [3, 2, 1]);
    for invalid in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(scheduler(&[3.0, invalid, 1.0]), mean, "{invalid}");
    }
}

#[test]
fn with_equal_weights_it_is_round_robin_too() {
    let scheduler = Scheduler::new(&[Some(300.0), Some(300.0), None]);
    let sequence = AtomicU64::new(0);
    for turn in 0..1000 {
        assert_eq!(scheduler.pick(&sequence), Some(turn % 3));
    }
}

#[test]
fn a_scheduler_that_is_made_anew_goes_on_where_the_old_one_was() {
    let one = scheduler(&[1.0, 2.0, 3.0]);
    let (sequence, other) = (AtomicU64::new(0), AtomicU64::new(0));
    for _ in 0..100 {
        let again = scheduler(&[1.0, 2.0, 3.0]);
        assert_eq!(one.pick(&sequence), again.pick(&other));
    }
    assert_eq!(sequence.into_inner(), other.into_inner());
}

#[test]
fn a_weight_counts_for_ten_times_the_mean_at_most() {
    let mut weights = [1.0; 20];
    weights[0] = 81.0;
    // The mean is 5.
    let mut expected = [1; 20];
    expected[0] = 50;
    assert_eq!(picks(&scheduler(&weights), 20, 69, 0), expected);
}

#[test]
fn a_weight_counts_for_a_hundredth_of_the_mean_at_least() {
    for least in [1e-10, f64::MIN_POSITIVE] {
        assert_eq!(picks(&scheduler(&[100.0, least]), 2, 201, 0), [200, 1]);
    }
}

#[test]
fn weights_that_are_huge_together_are_weights() {
    let huge = f64::MAX;
    let scheduler = scheduler(&[huge, huge / 2.0, huge / 2.0, huge]);
    let counts = generations(&scheduler, 4, 0, 100);
    for (count, expected) in counts.iter().zip([100_u64, 50, 50, 100]) {
        assert!(count.abs_diff(expected) <= 1, "{counts:?}");
    }
}

#[test]
fn the_greatest_is_picked_in_each_generation_of_a_cycle() {
    let scheduler = scheduler(&[1.0, 2.0, 3.0]);
    let mean = 2;
    let counts = picks(&scheduler, 3, CYCLE as usize * mean, 0);
    assert_eq!(counts, [CYCLE / 3, CYCLE * 2 / 3, CYCLE]);
}

/// The picks of so many generations, from `begin` on: each generation is as many numbers as there
/// are backends.
fn generations(scheduler: &Scheduler, backends: u64, begin: u64, generations: u64) -> Vec<u64> {
    let sequence = AtomicU64::new(begin * backends);
    let end = (begin + generations) * backends;
    let mut counts = vec![0; backends as usize];
    loop {
        let index = scheduler.pick(&sequence).unwrap();
        // The number that this pick took, which may lie beyond the end.
        if sequence.load(Ordering::Relaxed) > end {
            return counts;
        }
        counts[index] += 1;
    }
}

/// What each backend is due in a cycle, as the documentation says it.
fn due(weights: &[f64]) -> Vec<u64> {
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    let greatest = weights.iter().copied().fold(0.0, f64::max).min(10.0 * mean);
    let scale = CYCLE as f64 / greatest;
    let least = (scale * mean).round() * 0.01;
    let due = weights
        .iter()
        .map(|weight| (weight.min(greatest) * scale).max(least).max(1.0));
    due.map(|due| due.round() as u64).collect()
}

#[test]
fn over_a_cycle_each_backend_gets_exactly_its_share() {
    for weights in [
        &[1.0, 2.0, 3.0][..],
        &[0.3, 0.7, 0.1, 0.2, 0.9],
        &[1.0, 1e-10],
        &[200.0, 50.0],
        // Its mean is 5, and ten times as much the most that counts.
        &[&[81.0][..], &[1.0; 19]].concat(),
    ] {
        let scheduler = scheduler(weights);
        let backends = weights.len() as u64;
        for begin in [0, 12_345, u64::MAX / backends - CYCLE * 2] {
            let counts = generations(&scheduler, backends, begin, CYCLE);
            for (count, due) in counts.iter().zip(due(weights)) {
                assert!(count.abs_diff(due) <= 1, "{weights:?}: {counts:?}");
            }
        }
    }
}

#[test]
fn backends_that_are_left_out_are_apart() {
    // Each of the first two is left out of every fifth generation, but never of the same.
    let scheduler = scheduler(&[4.0, 4.0, 5.0]);
    let sequence = AtomicU64::new(0);
    let mut last = None;
    for _ in 0..1000 {
        let pick = scheduler.pick(&sequence);
        assert!(pick != Some(2) || last != pick);
        last = pick;
    }
}

/// For any weights, from anywhere, over any number of generations, a backend's picks differ from its
/// share by less than one.
#[test]
fn over_any_generations_each_backend_is_within_one_pick_of_its_share() {
    arbtest(|u| {
        let count = u.int_in_range(2..=12)?;
        let mut weights = Vec::new();
        for _ in 0..count {
            let weight: u16 = u.arbitrary()?;
            weights.push(f64::from(weight) + 0.5);
        }
        let scheduler = scheduler(&weights);
        let begin = u.int_in_range(0..=u64::from(u32::MAX))?;
        let length = u.int_in_range(1..=400)?;
        let counts = generations(&scheduler, count, begin, length);
        for (count, due) in counts.iter().zip(due(&weights)) {
            let share = due as f64 * length as f64 / CYCLE as f64;
            let rounding = 2.0 * length as f64 / CYCLE as f64;
            let off = (*count as f64 - share).abs();
            assert!(
                off < 1.0 + rounding,
                "{weights:?}: {off} in {length} from {begin}"
            );
        }
        Ok(())
    });
}

#[test]
fn many_who_pick_at_once_get_the_same_shares_together() {
    let scheduler = scheduler(&[1.0, 2.0, 3.0]);
    let sequence = AtomicU64::new(0);
    let counts: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut counts = vec![0; 3];
                    for _ in 0..1500 {
                        counts[scheduler.pick(&sequence).unwrap()] += 1;
                    }
                    counts
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let sum = |index: usize| counts.iter().map(|counts| counts[index]).sum::<u64>();
    // 6000 picks, and each thread may have been in the middle of one.
    for (index, expected) in [(0, 1000_u64), (1, 2000), (2, 3000)] {
        assert!(sum(index).abs_diff(expected) <= 4, "{counts:?}");
    }
}
