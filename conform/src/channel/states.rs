//! A channel's state, for whoever shows it or waits for it.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::Published;
use super::activity::Activity;
use crate::connectivity::State;

/// The state of a [`Channel`](super::Channel): the newest, and those that come. A slow reader misses
/// those between.
#[derive(Clone)]
pub struct States {
    published: watch::Receiver<Published>,
    activity: Arc<Activity>,
}

impl States {
    pub(super) fn new(published: watch::Receiver<Published>, activity: Arc<Activity>) -> Self {
        Self {
            published,
            activity,
        }
    }

    /// The newest state.
    pub fn get(&self) -> State {
        match self.activity.is_closed() {
            true => State::Shutdown,
            false => self.published.borrow().state,
        }
    }

    /// Waits until the channel's state is another one than `state`, and returns that; `None` when the
    /// channel is gone.
    pub async fn changed_from(&mut self, state: State) -> Option<State> {
        let is_other = |published: &Published| published.shown() != state;
        let published = self.published.wait_for(is_other).await.ok()?;
        Some(published.shown())
    }

    /// Waits until the channel is in this state; `None` when the channel is gone.
    pub async fn wait_for(&mut self, state: State) -> Option<()> {
        let is_there = |published: &Published| published.shown() == state;
        self.published.wait_for(is_there).await.ok()?;
        Some(())
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("States").field(&self.get()).finish()
    }
}
