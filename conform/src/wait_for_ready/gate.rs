//! What the clones of a channel know of its connection, and who may try to make one.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::backoff::{Backoff, MIN_CONNECT_TIMEOUT};

/// Why there is no connection.
pub(super) type Failure = Arc<dyn Error + Send + Sync>;

#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// How many phases there were before. What an attempt has to tell counts only while the phase
    /// lasts in which it began.
    number: u64,
    backoff: Backoff,
    failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The next call tries.
    Idle,
    /// One call tries. If it hasn't come to an end at this time, another one may.
    Connecting { give_up: Instant },
    /// All calls go.
    Ready,
    /// Nobody tries before this time.
    Failed { until: Instant },
}

/// What a call that wants to go has to do.
enum Step {
    Go(Pass),
    Wait { until: Instant },
    Fail(Failure),
}

impl Gate {
    /// Waits until this call may go.
    ///
    /// # Errors
    ///
    /// The last attempt has failed, it's too early for another, and the call doesn't `wait`.
    pub(super) async fn enter(self: &Arc<Self>, wait: bool) -> Result<Pass, Failure> {
        let mut has_waited = false;
        loop {
            // It hears of all changes from here on.
            let changed = self.changed.notified();
            match self.step(wait, has_waited) {
                Step::Go(pass) => return Ok(pass),
                Step::Fail(failure) => return Err(failure),
                Step::Wait { until } => {
                    // Whichever comes first, the next step finds out.
                    let _ = timeout_at(until, changed).await;
                }
            }
            has_waited = true;
        }
    }

    fn step(self: &Arc<Self>, wait: bool, has_waited: bool) -> Step {
        let now = Instant::now();
        let mut state = self.lock();
        match (state.phase, &state.failure) {
            (Phase::Connecting { give_up }, _) if now < give_up => Step::Wait { until: give_up },
            (Phase::Failed { until }, Some(failure)) if now < until => match wait {
                true => Step::Wait { until },
                false => Step::Fail(failure.clone()),
            },
            (phase, _) => {
                if !matches!(phase, Phase::Ready) {
                    state.enter(Phase::Connecting {
                        give_up: now + MIN_CONNECT_TIMEOUT,
                    });
                }
                Step::Go(Pass {
                    gate: self.clone(),
                    number: state.number,
                    begin: now,
                    has_waited,
                })
            }
        }
    }

    /// There is a connection.
    pub(super) fn connected(&self) {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Ready) {
            state.backoff.reset();
            state.failure = None;
            state.enter(Phase::Ready);
            self.changed.notify_waiters();
        }
    }

    /// Why the last attempt has failed, if none has succeeded since.
    pub(super) fn last_failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Gate {
    fn default() -> Self {
        let state = State {
            phase: Phase::Idle,
            number: 0,
            backoff: Backoff::new(),
            failure: None,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.number += 1;
    }
}

/// The right of one call to go. Dropped before anything has come of it, it leaves the attempt to the
/// next call.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    number: u64,
    begin: Instant,
    has_waited: bool,
}

impl Pass {
    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    pub(super) fn has_waited(&self) -> bool {
        self.has_waited
    }

    pub(super) fn connected(&self) {
        self.gate.connected();
    }

    /// There was no connection.
    pub(super) fn failed(self, failure: Failure) {
        let mut state = self.gate.lock();
        if state.number == self.number {
            let until = self.begin + state.backoff.next();
            state.failure = Some(failure);
            state.enter(Phase::Failed { until });
            self.gate.changed.notify_waiters();
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        if state.number == self.number && matches!(state.phase, Phase::Connecting { .. }) {
            state.enter(Phase::Idle);
            self.gate.changed.notify_waiters();
        }
    }
}
