//! A request's body that several attempts read, each from its beginning and at its own pace.
//!
//! What one attempt has read from the caller is kept for the others: as it is, nothing is copied.
//! Once the call is committed to one attempt, what that one has read is freed, the rest as soon as
//! it is read, and the others end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tonic::body::Body;
use tonic::codegen::Body as HttpBody;

mod attempt;
mod kept;
mod state;

#[cfg(test)]
mod tests;

use self::attempt::Attempt;
use self::state::State;

/// How many attempts may read at once: gRFC A6, "Limits on Retries and Hedges".
pub(crate) const READERS: usize = 5;

/// How many bytes of requests are kept for further attempts.
///
/// What doesn't fit is sent once: the call is committed to the attempt that sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferLimits {
    /// Bytes of one call. 256 KiB, as in grpc-go and grpc-java.
    pub per_call: usize,
    /// Bytes of all calls of a channel and its clones. 16 MiB, as in grpc-java.
    pub per_channel: usize,
}

impl Default for BufferLimits {
    fn default() -> Self {
        Self {
            per_call: 256 * 1024,
            per_channel: 16 * 1024 * 1024,
        }
    }
}

/// What the calls of one channel may keep.
#[derive(Debug)]
pub(crate) struct Memory {
    limits: BufferLimits,
    used: AtomicUsize,
}

impl Memory {
    pub(crate) fn new(limits: BufferLimits) -> Arc<Self> {
        let used = AtomicUsize::new(0);
        Arc::new(Self { limits, used })
    }

    /// Whether a call that keeps `size` bytes may keep `more`.
    fn take(&self, size: usize, more: usize) -> bool {
        let limits = self.limits;
        if size.saturating_add(more) > limits.per_call {
            return false;
        }
        let fits =
            |used: usize| Some(used.saturating_add(more)).filter(|&n| n <= limits.per_channel);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.is_ok()
    }

    fn give_back(&self, size: usize) {
        self.used.fetch_sub(size, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// The body of a call, for its attempts.
pub(crate) enum Replay {
    Empty,
    /// For one attempt only.
    Once(Option<Body>),
    Shared(Arc<Shared>),
}

impl Replay {
    pub(crate) fn new(body: Body, memory: &Arc<Memory>) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        Self::Shared(Arc::new(Shared {
            body: Mutex::new(body),
            state: Mutex::new(State::default()),
            memory: memory.clone(),
        }))
    }

    /// A body that nothing is kept of.
    pub(crate) fn once(body: Body) -> Self {
        Self::Once(Some(body))
    }

    /// Whether another attempt can begin from the beginning.
    pub(crate) fn can_repeat(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Once(body) => body.is_some(),
            Self::Shared(shared) => shared.state().is_open(),
        }
    }

    /// Wakes `waker` when the call is committed to one attempt.
    #[cfg(feature = "hedging")]
    pub(crate) fn watch(&self, waker: &Waker) {
        if let Self::Shared(shared) = self {
            shared.state().watch(waker);
        }
    }

    /// A body that begins at the beginning, and what stops it; `None` if there can't be one.
    pub(crate) fn attempt(&mut self) -> Option<(Running, Body)> {
        match self {
            Self::Empty => Some((Running(None), Body::empty())),
            Self::Once(body) => Some((Running(None), body.take()?)),
            Self::Shared(shared) => {
                let number = shared.state().begin()?;
                let running = Running(Some((shared.clone(), number)));
                let shared = shared.clone();
                Some((running, Body::new(Attempt::new(shared, number))))
            }
        }
    }
}

/// One attempt's share in the body. Its body ends with a reset when this is dropped.
pub(crate) struct Running(Option<(Arc<Shared>, u64)>);

impl Running {
    /// Ends all other attempts. Nothing more is kept.
    pub(crate) fn commit(mut self) {
        if let Some((shared, number)) = self.0.take() {
            shared.wake(|state| state.commit(number, &shared.memory));
        }
    }

    /// Whether the call is committed to another attempt.
    #[cfg(feature = "hedging")]
    pub(crate) fn is_over(&self) -> bool {
        let share = self.0.as_ref();
        share.is_some_and(|(shared, number)| shared.state().is_over(*number))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((shared, number)) = &self.0 {
            shared.wake(|state| state.stop(*number));
        }
    }
}

pub(crate) struct Shared {
    /// Locked before `state`, and alone while the caller's code runs.
    body: Mutex<Body>,
    state: Mutex<State>,
    memory: Arc<Memory>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes whom that concerns when the lock is free again.
    fn wake(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = self.state();
            change(&mut state);
            state.wakers()
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let size = self.state().size;
        self.memory.give_back(size);
    }
}
