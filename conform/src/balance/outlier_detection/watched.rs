//! What the child is told of its subchannels.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use tokio::time::Instant;
use tonic::Status;

use super::count::{Counters, Counting};
use super::ejection::Ejections;
use crate::balance::subchannel::WeakSubchannel;
use crate::balance::{Control, Picker, Subchannel, SubchannelState};
use crate::connectivity::State;
use crate::resolver::{Address, Backend};

/// The child's subchannels: gRFC A50, *Subchannel Wrapper*.
#[derive(Default)]
pub(super) struct Watched {
    members: BTreeMap<u64, Member>,
    /// How many there were when the dead were last taken out.
    living: usize,
    /// When the child wants to be woken.
    wake_at: Option<Instant>,
    /// The child may not know all of what it's to be told.
    has_news: bool,
}

struct Member {
    subchannel: WeakSubchannel,
    /// Its true state.
    state: SubchannelState,
    /// The child was told that it's in TRANSIENT_FAILURE, whatever it is.
    is_ejected: bool,
}

impl Watched {
    /// Notes a state. Says whether the child is to be told of it.
    pub(super) fn changed(&mut self, subchannel: &Subchannel, state: &SubchannelState) -> bool {
        let Some(member) = self.members.get_mut(&subchannel.id()) else {
            return true;
        };
        member.state = state.clone();
        !member.is_ejected
    }

    /// Somebody was ejected, or isn't any more.
    pub(super) fn look_again(&mut self) {
        self.has_news = true;
    }

    /// Whether the child wants to be woken now.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        self.wake_at.take_if(|time| *time <= now).is_some()
    }

    pub(super) fn control<'a>(
        &'a mut self,
        control: &'a mut dyn Control,
        counters: Option<Counters>,
    ) -> Watching<'a> {
        Watching {
            watched: self,
            control,
            counters,
        }
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.members.len()
    }

    fn add(&mut self, subchannel: &Subchannel) {
        // Seldom enough to cost nothing.
        if self.members.len() > 2 * self.living + 8 {
            self.members
                .retain(|_, it| it.subchannel.upgrade().is_some());
            self.living = self.members.len();
        }
        let member = Member {
            subchannel: subchannel.downgrade(),
            state: SubchannelState::Idle,
            is_ejected: false,
        };
        self.members.insert(subchannel.id(), member);
        self.has_news = true;
    }
}

/// The child's control.
pub(super) struct Watching<'a> {
    watched: &'a mut Watched,
    control: &'a mut dyn Control,
    counters: Option<Counters>,
}

impl Watching<'_> {
    /// What the child has to be told since backends were ejected, or are no more.
    pub(super) fn news(&mut self, ejections: &Ejections) -> Vec<(Subchannel, SubchannelState)> {
        let mut news = Vec::new();
        if !mem::take(&mut self.watched.has_news) {
            return news;
        }
        for member in self.watched.members.values_mut() {
            let Some(subchannel) = member.subchannel.upgrade() else {
                continue;
            };
            let is_ejected = ejections.is_ejected(subchannel.address());
            if is_ejected == member.is_ejected {
                continue;
            }
            member.is_ejected = is_ejected;
            let state = match is_ejected {
                true => SubchannelState::TransientFailure(ejected(subchannel.address())),
                false => member.state.clone(),
            };
            news.push((subchannel, state));
        }
        news
    }

    /// Asks for the time that comes first: this one, or the child's.
    pub(super) fn wake_by(&mut self, sweep_at: Option<Instant>) {
        let times = [sweep_at, self.watched.wake_at];
        if let Some(time) = times.into_iter().flatten().min() {
            self.control.wake_at(time);
        }
    }
}

fn ejected(address: &Address) -> Status {
    Status::unavailable(format!(
        "{address} gets no calls for a while: too many of them have failed"
    ))
}

impl Control for Watching<'_> {
    fn subchannel(&mut self, backend: &Backend, address: &Address) -> Subchannel {
        let subchannel = self.control.subchannel(backend, address);
        self.watched.add(&subchannel);
        subchannel
    }

    fn publish(&mut self, state: State, picker: Arc<dyn Picker>) {
        let picker = match &self.counters {
            None => picker,
            Some(counters) => Arc::new(Counting {
                picker,
                counters: counters.clone(),
            }),
        };
        self.control.publish(state, picker);
    }

    fn re_resolve(&mut self) {
        self.control.re_resolve();
    }

    fn wake_at(&mut self, time: Instant) {
        self.watched.wake_at = Some(time);
    }
}
