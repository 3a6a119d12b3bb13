//! Where entries are found by their id. It keeps none of them alive.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::channel::{Channel, Subchannel};
use super::server::Server;
use super::socket::Socket;

/// How many entries of one kind are listed, at most. One more lives and counts, but can't be found.
///
/// An entry belongs to a server, a channel or a connection that is there, so that there are as many
/// as of those. The limit is for programs that make channels without end.
pub const MAX_ENTRIES: usize = 16_384;

/// What a process has: ids, and what they stand for.
#[derive(Debug, Default)]
pub(super) struct Registry {
    newest: AtomicI64,
    pub(super) servers: Table<Server>,
    pub(super) channels: Table<Channel>,
    pub(super) subchannels: Table<Subchannel>,
    pub(super) sockets: Table<Socket>,
}

impl Registry {
    /// An id that was never used. One counter for all kinds: an id of one is never taken for
    /// another's.
    pub(super) fn next_id(&self) -> i64 {
        1 + self.newest.fetch_add(1, Ordering::Relaxed)
    }
}

/// Entries of one kind in the order of their ids.
pub(super) struct Table<T> {
    entries: Mutex<BTreeMap<i64, Weak<T>>>,
}

impl<T> Table<T> {
    pub(super) fn insert(&self, id: i64, entry: Weak<T>) {
        let mut entries = self.lock();
        if entries.len() < MAX_ENTRIES {
            entries.insert(id, entry);
        }
    }

    pub(super) fn remove(&self, id: i64) {
        self.lock().remove(&id);
    }

    pub(super) fn get(&self, id: i64) -> Option<Arc<T>> {
        let entry = self.lock().get(&id).cloned();
        entry?.upgrade()
    }

    /// No more than `limit` entries from the id `start` on, and whether there are no more after
    /// them.
    pub(super) fn page(&self, start: i64, limit: usize) -> (Vec<Arc<T>>, bool) {
        let after_start = |entries: MutexGuard<'_, BTreeMap<_, Weak<T>>>| -> Vec<_> {
            let entries = entries.range(start..).map(|(_, entry)| entry.clone());
            entries.take(limit.saturating_add(1)).collect()
        };
        let mut page = after_start(self.lock());
        let is_last = page.len() <= limit;
        page.truncate(limit);
        // Not under the lock: to drop the last handle of an entry takes it out of this table.
        (page.iter().filter_map(Weak::upgrade).collect(), is_last)
    }

    /// All entries.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        self.page(i64::MIN, MAX_ENTRIES).0
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, Weak<T>>> {
        // Nothing that holds the lock panics half-way through a change.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
        }
    }
}

impl<T> fmt::Debug for Table<T> {
    /// How many there are: an entry knows its table, and would be shown without end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries", self.lock().len())
    }
}
