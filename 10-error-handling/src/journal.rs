//! The office's journal: what callers must not read and operators must be able to find.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::UnboundedSender;

/// Where lines are written. Clones write to the same journal.
#[derive(Debug, Clone)]
pub struct Journal {
    lines: UnboundedSender<String>,
    incidents: Arc<AtomicU64>,
}

impl Journal {
    /// Begins a journal, with no incidents so far.
    pub fn new(lines: UnboundedSender<String>) -> Self {
        Self {
            lines,
            incidents: Arc::default(),
        }
    }

    /// Writes one line. A line break in what others have written does not begin a line of its own, which
    /// would let them write the journal.
    pub fn note(&self, what: impl Display) {
        let line = what.to_string().replace(char::is_control, " ");
        // An error here means that nobody keeps a journal.
        let _ = self.lines.send(line);
    }

    /// Writes about something that went wrong here; returns the name under which it can be found.
    pub fn incident(&self, what: impl Display) -> String {
        let number = self.incidents.fetch_add(1, Ordering::Relaxed) + 1;
        self.note(format!("incident {number}: {what}"));
        format!("incident {number}")
    }
}
