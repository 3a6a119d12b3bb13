//! Which backend is next, in proportion to their weights: the *static stride scheduler*.
//!
//! gRFC A58 asks for a scheduler that is cheap to make, and that many calls can use at once; it names
//! *earliest deadline first*. gRPC's implementations in C++, Go and Java have come to this one, which
//! needs one counter and no queue: [static_stride_scheduler.cc].
//!
//! The counter goes through the backends in turn, again and again; each pass is a *generation*. A
//! backend whose weight is half of the greatest is left out in every other generation, at offsets that
//! keep those which are left out apart.
//!
//! [static_stride_scheduler.cc]: https://github.com/grpc/grpc/blob/master/src/core/load_balancing/weighted_round_robin/static_stride_scheduler.cc

use std::sync::atomic::{AtomicU64, Ordering};

/// The greatest weight, after scaling.
const GREATEST: u16 = u16::MAX;

/// A weight counts for this many times the mean at most: it bounds how many backends a pick has to
/// leave out, ten on average, and how much one backend can claim.
const MAX_RATIO: f64 = 10.0;

/// A weight counts for this part of the mean at least: nobody is left out for good.
const MIN_RATIO: f64 = 0.01;

/// Picks backends by their weights. It is made anew when weights change; the counter stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduler {
    backends: u64,
    /// One for each backend, the greatest [`GREATEST`]; or none, for round robin.
    weights: Vec<u16>,
}

impl Scheduler {
    /// For backends of these weights. One without a weight, or with one that isn't a positive number,
    /// gets the mean of the others. If fewer than two have weights, it is round robin.
    pub fn new(weights: &[Option<f64>]) -> Self {
        let backends = weights.len() as u64;
        let known = |weight: &Option<f64>| weight.filter(|it| *it > 0.0 && it.is_finite());
        let greatest = weights.iter().filter_map(known).fold(0.0, f64::max);
        let count = weights.iter().filter_map(known).count();
        if count < 2 {
            let weights = Vec::new();
            return Self { backends, weights };
        }
        // As parts of the greatest, so that no sum is too large to be a number.
        let parts = || weights.iter().map(|it| known(it).map(|it| it / greatest));
        let mean = parts().flatten().sum::<f64>() / count as f64;
        let cap = f64::min(1.0, MAX_RATIO * mean);
        let scaled = |part: f64| (part / cap * f64::from(GREATEST)).round() as u16;
        let mean = scaled(mean);
        let least = ((f64::from(mean) * MIN_RATIO).round() as u16).max(1);
        let weight = |part: Option<f64>| part.map_or(mean, |it| scaled(it.min(cap)).max(least));
        let weights = parts().map(weight).collect();
        Self { backends, weights }
    }

    /// Whether the weights are used, and it isn't round robin.
    pub fn is_weighted(&self) -> bool {
        !self.weights.is_empty()
    }

    /// The index of the next backend, or `None` if there is no backend at all.
    ///
    /// `sequence` counts on. It may begin anywhere, and be shared by all who pick.
    pub fn pick(&self, sequence: &AtomicU64) -> Option<usize> {
        if self.backends == 0 {
            return None;
        }
        // It ends: the backend of the greatest weight is never left out.
        loop {
            let number = sequence.fetch_add(1, Ordering::Relaxed);
            let (generation, index) = (number / self.backends, number % self.backends);
            if !self.leaves_out(index, generation) {
                return Some(index as usize);
            }
        }
    }

    fn leaves_out(&self, index: u64, generation: u64) -> bool {
        let Some(weight) = self.weights.get(index as usize) else {
            return false;
        };
        let (weight, greatest) = (u64::from(*weight), u64::from(GREATEST));
        // Whole turns of the generation add nothing, and could grow too large.
        let position = weight * (generation % greatest) + index * (greatest / 2);
        position % greatest < greatest - weight
    }
}
