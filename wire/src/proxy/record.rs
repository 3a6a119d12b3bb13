//! What a tap has seen, as far back as it fits, and readers that follow it each at its own pace.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::decoder::Event;

/// How many events are kept for those who ask later.
pub(crate) const EVENTS_KEPT: usize = 65_536;

/// How much memory these events may take.
const BYTES_KEPT: usize = 32 * 1024 * 1024;

/// The events of a tap.
#[derive(Default)]
pub(crate) struct Record {
    kept: Mutex<Kept>,
    total: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    /// The number of the oldest event that is kept; those before it are lost.
    first: u64,
    weight: usize,
}

impl Record {
    pub fn push(&self, event: Event) {
        let mut kept = self.kept();
        kept.weight += event.weight();
        kept.events.push_back(Arc::new(event));
        while kept.events.len() > EVENTS_KEPT || kept.weight > BYTES_KEPT {
            let Some(oldest) = kept.events.pop_front() else {
                break;
            };
            kept.weight -= oldest.weight();
            kept.first += 1;
        }
        let total = kept.first + kept.events.len() as u64;
        drop(kept);
        // Another direction may have come in between; the number must not fall.
        self.total.send_if_modified(|seen| {
            let more = total > *seen;
            *seen = total.max(*seen);
            more
        });
    }

    /// What is kept, oldest first.
    pub fn events(&self) -> Vec<Arc<Event>> {
        self.kept().events.iter().cloned().collect()
    }

    /// How many events are no longer kept.
    pub fn lost(&self) -> u64 {
        self.kept().first
    }

    /// A reader, from the first event that is kept on.
    pub fn reader(self: &Arc<Self>) -> Events {
        Events {
            record: self.clone(),
            next: 0,
            total: self.total.subscribe(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // After a panic the record is short of an event, and no worse.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} events)", self.kept().events.len())
    }
}

/// A reader of what happens at a tap. Each reads at its own pace, and none slows down what is
/// passed on.
#[derive(Debug)]
pub struct Events {
    record: Arc<Record>,
    next: u64,
    total: watch::Receiver<u64>,
}

/// What a reader of events gets.
#[derive(Clone, Debug)]
pub enum Seen {
    /// The next event.
    Event(Arc<Event>),
    /// The reader was too slow, and this many events are gone.
    Missed(u64),
}

impl Events {
    /// Waits for the next event.
    pub async fn next(&mut self) -> Seen {
        loop {
            if let Some(seen) = self.try_next() {
                return seen;
            }
            self.changed().await;
        }
    }

    /// The next event, if it is there already.
    pub fn try_next(&mut self) -> Option<Seen> {
        let kept = self.record.kept();
        if let Some(missed) = kept.first.checked_sub(self.next)
            && missed > 0
        {
            self.next = kept.first;
            return Some(Seen::Missed(missed));
        }
        // What is kept fits into memory, so its number fits into `usize`.
        let event = kept.events.get((self.next - kept.first) as usize)?;
        self.next += 1;
        Some(Seen::Event(event.clone()))
    }

    /// Waits until there is a next event.
    pub async fn changed(&mut self) {
        let next = self.next;
        // The sender lives as long as this reader, which holds it.
        let _ = self.total.wait_for(|total| *total > next).await;
    }
}
