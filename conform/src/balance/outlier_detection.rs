//! `outlier_detection_experimental`: keeps calls away from backends that fail more often than others.
//!
//! gRFC A50, per backend instead of per address, as gRFC A61, *Outlier Detection*, has it.

use std::sync::Arc;

use fastrand::Rng;
use serde_json::Value;
use tokio::time::Instant;
use tonic::Status;

mod config;
mod count;
mod ejection;
#[cfg(test)]
mod tests;
mod watched;

use self::config::Config;
use self::ejection::Ejections;
use self::watched::Watched;
use super::{Control, Policy, PolicyBuilder, PolicyConfig, Registry, Subchannel, SubchannelState};
use crate::resolver::Backend;

/// Makes `outlier_detection_experimental`.
pub(super) struct Builder;

impl PolicyBuilder for Builder {
    fn name(&self) -> &str {
        "outlier_detection_experimental"
    }

    fn parse(&self, config: &Value) -> Result<Arc<dyn PolicyConfig>, String> {
        self.parse_with(config, &Registry::new())
    }

    fn parse_with(
        &self,
        config: &Value,
        registry: &Registry,
    ) -> Result<Arc<dyn PolicyConfig>, String> {
        Ok(Arc::new(Config::parse(config, registry)?))
    }
}

impl PolicyConfig for Config {
    fn build(&self) -> Box<dyn Policy> {
        Box::new(OutlierDetection::new(self, Rng::new()))
    }

    fn health_checks(&self) -> bool {
        self.child.config().health_checks()
    }
}

/// Runs another policy, its child, and has it take the backends for unreachable that are ejected.
pub(super) struct OutlierDetection {
    child: Box<dyn Policy>,
    ejections: Ejections,
    watched: Watched,
    /// Whether anybody is ejected at all.
    is_on: bool,
    /// When the calls are counted up next.
    sweep_at: Option<Instant>,
    rng: Rng,
}

impl OutlierDetection {
    fn new(config: &Config, rng: Rng) -> Self {
        let rules = config.rules.clone();
        Self {
            child: config.child.config().build(),
            is_on: rules.is_on() && config.child.config().health_checks(),
            ejections: Ejections::new(rules),
            watched: Watched::default(),
            sweep_at: None,
            rng,
        }
    }

    /// Has the child do something, tells it of ejections, and sees to being woken in time.
    fn run<T>(
        &mut self,
        control: &mut dyn Control,
        step: impl FnOnce(&mut dyn Policy, &mut dyn Control) -> T,
    ) -> T {
        let counters = self.is_on.then(|| self.ejections.counters());
        let mut control = self.watched.control(control, counters);
        let result = step(&mut *self.child, &mut control);
        for (subchannel, state) in control.news(&self.ejections) {
            self.child.changed(&subchannel, &state, &mut control);
        }
        control.wake_by(self.sweep_at);
        result
    }
}

impl Policy for OutlierDetection {
    fn resolved(&mut self, backends: &[Backend], control: &mut dyn Control) -> Result<(), String> {
        self.ejections.resolved(backends);
        self.watched.look_again();
        if self.is_on && self.sweep_at.is_none() {
            self.sweep_at = Some(Instant::now() + self.ejections.interval());
        }
        self.run(control, |child, control| child.resolved(backends, control))
    }

    fn failed(&mut self, error: &Status, control: &mut dyn Control) {
        self.run(control, |child, control| child.failed(error, control));
    }

    fn changed(
        &mut self,
        subchannel: &Subchannel,
        state: &SubchannelState,
        control: &mut dyn Control,
    ) {
        let is_told = self.watched.changed(subchannel, state);
        self.run(control, |child, control| {
            if is_told {
                child.changed(subchannel, state, control);
            }
        });
    }

    fn connect(&mut self, control: &mut dyn Control) {
        self.run(control, |child, control| child.connect(control));
    }

    fn woken(&mut self, control: &mut dyn Control) {
        let now = Instant::now();
        if self.sweep_at.is_some_and(|time| time <= now) {
            self.ejections.sweep(now, &mut self.rng);
            self.watched.look_again();
            self.sweep_at = Some(now + self.ejections.interval());
        }
        let is_due = self.watched.take_due(now);
        self.run(control, |child, control| {
            if is_due {
                child.woken(control);
            }
        });
    }
}
