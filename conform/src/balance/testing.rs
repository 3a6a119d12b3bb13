//! A channel without a network, to test policies of one's own.

use std::fmt;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tonic::Status;

use super::subchannel::WeakSubchannel;
use super::{Call, Control, Pick, Picker, Policy, PolicyConfig, Subchannel, SubchannelState};
use crate::connectivity::State;
use crate::resolver::{Address, Backend};

/// Runs a policy as a channel does, but a test says what becomes of the subchannels.
///
/// Nothing happens by itself: a subchannel that the policy has asked to connect is in
/// [`wanted`](Self::wanted), and stays IDLE until the test [sets](Self::set) it to CONNECTING.
pub struct FakeChannel {
    policy: Box<dyn Policy>,
    means: Means,
}

#[derive(Default)]
struct Means {
    subchannels: Vec<WeakSubchannel>,
    created: u64,
    published: Option<(State, Arc<dyn Picker>)>,
    publications: usize,
    re_resolutions: usize,
    wake_at: Option<Instant>,
}

impl FakeChannel {
    /// A channel with this policy.
    pub fn new(policy: Box<dyn Policy>) -> Self {
        Self {
            policy,
            means: Means::default(),
        }
    }

    /// The resolver has found these.
    ///
    /// # Errors
    ///
    /// What the policy has against them.
    pub fn resolved(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.policy.resolved(backends, &mut self.means)
    }

    /// The service config says something else of the policy. Says whether the policy goes by it; if so,
    /// a channel has it [`resolved`](Self::resolved) next.
    pub fn reconfigured(&mut self, config: &dyn PolicyConfig) -> bool {
        self.policy.reconfigured(config)
    }

    /// The resolver failed.
    pub fn failed(&mut self, error: &Status) {
        self.policy.failed(error, &mut self.means);
    }

    /// The subchannels to this address are in this state now. Says whether there is one.
    pub fn set(&mut self, address: &Address, state: SubchannelState) -> bool {
        let living = self.living();
        let here: Vec<_> = living.filter(|it| it.address() == address).collect();
        for subchannel in &here {
            self.policy.changed(subchannel, &state, &mut self.means);
        }
        !here.is_empty()
    }

    /// A call asks where to go. In IDLE it has the policy connect first, and asks again.
    pub fn pick(&mut self, call: &Call<'_>) -> Pick {
        let pick = self.ask(call);
        if self.state() != Some(State::Idle) {
            return pick;
        }
        self.policy.connect(&mut self.means);
        self.ask(call)
    }

    fn ask(&self, call: &Call<'_>) -> Pick {
        match &self.means.published {
            Some((_, picker)) => picker.pick(call),
            None => Pick::Wait,
        }
    }

    /// Waits for the time at which the policy wants to be woken, and wakes it. Says whether there is
    /// such a time.
    pub async fn wake(&mut self) -> bool {
        let Some(time) = self.means.wake_at.take() else {
            return false;
        };
        sleep_until(time).await;
        self.policy.woken(&mut self.means);
        true
    }

    /// When the policy wants to be woken.
    pub fn wake_at(&self) -> Option<Instant> {
        self.means.wake_at
    }

    /// The state that the policy has published last.
    pub fn state(&self) -> Option<State> {
        Some(self.means.published.as_ref()?.0)
    }

    /// The picker that the policy has published last.
    pub fn picker(&self) -> Option<Arc<dyn Picker>> {
        Some(self.means.published.as_ref()?.1.clone())
    }

    /// How often the policy has published.
    pub fn publications(&self) -> usize {
        self.means.publications
    }

    /// The addresses of all subchannels that somebody keeps, the oldest first.
    pub fn subchannels(&self) -> Vec<Address> {
        self.living().map(|it| it.address().clone()).collect()
    }

    /// The addresses of those that were asked to connect since the last question.
    pub fn wanted(&mut self) -> Vec<Address> {
        let wanted = self.living().filter(Subchannel::take_wanted);
        wanted.map(|it| it.address().clone()).collect()
    }

    /// How often the policy has asked the resolver for a fresh answer.
    pub fn re_resolutions(&self) -> usize {
        self.means.re_resolutions
    }

    /// All subchannels that somebody keeps.
    #[cfg(test)]
    pub(super) fn living_ids(&self) -> std::collections::BTreeMap<u64, Address> {
        let living = self.living();
        living.map(|it| (it.id(), it.address().clone())).collect()
    }

    fn living(&self) -> impl Iterator<Item = Subchannel> {
        let all = self.means.subchannels.iter();
        all.filter_map(WeakSubchannel::upgrade)
    }
}

impl Control for Means {
    fn subchannel(&mut self, _: &Backend, address: &Address) -> Subchannel {
        self.created += 1;
        let subchannel = Subchannel::new(self.created, address.clone(), |_| ());
        self.subchannels.retain(|it| it.upgrade().is_some());
        self.subchannels.push(subchannel.downgrade());
        subchannel
    }

    fn publish(&mut self, state: State, picker: Arc<dyn Picker>) {
        self.publications += 1;
        self.published = Some((state, picker));
    }

    fn re_resolve(&mut self) {
        self.re_resolutions += 1;
    }

    fn wake_at(&mut self, time: Instant) {
        self.wake_at = Some(time);
    }
}

impl fmt::Debug for FakeChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeChannel")
            .field("state", &self.state())
            .field("subchannels", &self.subchannels())
            .finish_non_exhaustive()
    }
}
