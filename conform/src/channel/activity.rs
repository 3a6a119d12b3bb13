//! How many calls are open, and whether the channel takes more of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Added for each part of a call that is open.
const PART: usize = 2;
/// Added once the channel is closed.
const CLOSED: usize = 1;

/// What is open on a channel.
///
/// A call counts as one part until it has its response, and each of its attempts as one more until its
/// end: so there's always one while the call lives, and none needs to know of the others.
pub(super) struct Activity {
    open: AtomicUsize,
    begun: Instant,
    /// When there was nothing open any more, in milliseconds after `begun`.
    rested: AtomicU64,
    /// The channel was closed, or the last part of a closed one has ended.
    news: Notify,
}

/// A part of a call that is open.
pub(super) struct Open(Arc<Activity>);

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            begun: Instant::now(),
            rested: AtomicU64::new(0),
            news: Notify::new(),
        })
    }

    /// A call begins; `None` if the channel is closed.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Open> {
        let open = self.part();
        (!self.is_closed()).then_some(open)
    }

    /// A call that is open already goes on.
    pub(super) fn part(self: &Arc<Self>) -> Open {
        self.open.fetch_add(PART, Ordering::SeqCst);
        Open(self.clone())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.open.load(Ordering::SeqCst) & CLOSED != 0
    }

    /// No more calls from now on.
    pub(super) fn close(&self) {
        self.open.fetch_or(CLOSED, Ordering::SeqCst);
        self.news.notify_waiters();
    }

    /// Waits until the channel is closed.
    pub(super) async fn closed(&self) {
        self.wait_for(|open| open & CLOSED != 0).await;
    }

    /// Waits until the channel is closed and its last call has ended.
    pub(super) async fn drained(&self) {
        self.wait_for(|open| open == CLOSED).await;
    }

    async fn wait_for(&self, is_so: impl Fn(usize) -> bool) {
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if is_so(self.open.load(Ordering::SeqCst)) {
                return;
            }
            news.await;
        }
    }

    /// Since when there is no call; `None` while there is one.
    pub(super) fn resting_since(&self) -> Option<Instant> {
        if self.open.load(Ordering::SeqCst) >= PART {
            return None;
        }
        let rested = Duration::from_millis(self.rested.load(Ordering::SeqCst));
        Some(self.begun + rested)
    }

    /// As if a call had just ended.
    pub(super) fn touch(&self) {
        let rested = self.begun.elapsed().as_millis();
        let rested = u64::try_from(rested).unwrap_or(u64::MAX);
        self.rested.store(rested, Ordering::SeqCst);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let activity = &*self.0;
        let before = activity.open.fetch_sub(PART, Ordering::SeqCst);
        if before == PART {
            activity.touch();
        }
        if before == PART + CLOSED {
            activity.news.notify_waiters();
        }
    }
}
