//! The bank's journal: what becomes of each piece of work, also of work that is dropped.

use futures::stream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc::UnboundedSender};
use tonic::Status;
use tonic::codegen::BoxStream;

use crate::bank::Line;

/// How many lines a reader may be behind.
const LINES: usize = 256;

/// A journal that is printed, and that callers can follow. Clones write to the same journal.
#[derive(Debug, Clone)]
pub struct Journal {
    printer: UnboundedSender<String>,
    readers: broadcast::Sender<String>,
}

impl Journal {
    /// A journal whose lines go to `printer`.
    pub fn new(printer: UnboundedSender<String>) -> Self {
        Self {
            printer,
            readers: broadcast::Sender::new(LINES),
        }
    }

    /// Writes a line.
    pub fn write(&self, line: String) {
        // Errors here mean that nobody prints the journal, or that nobody follows it.
        let _ = self.printer.send(line.clone());
        let _ = self.readers.send(line);
    }

    /// Every line from now on. Ends with RESOURCE_EXHAUSTED for a reader who falls too far behind.
    pub fn follow(&self) -> BoxStream<Line> {
        let lines = self.readers.subscribe();
        // It is part of the stream, so it is dropped when the stream is.
        let mut entry = Entry::new(self, "north: a reader of the journal".to_owned());
        entry.becomes("gone");
        Box::pin(stream::unfold((lines, entry), |(mut lines, entry)| async {
            let line = match lines.recv().await {
                Ok(text) => Ok(Line { text }),
                Err(RecvError::Lagged(missed)) => Err(Status::resource_exhausted(format!(
                    "you read too slowly, and missed {missed} lines"
                ))),
                Err(RecvError::Closed) => return None,
            };
            Some((line, (lines, entry)))
        }))
    }
}

/// The line for one piece of work. It is written when the entry is dropped: also at an `.await` that the
/// work never comes back from.
#[derive(Debug)]
pub struct Entry {
    journal: Journal,
    work: String,
    outcome: Option<&'static str>,
}

impl Entry {
    /// An entry for `work`. Until it is told otherwise, the work was stopped.
    pub fn new(journal: &Journal, work: String) -> Self {
        Self {
            journal: journal.clone(),
            work,
            outcome: Some("stopped"),
        }
    }

    /// As `new`, and writes a line at once to say that the work begins.
    pub fn begin(journal: &Journal, work: String) -> Self {
        journal.write(format!("{work}: begins"));
        Self::new(journal, work)
    }

    /// If nothing else happens, this is what became of the work.
    pub fn becomes(&mut self, outcome: &'static str) {
        self.outcome = Some(outcome);
    }

    /// There is nothing to say.
    pub fn cross_out(mut self) {
        self.outcome = None;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome {
            self.journal.write(format!("{}: {outcome}", self.work));
        }
    }
}
