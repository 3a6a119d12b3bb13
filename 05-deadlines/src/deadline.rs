//! A point in time by which a call must be over.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Request, Status};

/// A point in time by which a call must be over.
///
/// What travels is a timeout, the time that is left; two machines' clocks need not agree. See the gRPC
/// guide "Deadlines".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `timeout` from now; `None` if that is further away than a clock can count.
    pub fn after(timeout: Duration) -> Option<Self> {
        Instant::now().checked_add(timeout).map(Self)
    }

    /// The deadline of the call that `request` belongs to, as the server's layer has set it.
    pub fn of<T>(request: &Request<T>) -> Option<Self> {
        request.extensions().get().copied()
    }

    /// How much time is left; zero once the deadline has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Gives a call that this call depends on the time that is left.
    pub fn pass_on<T>(self, request: &mut Request<T>) {
        request.set_timeout(self.remaining());
    }

    pub(crate) fn instant(self) -> Instant {
        self.0
    }
}

/// How a call ends whose deadline has passed.
pub(crate) fn exceeded() -> Status {
    Status::deadline_exceeded("the deadline has passed")
}

/// The time that is left in words, rounded up to half a second so that every run says the same.
pub(crate) fn at_most(deadline: Option<Deadline>) -> String {
    match deadline {
        None => "no limit".to_owned(),
        Some(deadline) => {
            let halves = (deadline.remaining().as_secs_f64() * 2.0).ceil();
            format!("at most {} s", halves / 2.0)
        }
    }
}
