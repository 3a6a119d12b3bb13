//! How long a client waits between two attempts to connect: the [connection backoff protocol].
//!
//! [connection backoff protocol]: https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md

use std::time::Duration;

use fastrand::Rng;

/// How long after the first failed attempt the second begins: 1 s.
pub const INITIAL_BACKOFF: Duration = Duration::from_secs(1);

/// How many times longer each wait is than the one before: 1.6.
pub const BACKOFF_MULTIPLIER: f64 = 1.6;

/// The longest wait, before jitter: 120 s.
pub const MAX_BACKOFF: Duration = Duration::from_secs(120);

/// Each wait is longer or shorter by up to this part of it, so that clients which failed together
/// don't come back together: 0.2.
pub const BACKOFF_JITTER: f64 = 0.2;

/// How long an attempt to connect may take at least: 20 s. If the wait until the next attempt is
/// longer, it may take that long.
#[allow(dead_code, reason = "a resolver has a time limit of its own")]
pub(crate) const MIN_CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// The waits between attempts that fail, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    next: Duration,
    chance: Rng,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self::with_chance(Rng::new())
    }

    /// Takes its jitter from `chance`, for tests that want the same each time.
    pub(crate) fn with_chance(chance: Rng) -> Self {
        let next = INITIAL_BACKOFF;
        Self { next, chance }
    }

    /// The next wait, counted from the beginning of the attempt that failed.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.mul_f64(BACKOFF_MULTIPLIER).min(MAX_BACKOFF);
        jittered(wait, &mut self.chance)
    }

    /// Begins again with [`INITIAL_BACKOFF`], after an attempt that succeeded.
    pub(crate) fn reset(&mut self) {
        self.next = INITIAL_BACKOFF;
    }
}

/// `wait`, give or take [`BACKOFF_JITTER`].
pub(crate) fn jittered(wait: Duration, chance: &mut Rng) -> Duration {
    wait.mul_f64(1.0 + BACKOFF_JITTER * (2.0 * chance.f64() - 1.0))
}

#[cfg(test)]
mod tests;
