//! `static_weights`: to each backend its share, as the resolver's weights say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use serde_json::Value;

use super::config::Fields;
use super::spread::{Ready, Rule, Spread};
use super::{Call, Pick, Picker, Policy, PolicyBuilder, PolicyConfig, Subchannel};

/// Makes `static_weights`. It has no settings.
pub(super) struct Builder;

impl PolicyBuilder for Builder {
    fn name(&self) -> &str {
        "static_weights"
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

pub(super) fn policy(rng: Rng) -> Spread<StaticWeights> {
    Spread::new(StaticWeights { rng })
}

pub(super) struct StaticWeights {
    rng: Rng,
}

impl Rule for StaticWeights {
    type Data = ();

    fn reconfigured(&mut self, config: &dyn PolicyConfig) -> bool {
        config.downcast_ref::<Config>().is_some()
    }

    fn picker(&mut self, ready: &[Ready<'_, ()>]) -> Arc<dyn Picker> {
        let mut total = 0;
        let shares = ready.iter().map(|it| {
            total += it.weight;
            (total, it.subchannel.clone())
        });
        Arc::new(ByWeight {
            shares: shares.collect(),
            total,
            next: AtomicU64::new(self.rng.u64(..)),
        })
    }
}

/// The golden ratio's part of a circle of 2^64. Steps of this length never come back to a place, and
/// leave no part of the circle out for long: each share gets its calls, evenly mixed with those of
/// the others.
const GOLDEN_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A circle on which each backend has an arc of the length of its weight.
struct ByWeight {
    /// Each backend, and where its arc ends.
    shares: Vec<(u64, Subchannel)>,
    total: u64,
    /// How far the steps have come on a circle of 2^64.
    next: AtomicU64,
}

impl Picker for ByWeight {
    fn pick(&self, _: &Call<'_>) -> Pick {
        let place = self.next.fetch_add(GOLDEN_STEP, Ordering::Relaxed);
        // Less than `total`, so it fits.
        let place = ((u128::from(place) * u128::from(self.total)) >> 64) as u64;
        let index = self.shares.partition_point(|(end, _)| *end <= place);
        match self.shares.get(index) {
            Some((_, subchannel)) => subchannel.clone().into(),
            None => Pick::Wait,
        }
    }
}
