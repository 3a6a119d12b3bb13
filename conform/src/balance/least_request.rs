//! `least_request_experimental`: of a few backends at random, the one with the fewest open calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use fastrand::Rng;
use serde_json::Value;

use super::config::Fields;
use super::spread::{Ready, Rule, Spread};
use super::{Call, Pick, Picked, Picker, Policy, PolicyBuilder, PolicyConfig, Subchannel};

/// How many backends are looked at for each call: gRFC A48, *LB Policy Config*.
const CHOICES: u64 = 2;
const MAX_CHOICES: u64 = 10;

/// Makes `least_request_experimental`.
pub(super) struct Builder;

impl PolicyBuilder for Builder {
    fn name(&self) -> &str {
        "least_request_experimental"
    }

    fn parse(&self, config: &Value) -> Result<Arc<dyn PolicyConfig>, String> {
        let choices = Fields::of(config)?.number("choiceCount")?;
        let choices = choices.unwrap_or(CHOICES);
        if choices < 2 {
            return Err(format!("choiceCount is {choices}, and must be at least 2"));
        }
        // It's one of at most ten, so it fits.
        let choices = choices.min(MAX_CHOICES) as usize;
        Ok(Arc::new(Config { choices }))
    }
}

#[derive(Debug)]
struct Config {
    choices: usize,
}

impl PolicyConfig for Config {
    fn build(&self) -> Box<dyn Policy> {
        Box::new(policy(self.choices, Rng::new()))
    }
}

pub(super) fn policy(choices: usize, rng: Rng) -> Spread<LeastRequest> {
    Spread::new(LeastRequest { choices, rng })
}

pub(super) struct LeastRequest {
    choices: usize,
    rng: Rng,
}

impl Rule for LeastRequest {
    type Data = Open;

    fn reconfigured(&mut self, config: &dyn PolicyConfig) -> bool {
        let Some(config) = config.downcast_ref::<Config>() else {
            return false;
        };
        self.choices = config.choices;
        true
    }

    fn picker(&mut self, ready: &[Ready<'_, Open>]) -> Arc<dyn Picker> {
        let ready = ready.iter();
        Arc::new(Fewest {
            ready: ready
                .map(|it| (it.subchannel.clone(), it.data.clone()))
                .collect(),
            choices: self.choices,
            chance: AtomicU64::new(self.rng.u64(..)),
        })
    }
}

/// How many calls of this policy are open at a backend.
#[derive(Clone, Default)]
pub(super) struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn begin(&self) -> OpenCall {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenCall(self.0.clone())
    }
}

/// One of them, until it is dropped.
struct OpenCall(Arc<AtomicUsize>);

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Fewest {
    ready: Vec<(Subchannel, Open)>,
    choices: usize,
    /// The seed of the next call's choices.
    chance: AtomicU64,
}

impl Picker for Fewest {
    fn pick(&self, _: &Call<'_>) -> Pick {
        let seed = self.chance.fetch_add(1, Ordering::Relaxed);
        let mut rng = Rng::with_seed(seed);
        let choices = (0..self.choices).filter_map(|_| {
            let index = rng.usize(..self.ready.len().max(1));
            self.ready.get(index)
        });
        // The first of those that have the same.
        let Some((subchannel, open)) = choices.min_by_key(|(_, open)| open.count()) else {
            return Pick::Wait;
        };
        let call = open.begin();
        Pick::Use(Picked::new(subchannel.clone()).on_end(move |_| drop(call)))
    }
}
