//! A database, as far as this lesson needs one: it knows square roots, and one question kills it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tonic::Status;
use unary::square_root;

/// Asked for its root, the database crashes.
pub const DEADLY: f64 = 13.0;

/// How long it takes to start again.
pub const RESTART: Duration = Duration::from_secs(4);

/// The connection to a database.
#[derive(Clone, Debug)]
pub struct Database {
    is_there: watch::Sender<bool>,
}

impl Database {
    /// A database that is there.
    pub fn start() -> Self {
        let is_there = watch::Sender::new(true);
        Self { is_there }
    }

    /// Whether it's there, now and after each change.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.is_there.subscribe()
    }

    /// The square root of `value`.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE if the database isn't there; INVALID_ARGUMENT if there is no real root.
    pub fn square_root(&self, value: f64) -> Result<f64, Status> {
        if value == DEADLY && self.is_there.send_replace(false) {
            let is_there = self.is_there.clone();
            tokio::spawn(async move {
                sleep(RESTART).await;
                is_there.send_replace(true);
            });
        }
        if !*self.is_there.borrow() {
            return Err(Status::unavailable("the database is gone"));
        }
        square_root(value)
    }
}
