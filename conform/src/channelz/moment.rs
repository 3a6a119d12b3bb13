//! A time that many threads may set.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

const SECOND: i64 = 1_000_000_000;

/// When something last happened, in nanoseconds since 1970; 0 for never.
#[derive(Debug, Default)]
pub(super) struct Moment(AtomicI64);

impl Moment {
    /// Now.
    pub(super) fn now() -> Self {
        let moment = Self::default();
        moment.set();
        moment
    }

    /// It has just happened.
    pub(super) fn set(&self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = since.map_or(0, |since| since.as_nanos());
        self.0
            .store(i64::try_from(nanos).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    pub(super) fn timestamp(&self) -> Option<Timestamp> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Timestamp {
                seconds: nanos / SECOND,
                nanos: (nanos % SECOND) as i32,
            }),
        }
    }
}
