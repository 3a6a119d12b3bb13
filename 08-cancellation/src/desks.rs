//! Desks that a caller can close, so that whatever needs a clerk takes as long as the lesson needs.

use tokio::sync::watch;

/// The desks of both branches. Clones are the same desks.
#[derive(Debug, Clone)]
pub struct Desks(watch::Sender<bool>);

impl Default for Desks {
    /// Open desks.
    fn default() -> Self {
        Self(watch::Sender::new(true))
    }
}

impl Desks {
    /// Opens or closes the desks.
    pub fn set(&self, open: bool) {
        self.0.send_replace(open);
    }

    /// Waits until a clerk has time: while the desks are closed, for ever.
    pub async fn clerk(&self) {
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}
