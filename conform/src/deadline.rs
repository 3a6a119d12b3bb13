//! A call ends when its deadline passes, with DEADLINE_EXCEEDED, on both sides.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Request, Status};

mod body;
mod client;
mod server;
mod timeout;

pub use self::client::{ClientDeadline, ClientDeadlineLayer, ClientResponseFuture};
pub use self::server::{ServerDeadline, ServerDeadlineLayer, ServerResponseFuture};
pub use self::timeout::parse_timeout;

#[cfg(test)]
mod tests;

/// A point in time by which a call must be over.
///
/// What travels is a timeout, the time that is left, so two machines' clocks need not agree. Each
/// side counts from the moment at which it began the call or received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `timeout` from now; `None` if that is further away than the clock can count.
    pub fn after(timeout: Duration) -> Option<Self> {
        Instant::now().checked_add(timeout).map(Self)
    }

    /// The deadline of the call that `request` belongs to, as [`ServerDeadlineLayer`] has set it.
    ///
    /// `None` if the caller set no deadline and the layer has no limit, or if there is no layer.
    pub fn of<T>(request: &Request<T>) -> Option<Self> {
        request.extensions().get().copied()
    }

    /// How much time is left; zero once the deadline has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether there is no time left.
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// Gives a call that this call depends on the time that is left.
    ///
    /// Replaces a timeout that `request` already has.
    pub fn pass_on<T>(self, request: &mut Request<T>) {
        request.set_timeout(self.remaining().min(timeout::LONGEST));
    }

    fn instant(self) -> Instant {
        self.0
    }

    /// Whether the deadline has passed or will within a millisecond, the precision of tokio's timer.
    fn is_due(self) -> bool {
        self.remaining() <= Duration::from_millis(1)
    }
}

/// How a call ends whose deadline has passed.
fn exceeded() -> Status {
    Status::deadline_exceeded("the deadline has passed")
}
