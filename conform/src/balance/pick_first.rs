//! `pick_first`: one connection, to the first address that can be reached.

use std::sync::Arc;

use fastrand::Rng;
use serde_json::Value;
use tokio::time::Instant;
use tonic::Status;

use super::config::Fields;
use super::dialer::{Dialer, Reach, addresses};
use super::endpoints::{check_length, unreachable, weight};
use super::spread::{Failing, Waiting};
use super::{
    Call, Control, Pick, Picker, Policy, PolicyBuilder, PolicyConfig, Subchannel, SubchannelState,
};
use crate::connectivity::State;
use crate::resolver::Backend;

/// Makes `pick_first`.
pub(super) struct Builder;

impl PolicyBuilder for Builder {
    fn name(&self) -> &str {
        "pick_first"
    }

    fn parse(&self, config: &Value) -> Result<Arc<dyn PolicyConfig>, String> {
        let shuffles = Fields::of(config)?.boolean("shuffleAddressList")?;
        Ok(Arc::new(Config { shuffles }))
    }
}

#[derive(Debug)]
struct Config {
    shuffles: bool,
}

impl PolicyConfig for Config {
    fn build(&self) -> Box<dyn Policy> {
        Box::new(policy(self.shuffles, Rng::new()))
    }

    /// There is no other backend to call: gRFC A17, *pick_first*.
    fn health_checks(&self) -> bool {
        false
    }
}

pub(super) fn policy(shuffles: bool, rng: Rng) -> PickFirst {
    PickFirst {
        shuffles,
        rng,
        has_backends: false,
        dialer: Dialer::new(),
        published: None,
        wake_at: None,
    }
}

pub(super) struct PickFirst {
    shuffles: bool,
    rng: Rng,
    has_backends: bool,
    dialer: Dialer,
    /// The state, and what is READY.
    published: Option<(State, Option<u64>)>,
    /// What the control was asked for.
    wake_at: Option<Instant>,
}

impl PickFirst {
    /// Publishes where the dialer stands, if that is news.
    fn settle(&mut self, control: &mut dyn Control) {
        let (state, picker): (_, Arc<dyn Picker>) = match self.dialer.reach() {
            Reach::Idle => (State::Idle, Arc::new(Waiting)),
            Reach::Connecting => (State::Connecting, Arc::new(Waiting)),
            Reach::Ready(subchannel) => (State::Ready, Arc::new(Only(subchannel.clone()))),
            Reach::Failed(error) => {
                let error = unreachable(error);
                (State::TransientFailure, Arc::new(Failing(error)))
            }
        };
        let news = Some((state, self.dialer.ready().map(Subchannel::id)));
        // A failure may have another error.
        if self.published != news || state == State::TransientFailure {
            self.published = news;
            control.publish(state, picker);
        }
        if let Some(due) = self.dialer.due()
            && self.wake_at != Some(due)
        {
            self.wake_at = Some(due);
            control.wake_at(due);
        }
    }

    fn fail(&mut self, error: Status, control: &mut dyn Control) {
        self.published = Some((State::TransientFailure, None));
        control.publish(State::TransientFailure, Arc::new(Failing(error)));
    }

    /// gRFC A62, *Enable random shuffling of address list*; by weight: gRFC A113, *Changes within
    /// Pick First*.
    fn shuffle(&mut self, backends: &mut [Arc<Backend>]) {
        backends.sort_by_cached_key(|backend| {
            // The greatest u^(1 / weight) comes first, so the least of these logarithms.
            let key = self.rng.f64().ln().abs() / weight(backend) as f64;
            // Numbers from 0 on have the order of their bits.
            key.to_bits()
        });
    }
}

impl Policy for PickFirst {
    fn resolved(&mut self, backends: &[Backend], control: &mut dyn Control) -> Result<(), String> {
        let result = match check_length(backends) {
            Ok(()) if backends.is_empty() => {
                self.dialer = Dialer::new();
                self.has_backends = false;
                Err("the resolver has found no addresses".to_owned())
            }
            result => result,
        };
        if let Err(why) = result {
            if !self.has_backends {
                self.fail(Status::unavailable(&*why), control);
            }
            return Err(why);
        }
        let mut backends: Vec<_> = backends.iter().cloned().map(Arc::new).collect();
        if self.shuffles {
            self.shuffle(&mut backends);
        }
        let addresses = backends.iter().flat_map(addresses).collect();
        self.dialer.resolved(addresses, control);
        if !self.has_backends {
            self.has_backends = true;
            self.dialer.connect(control);
        }
        self.settle(control);
        Ok(())
    }

    fn reconfigured(&mut self, config: &dyn PolicyConfig) -> bool {
        let Some(config) = config.downcast_ref::<Config>() else {
            return false;
        };
        self.shuffles = config.shuffles;
        true
    }

    fn failed(&mut self, error: &Status, control: &mut dyn Control) {
        if !self.has_backends {
            self.fail(Status::unavailable(error.message()), control);
        }
    }

    fn changed(
        &mut self,
        subchannel: &Subchannel,
        state: &SubchannelState,
        control: &mut dyn Control,
    ) {
        self.dialer.changed(subchannel, state, control);
        self.settle(control);
    }

    fn connect(&mut self, control: &mut dyn Control) {
        if self.has_backends {
            self.dialer.connect(control);
            self.settle(control);
        }
    }

    fn woken(&mut self, control: &mut dyn Control) {
        self.wake_at = None;
        self.dialer.woken(Instant::now(), control);
        self.settle(control);
    }
}

/// Every call goes to the same.
struct Only(Subchannel);

impl Picker for Only {
    fn pick(&self, _: &Call<'_>) -> Pick {
        self.0.clone().into()
    }
}
