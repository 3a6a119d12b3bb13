//! `round_robin`: every backend in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use serde_json::Value;

use super::config::Fields;
use super::spread::{Ready, Rule, Spread};
use super::{Call, Pick, Picker, Policy, PolicyBuilder, PolicyConfig, Subchannel};

/// Makes `round_robin`. It has no settings.
pub(super) struct Builder;

impl PolicyBuilder for Builder {
    fn name(&self) -> &str {
        "round_robin"
    }

    fn parse(&self, config: &Value) -> Result<Arc<dyn PolicyConfig>, String> {
        Fields::of(config)?;
        Ok(Arc::new(Config))
    }
}

#[derive(Debug)]
struct Config;

impl PolicyConfig for Config {
    fn build(&self) -> Box<dyn Policy> {
        Box::new(policy(Rng::new()))
    }
}

pub(super) fn policy(rng: Rng) -> Spread<RoundRobin> {
    Spread::new(RoundRobin { rng })
}

pub(super) struct RoundRobin {
    rng: Rng,
}

impl Rule for RoundRobin {
    type Data = ();

    fn reconfigured(&mut self, config: &dyn PolicyConfig) -> bool {
        config.downcast_ref::<Config>().is_some()
    }

    fn picker(&mut self, ready: &[Ready<'_, ()>]) -> Arc<dyn Picker> {
        // At a random place: many clients that start at once don't all call the first one.
        let first = self.rng.usize(..ready.len().max(1));
        Arc::new(InTurn {
            ready: ready.iter().map(|it| it.subchannel.clone()).collect(),
            next: AtomicUsize::new(first),
        })
    }
}

struct InTurn {
    ready: Vec<Subchannel>,
    next: AtomicUsize,
}

impl Picker for InTurn {
    fn pick(&self, _: &Call<'_>) -> Pick {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        match self.ready.get(next % self.ready.len().max(1)) {
            Some(subchannel) => subchannel.clone().into(),
            None => Pick::Wait,
        }
    }
}
