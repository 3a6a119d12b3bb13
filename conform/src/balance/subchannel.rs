//! One connection, or the wish for one.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::FutureExt;
use tokio::sync::Notify;
use tonic::Status;
use tonic::transport::Channel;

use super::line::Line;
use crate::connectivity::State;
use crate::resolver::Address;

/// Where a subchannel stands.
#[derive(Clone, Debug)]
pub enum SubchannelState {
    /// No connection. [`Subchannel::connect`] changes that.
    Idle,
    /// A connection is being made, or its backend hasn't said yet how it does.
    Connecting,
    /// There is a connection that takes calls.
    Ready,
    /// Connecting has failed, with this: after the backoff it's IDLE again. Or the backend is ill: then
    /// it's READY again once it's well.
    TransientFailure(Status),
}

impl SubchannelState {
    /// Without the reason.
    pub fn state(&self) -> State {
        match self {
            Self::Idle => State::Idle,
            Self::Connecting => State::Connecting,
            Self::Ready => State::Ready,
            Self::TransientFailure(_) => State::TransientFailure,
        }
    }
}

/// A handle of a connection to one address, which is made when a policy asks for it, and not made
/// again before the policy asks again.
///
/// Clones are the same subchannel. When the last one is dropped, so is the connection, once its
/// running calls have ended.
#[derive(Clone)]
pub struct Subchannel {
    shared: Arc<Shared>,
    /// What makes the connections. It ends with the last handle.
    _task: Arc<dyn Any + Send + Sync>,
}

/// What the handles and the task share.
pub(crate) struct Shared {
    id: u64,
    address: Address,
    wanted: Notify,
    connection: Mutex<Option<Slot>>,
    /// A call has found that its connection takes no more calls.
    refused: Notify,
    /// The number of the newest connection over which a call was answered.
    answered: AtomicU64,
    /// Who tells of it.
    #[cfg(all(feature = "channel", feature = "channelz"))]
    entry: std::sync::OnceLock<crate::channelz::SubchannelEntry>,
}

/// An established connection.
#[derive(Clone)]
#[cfg_attr(not(feature = "channel"), allow(dead_code))]
pub(crate) struct Connection {
    pub(crate) number: u64,
    pub(crate) channel: Channel,
    pub(crate) line: Arc<Line>,
}

#[cfg(test)]
impl Connection {
    /// One that nothing closes.
    pub(crate) fn open(number: u64, channel: Channel) -> Self {
        let (line, _) = Line::new();
        Self {
            number,
            channel,
            line,
        }
    }
}

/// The connection of a subchannel.
struct Slot {
    connection: Connection,
    /// Clones of its channel that no call has. Making one allocates twice.
    idle: Vec<Channel>,
}

/// How many of them are kept. A call has one for no longer than it waits for a place in its queue.
#[cfg_attr(not(feature = "channel"), allow(dead_code))]
const MOST_IDLE: usize = 16;

impl Subchannel {
    /// A subchannel whose connections `task` makes.
    pub(crate) fn new<T: Send + Sync + 'static>(
        id: u64,
        address: Address,
        task: impl FnOnce(&Arc<Shared>) -> T,
    ) -> Self {
        let shared = Arc::new(Shared {
            id,
            address,
            wanted: Notify::new(),
            connection: Mutex::new(None),
            refused: Notify::new(),
            answered: AtomicU64::new(0),
            #[cfg(all(feature = "channel", feature = "channelz"))]
            entry: std::sync::OnceLock::new(),
        });
        let _task = Arc::new(task(&shared));
        Self { shared, _task }
    }

    /// Which one it is among those of its channel.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Where it connects to.
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// Begins to connect, if it's IDLE.
    pub fn connect(&self) {
        self.shared.wanted.notify_one();
    }

    /// Its connection, for calls of one's own: to ask a backend how it does, for example. `None` while
    /// it isn't READY, and in a [`FakeChannel`](super::testing::FakeChannel).
    ///
    /// It's this one connection and never another, with the channel's TLS and authority, and nothing
    /// else of the channel: no deadline, no retries, and tonic's own codes, so put
    /// [`ClientStatusLayer`](crate::status::ClientStatusLayer) around it. A call that is begun once the
    /// connection is lost ends with an error that [`never_sent`](crate::status::never_sent) knows.
    ///
    /// Let go of it when the subchannel isn't READY any more: a second after the last of the channel's
    /// calls the connection ends, and with it what still runs here.
    pub fn channel(&self) -> Option<Channel> {
        let slot = self.shared.slot();
        slot.as_ref().map(|slot| slot.connection.channel.clone())
    }

    /// The connection, if there is one that takes calls.
    #[cfg_attr(not(feature = "channel"), allow(dead_code))]
    pub(crate) fn connection(&self) -> Option<Connection> {
        let slot = self.shared.slot();
        slot.as_ref().map(|slot| slot.connection.clone())
    }

    /// The same for one call, which gives it back when it has used it.
    #[cfg_attr(not(feature = "channel"), allow(dead_code))]
    pub(crate) fn lend(&self) -> Option<Connection> {
        let mut slot = self.shared.slot();
        let Slot { connection, idle } = slot.as_mut()?;
        let number = connection.number;
        let channel = idle.pop().unwrap_or_else(|| connection.channel.clone());
        let line = connection.line.clone();
        Some(Connection {
            number,
            channel,
            line,
        })
    }

    /// What knows the connection, without keeping the subchannel.
    #[cfg_attr(not(feature = "channel"), allow(dead_code))]
    pub(crate) fn into_shared(self) -> Arc<Shared> {
        self.shared
    }

    /// Whether a connection was asked for since the last question.
    pub(super) fn take_wanted(&self) -> bool {
        self.shared.wanted.notified().now_or_never().is_some()
    }

    /// A call was answered over the connection with this number.
    #[cfg(all(test, feature = "channel"))]
    pub(crate) fn answered(&self, number: u64) {
        self.shared.answered(number);
    }

    /// Loses the connection with this number.
    #[cfg(all(test, feature = "channel"))]
    pub(crate) fn lose(&self, number: u64) {
        self.shared.gone(number);
    }

    /// What knows the subchannel without keeping it.
    pub(crate) fn downgrade(&self) -> WeakSubchannel {
        WeakSubchannel {
            shared: Arc::downgrade(&self.shared),
            task: Arc::downgrade(&self._task),
        }
    }
}

