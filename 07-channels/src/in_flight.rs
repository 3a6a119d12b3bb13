//! Counts the calls that are being worked on, and how many there were at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::Sender;

/// The calls that are being worked on.
#[derive(Debug)]
pub struct InFlight {
    log: Sender<String>,
    calls: Mutex<Calls>,
}

/// What has happened since there was last no call.
#[derive(Debug, Default)]
struct Calls {
    now: usize,
    most: usize,
    begun: usize,
}

impl InFlight {
    /// No calls yet. Whenever the last one ends, a line goes to `log`.
    pub fn new(log: Sender<String>) -> Self {
        let calls = Mutex::default();
        Self { log, calls }
    }

    /// Counts a call until the guard is dropped.
    pub fn begin(&self) -> Guard<'_> {
        let mut calls = self.calls();
        calls.now += 1;
        calls.begun += 1;
        calls.most = calls.most.max(calls.now);
        Guard(self)
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        // Nothing that holds the lock panics, so the numbers are right.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call in flight.
#[derive(Debug)]
pub struct Guard<'a>(&'a InFlight);

impl Drop for Guard<'_> {
    /// However the call ended: answered, refused, or cancelled.
    fn drop(&mut self) {
        let mut calls = self.0.calls();
        calls.now -= 1;
        if calls.now == 0 {
            let Calls { most, begun, .. } = std::mem::take(&mut *calls);
            let line = match begun {
                1 => "1 call".to_owned(),
                _ => format!("{begun} calls, at most {most} at once"),
            };
            let _ = self.0.log.try_send(line);
        }
    }
}
