//! A policy that spreads calls over all backends that are READY.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use super::endpoints::Endpoints;
use super::{Call, Control, Pick, Picker, Policy, PolicyConfig, Subchannel, SubchannelState};
use crate::connectivity::State;
use crate::resolver::Backend;

/// How calls are spread over those that are READY. The rest, connecting and waiting and failing, is
/// the same for all such policies: that of `round_robin`.
pub(crate) trait Rule: Send + 'static {
    /// What is kept of each backend for as long as it is on the list.
    type Data: Default + Send;

    /// A picker over these, of which there is at least one, in the resolver's order.
    fn picker(&mut self, ready: &[Ready<'_, Self::Data>]) -> Arc<dyn Picker>;

    /// Says whether it goes by this config from now on.
    fn reconfigured(&mut self, config: &dyn PolicyConfig) -> bool;

    /// For how long a picker is good. After it comes another one.
    fn lasts(&self) -> Option<Duration> {
        None
    }

    /// A backend has a new connection, and is READY.
    fn connected(&mut self, data: &Self::Data) {
        let _ = data;
    }

    /// A backend is READY no more, or takes no more calls over the connection that it had.
    fn disconnected(&mut self, data: &Self::Data) {
        let _ = data;
    }
}

/// A backend that is READY.
pub(crate) struct Ready<'a, D> {
    pub(crate) subchannel: &'a Subchannel,
    pub(crate) weight: u64,
    pub(crate) data: &'a D,
}

/// The policy that a rule makes.
pub(crate) struct Spread<R: Rule> {
    rule: R,
    endpoints: Endpoints<R::Data>,
    published: Option<State>,
    /// When the picker gets old.
    renewal: Option<Instant>,
    /// What the control was asked for.
    wake_at: Option<Instant>,
}

impl<R: Rule> Spread<R> {
    pub(crate) fn new(rule: R) -> Self {
        Self {
            rule,
            endpoints: Endpoints::new(true),
            published: None,
            renewal: None,
            wake_at: None,
        }
    }

    /// Publishes what there is, if `others` are READY or the state is another one.
    fn settle(&mut self, others: bool, control: &mut dyn Control) {
        let state = self.endpoints.state();
        // In TRANSIENT_FAILURE the error may be a newer one.
        if others || self.published != Some(state) || state == State::TransientFailure {
            self.publish(state, control);
        }
        let due = self.endpoints.due();
        let due = due.into_iter().chain(self.renewal).min();
        if let Some(due) = due
            && self.wake_at != Some(due)
        {
            self.wake_at = Some(due);
            control.wake_at(due);
        }
    }

    fn publish(&mut self, state: State, control: &mut dyn Control) {
        self.published = Some(state);
        self.renewal = None;
        let picker = match state {
            State::Ready => {
                let ready = self.endpoints.iter().filter_map(|endpoint| {
                    Some(Ready {
                        subchannel: endpoint.ready()?,
                        weight: endpoint.weight(),
                        data: &endpoint.data,
                    })
                });
                let ready: Vec<_> = ready.collect();
                self.renewal = self.rule.lasts().map(|lasts| Instant::now() + lasts);
                self.rule.picker(&ready)
            }
            State::TransientFailure => Arc::new(Failing(self.endpoints.error())),
            State::Connecting | State::Idle | State::Shutdown => Arc::new(Waiting),
        };
        control.publish(state, picker);
    }
}

impl<R: Rule> Policy for Spread<R> {
    fn resolved(&mut self, backends: &[Backend], control: &mut dyn Control) -> Result<(), String> {
        let result = self.endpoints.resolved(backends, control);
        self.settle(true, control);
        result
    }

    fn reconfigured(&mut self, config: &dyn PolicyConfig) -> bool {
        self.rule.reconfigured(config)
    }

    fn failed(&mut self, error: &Status, control: &mut dyn Control) {
        self.endpoints.failed(error);
        self.settle(false, control);
    }

    fn changed(
        &mut self,
        subchannel: &Subchannel,
        state: &SubchannelState,
        control: &mut dyn Control,
    ) {
        for endpoint in self.endpoints.iter() {
            if endpoint.ready() == Some(subchannel) {
                self.rule.disconnected(&endpoint.data);
            }
        }
        let others = self.endpoints.changed(subchannel, state, control);
        for endpoint in self.endpoints.iter() {
            if endpoint.ready() == Some(subchannel) {
                self.rule.connected(&endpoint.data);
            }
        }
        self.settle(others, control);
    }

    fn woken(&mut self, control: &mut dyn Control) {
        self.wake_at = None;
        self.endpoints.woken(control);
        let is_old = self.renewal.is_some_and(|time| time <= Instant::now());
        self.settle(is_old, control);
    }
}

/// Has every call wait for the next picker.
pub(crate) struct Waiting;

impl Picker for Waiting {
    fn pick(&self, _: &Call<'_>) -> Pick {
        Pick::Wait
    }
}

/// Fails every call.
pub(crate) struct Failing(pub(crate) Status);

impl Picker for Failing {
    fn pick(&self, _: &Call<'_>) -> Pick {
        Pick::Fail(self.0.clone())
    }
}
