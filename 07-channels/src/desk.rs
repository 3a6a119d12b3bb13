//! Counts the calls that are being worked on, and how many there were at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

/// Where the calls lie that are being worked on.
#[derive(Debug)]
pub struct Desk {
    journal: UnboundedSender<String>,
    calls: Mutex<Calls>,
}

/// What happened since the desk was last empty.
#[derive(Debug, Default)]
struct Calls {
    now: usize,
    most: usize,
    begun: usize,
}

impl Desk {
    /// An empty desk. Whenever it gets empty again, it writes a line to `journal`.
    pub fn new(journal: UnboundedSender<String>) -> Self {
        Self {
            journal,
            calls: Mutex::default(),
        }
    }

    /// Puts a call on the desk. It lies there until what is returned is dropped.
    pub fn begin(&self) -> Call<'_> {
        let mut calls = self.calls();
        calls.now += 1;
        calls.begun += 1;
        calls.most = calls.most.max(calls.now);
        Call(self)
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call on a [`Desk`].
#[derive(Debug)]
pub struct Call<'a>(&'a Desk);

impl Drop for Call<'_> {
    /// Takes the call off the desk, however it ended: answered, refused, or cancelled.
    fn drop(&mut self) {
        let mut calls = self.0.calls();
        calls.now -= 1;
        if calls.now == 0 {
            let Calls { most, begun, .. } = std::mem::take(&mut *calls);
            let line = match begun {
                1 => "1 call".to_owned(),
                _ => format!("{begun} calls, at most {most} at once"),
            };
            let _ = self.0.journal.send(line);
        }
    }
}
