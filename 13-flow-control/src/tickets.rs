//! One ticket for each open download, to ask how far it is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tonic::Status;

/// The tickets of all open downloads. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tickets(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    last: u64,
    counts: HashMap<u64, Arc<AtomicU64>>,
}

impl Tickets {
    /// Issues the next ticket, for a download that begins at byte `offset`.
    pub fn issue(&self, offset: u64) -> Counterfoil {
        let count = Arc::new(AtomicU64::new(offset));
        let mut open = self.open();
        open.last += 1;
        let number = open.last;
        open.counts.insert(number, count.clone());
        Counterfoil {
            tickets: self.clone(),
            number,
            count,
        }
    }

    /// How many bytes of its file a download has handed over.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if the download is over, or never began.
    pub fn look_up(&self, number: u64) -> Result<u64, Status> {
        self.open()
            .counts
            .get(&number)
            .map(|count| count.load(Ordering::SeqCst))
            .ok_or_else(|| Status::not_found("there is no such download now"))
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server's half of a ticket. When it is dropped, the download is over.
#[derive(Debug)]
pub struct Counterfoil {
    tickets: Tickets,
    number: u64,
    count: Arc<AtomicU64>,
}

impl Counterfoil {
    /// What the client asks with.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where to count the bytes that are handed over.
    pub fn count(&self) -> Arc<AtomicU64> {
        self.count.clone()
    }
}

impl Drop for Counterfoil {
    fn drop(&mut self) {
        self.tickets.open().counts.remove(&self.number);
    }
}
