//! The office's log: what callers must not read, and operators must be able to find.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conform::status::escape;
use tokio::sync::mpsc::Sender;

/// A log. Clones write to the same one.
#[derive(Clone, Debug)]
pub struct Log {
    lines: Sender<String>,
    incidents: Arc<AtomicU64>,
}

impl Log {
    /// A log without incidents so far.
    pub fn new(lines: Sender<String>) -> Self {
        let incidents = Arc::default();
        Self { lines, incidents }
    }

    /// Writes one line, whatever others have put into it. If nobody reads the log, it is lost.
    pub fn write(&self, line: impl Display) {
        let _ = self.lines.try_send(escape(&line.to_string()));
    }

    /// Writes about something that went wrong here, and returns the name under which it is found.
    pub fn incident(&self, what: impl Display) -> String {
        let number = self.incidents.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("incident {number}");
        self.write(format!("{name}: {what}"));
        name
    }
}
