//! How long a client waits between two attempts.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How long after the first failed attempt the second begins: 1 s.
pub const INITIAL_BACKOFF: Duration = Duration::from_secs(1);

/// How many times longer each wait is than the one before: 1.6.
pub const BACKOFF_MULTIPLIER: f64 = 1.6;

/// The longest wait, before jitter: 120 s.
pub const MAX_BACKOFF: Duration = Duration::from_secs(120);

/// Each wait is longer or shorter by up to this part of it, so that clients which failed together
/// don't come back together: 0.2.
pub const BACKOFF_JITTER: f64 = 0.2;

/// The waits of the connection backoff protocol.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        let next = INITIAL_BACKOFF;
        Self { next }
    }

    /// The next wait, counted from the beginning of the attempt that failed.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.mul_f64(BACKOFF_MULTIPLIER).min(MAX_BACKOFF);
        jittered(wait)
    }
}

/// `wait`, give or take [`BACKOFF_JITTER`].
pub(super) fn jittered(wait: Duration) -> Duration {
    // The standard library's only source of chance: each `RandomState` has keys of its own.
    let chance = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
    wait.mul_f64(1.0 + BACKOFF_JITTER * (2.0 * chance - 1.0))
}
