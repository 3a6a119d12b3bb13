//! Counts how calls end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tonic::Code;

use crate::balance::{Call, CallEnd, Pick, Picked, Picker};
use crate::resolver::Address;

/// The counter of each backend, by each of its addresses.
pub(super) type Counters = Arc<HashMap<Address, Arc<Counter>>>;

/// How the calls to one backend have ended since somebody asked: gRFC A50, *Call Counter*.
#[derive(Debug, Default)]
pub(super) struct Counter {
    successes: AtomicU64,
    failures: AtomicU64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) successes: u64,
    pub(super) failures: u64,
}

impl Counter {
    fn count(&self, end: &CallEnd<'_>) {
        match end.code {
            Some(Code::Ok) => self.successes.fetch_add(1, Ordering::Relaxed),
            Some(_) => self.failures.fetch_add(1, Ordering::Relaxed),
            // The caller has lost interest, which isn't the backend's fault.
            None => 0,
        };
    }

    /// What was counted since the last time.
    pub(super) fn take(&self) -> Count {
        Count {
            successes: self.successes.swap(0, Ordering::Relaxed),
            failures: self.failures.swap(0, Ordering::Relaxed),
        }
    }
}

impl Count {
    pub(super) fn volume(self) -> u64 {
        self.successes.saturating_add(self.failures)
    }

    /// From 0 to 1. There was at least one call.
    pub(super) fn success_rate(self) -> f64 {
        self.successes as f64 / self.volume() as f64
    }
}

/// Has the child's picker choose, and counts.
pub(super) struct Counting {
    pub(super) picker: Arc<dyn Picker>,
    pub(super) counters: Counters,
}

impl Picker for Counting {
    fn pick(&self, call: &Call<'_>) -> Pick {
        let pick = self.picker.pick(call);
        let Pick::Use(picked) = pick else {
            return pick;
        };
        let Some(counter) = self.counters.get(picked.subchannel().address()) else {
            return Pick::Use(picked);
        };
        let counter = counter.clone();
        let (subchannel, on_end) = picked.into_parts();
        Pick::Use(Picked::new(subchannel).on_end(move |end| {
            counter.count(end);
            if let Some(tell) = on_end {
                tell(end);
            }
        }))
    }
}
