//! The journal's entry for one upload: whoever leaves without closing it has broken off.

use tokio::sync::mpsc::UnboundedSender;

/// An open entry. Dropped as it is, it writes `an upload broke off`.
///
/// A handler ends early in two ways: with an error, or dropped at an `.await` because its call is over.
/// Only a drop happens in both.
#[derive(Debug)]
pub struct Entry {
    journal: UnboundedSender<String>,
    line: Option<String>,
}

impl Entry {
    /// Opens an entry for an upload that begins.
    pub fn open(journal: UnboundedSender<String>) -> Self {
        Self {
            journal,
            line: Some("an upload broke off".to_owned()),
        }
    }

    /// Closes the entry with `line`: the upload was read to its end.
    pub fn finished(mut self, line: String) {
        self.line = Some(line);
    }

    /// Closes the entry without a line: the upload was refused, and the client is told why.
    pub fn refused(mut self) {
        self.line = None;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            // An error here means that nobody keeps a journal.
            let _ = self.journal.send(line);
        }
    }
}