/// A subchannel, as long as somebody else keeps it.
pub(crate) struct WeakSubchannel {
    shared: Weak<Shared>,
    task: Weak<dyn Any + Send + Sync>,
}

impl WeakSubchannel {
    pub(crate) fn upgrade(&self) -> Option<Subchannel> {
        Some(Subchannel {
            shared: self.shared.upgrade()?,
            _task: self.task.upgrade()?,
        })
    }
}

/// The same subchannel.
impl PartialEq for Subchannel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Subchannel {}

impl fmt::Debug for Subchannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subchannel")
            .field("id", &self.shared.id)
            .field("address", &self.shared.address)
            .finish_non_exhaustive()
    }
}

#[cfg_attr(not(feature = "channel"), allow(dead_code))]
impl Shared {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Has `entry` tell of it from now on.
    #[cfg(all(feature = "channel", feature = "channelz"))]
    pub(crate) fn show(&self, entry: crate::channelz::SubchannelEntry) {
        let _ = self.entry.set(entry);
    }

    #[cfg(all(feature = "channel", feature = "channelz"))]
    pub(crate) fn entry(&self) -> Option<&crate::channelz::SubchannelEntry> {
        self.entry.get()
    }

    /// Waits until somebody wants a connection. What was wanted before doesn't count.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Overlooks what was wanted so far.
    pub(crate) fn want_nothing(&self) {
        let _ = self.wanted.notified().now_or_never();
    }

    pub(crate) fn connected(&self, connection: Connection) {
        let mut slot = self.slot();
        // What was said of the one before.
        let _ = self.refused.notified().now_or_never();
        let idle = Vec::new();
        *slot = Some(Slot { connection, idle });
    }

    /// What was lent, of the connection with this number.
    pub(crate) fn give_back(&self, number: u64, channel: Channel) {
        let mut slot = self.slot();
        let slot = slot
            .as_mut()
            .filter(|slot| slot.connection.number == number);
        if let Some(slot) = slot.filter(|slot| slot.idle.len() < MOST_IDLE) {
            slot.idle.push(channel);
        }
    }

    /// This connection takes no more calls. Says whether it did.
    pub(crate) fn gone(&self, number: u64) -> bool {
        let gone = self.slot().take_if(|slot| slot.connection.number == number);
        gone.is_some()
    }

    /// A call has found that this connection takes no more calls.
    pub(crate) fn refused(&self, number: u64) {
        let mut slot = self.slot();
        let gone = slot.take_if(|slot| slot.connection.number == number);
        if gone.is_some() {
            self.refused.notify_one();
        }
        drop(slot);
        drop(gone);
    }

    /// A call was answered over this connection.
    pub(crate) fn answered(&self, number: u64) {
        // Most often it isn't the first one.
        if self.answered.load(Ordering::Relaxed) != number {
            self.answered.store(number, Ordering::Relaxed);
        }
    }

    /// Whether there was a call over this connection that was answered.
    pub(crate) fn has_answered(&self, number: u64) -> bool {
        self.answered.load(Ordering::Relaxed) == number
    }

    /// Waits until a call has found that the connection takes no more calls.
    pub(crate) async fn is_refused(&self) {
        self.refused.notified().await;
    }

    /// How many handles wait to be lent.
    #[cfg(all(test, feature = "channel"))]
    pub(crate) fn idle(&self) -> usize {
        self.slot().as_ref().map_or(0, |slot| slot.idle.len())
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Slot>> {
        // Nothing here panics while it is held.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
