//! How what a resolver has found reaches the channel, and how the channel asks for more.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tonic::Status;

use super::{Backend, Resolver};

/// What a resolver has found, or why it has found nothing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Update {
    /// All backends that there are now, in the resolver's order; or why it doesn't know. After an
    /// error the channel keeps those that it has. An empty list takes them away: calls fail then, with
    /// the built-in policies. Both make [`Updates::send`] give false.
    pub backends: Result<Vec<Backend>, Status>,
    /// The service config for these backends, as JSON; or why there should be one and isn't. `None`
    /// if the resolver has none to give: the channel's default is used then ([gRFC A21]).
    ///
    /// [gRFC A21]: https://github.com/grpc/proposal/blob/master/A21-service-config-error-handling.md
    pub service_config: Option<Result<String, Status>>,
}

impl Update {
    /// These are all backends that there are now.
    pub fn new(backends: impl IntoIterator<Item = Backend>) -> Self {
        Self {
            backends: Ok(backends.into_iter().collect()),
            service_config: None,
        }
    }

    /// The backends couldn't be found out. The status is that of calls which fail because of it:
    /// UNAVAILABLE, unless there's a better one.
    pub fn failed(status: Status) -> Self {
        Self {
            backends: Err(status),
            service_config: None,
        }
    }

    /// With this service config, which is JSON.
    pub fn config(mut self, json: impl Into<String>) -> Self {
        self.service_config = Some(Ok(json.into()));
        self
    }

    /// With the news that the service config couldn't be found out. The channel treats it as it
    /// treats one that is invalid.
    pub fn config_failed(mut self, status: Status) -> Self {
        self.service_config = Some(Err(status));
        self
    }
}

/// The resolver's end: takes updates, and tells when a fresh answer is wanted.
#[derive(Debug)]
pub struct Updates(Arc<Shared>);

/// The channel's end: gives updates, and asks for fresh answers.
///
/// Made by [`spawn`](Self::spawn), it ends the resolver when it is dropped.
#[derive(Debug)]
pub struct UpdatesReceiver {
    shared: Arc<Shared>,
    resolver: Option<AbortHandle>,
    /// Whether there was an update.
    has_heard: bool,
}

/// An update on its way to the channel.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// What the resolver says.
    pub update: Update,
    /// Where to tell whether it could be used.
    pub verdict: Verdict,
}

/// The channel's answer to an update. Dropped without one, it says that the update couldn't be
/// used, so that the resolver tries again.
#[derive(Debug)]
pub struct Verdict(oneshot::Sender<bool>);

impl Verdict {
    /// Tells the resolver whether the update could be used: whether it was no error, had a backend,
    /// and its service config wasn't refused.
    pub fn give(self, usable: bool) {
        // A resolver that doesn't wait for it doesn't need it.
        let _ = self.0.send(usable);
    }
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    /// There's something new in the slot.
    news: Notify,
    /// A fresh answer is wanted.
    asked: Notify,
}

#[derive(Debug, Default)]
struct Slot {
    newest: Option<Delivery>,
    /// One of the two ends is gone.
    is_closed: bool,
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Updates {
    /// Both ends of a connection between a resolver and a channel.
    pub fn pair() -> (Self, UpdatesReceiver) {
        let shared = Arc::new(Shared::default());
        let receiver = UpdatesReceiver {
            shared: shared.clone(),
            resolver: None,
            has_heard: false,
        };
        (Self(shared), receiver)
    }

    /// Hands an update to the channel, and waits for what the channel says of it.
    ///
    /// False if the channel couldn't use it, or is gone: then the resolver should try again, after
    /// a wait that grows with each such answer. An update that the channel hasn't looked at yet is
    /// dropped when the next one comes, and whoever waits for word of it gets true: there's no need
    /// to try again. Who doesn't care for the answer may drop the future once it was polled.
    pub async fn send(&self, update: Update) -> bool {
        let (verdict, answer) = oneshot::channel();
        let verdict = Verdict(verdict);
        let older = {
            let mut slot = self.0.slot();
            if slot.is_closed {
                return false;
            }
            slot.newest.replace(Delivery { update, verdict })
        };
        if let Some(older) = older {
            older.verdict.give(true);
        }
        self.0.news.notify_one();
        answer.await.unwrap_or(false)
    }

    /// Waits until a fresh answer is wanted: mostly because a connection was lost, or couldn't be
    /// made.
    ///
    /// Any number of requests since the last time count as one. It's up to the resolver how often
    /// it looks again; no promise is made to those who ask. Dropping the future loses no request, so
    /// it may stand in a `select!`.
    pub async fn asked(&self) {
        self.0.asked.notified().await;
    }
}

impl Drop for Updates {
    fn drop(&mut self) {
        self.0.slot().is_closed = true;
        self.0.news.notify_one();
    }
}

impl UpdatesReceiver {
    /// Runs `resolver` in a task of its own, which ends with what is returned.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn(resolver: Box<dyn Resolver>) -> Self {
        let (updates, mut receiver) = Updates::pair();
        let run = async move {
            // The panic has been reported; the channel hears of it by the end of the updates.
            let _ = AssertUnwindSafe(async { resolver.run(updates).await })
                .catch_unwind()
                .await;
        };
        receiver.resolver = Some(tokio::spawn(run).abort_handle());
        receiver
    }

    /// Waits for the next update, and gives the newest.
    ///
    /// `None` once the resolver has ended: what it said last holds on. One that ends without a
    /// word, or panics before its first, is heard with one error. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            let news = {
                let mut slot = self.shared.slot();
                (slot.newest.take(), slot.is_closed)
            };
            match news {
                (Some(delivery), _) => {
                    self.has_heard = true;
                    return Some(delivery);
                }
                (None, true) if self.has_heard => return None,
                (None, true) => {
                    self.has_heard = true;
                    let status = Status::unavailable("the resolver has ended and found nothing");
                    return Some(Delivery {
                        update: Update::failed(status),
                        verdict: Verdict(oneshot::channel().0),
                    });
                }
                (None, false) => self.shared.news.notified().await,
            }
        }
    }

    /// Asks the resolver for a fresh answer. Requests that it hasn't heard yet count as one.
    pub fn ask(&self) {
        self.shared.asked.notify_one();
    }
}

impl Drop for UpdatesReceiver {
    fn drop(&mut self) {
        let undelivered = {
            let mut slot = self.shared.slot();
            slot.is_closed = true;
            slot.newest.take()
        };
        // Outside of the lock: its attributes are the user's, and what they do when they are
        // dropped too.
        drop(undelivered);
        if let Some(resolver) = &self.resolver {
            resolver.abort();
        }
    }
}
