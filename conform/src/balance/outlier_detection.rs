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
use super::{
    Chosen, Control, Policy, PolicyBuilder, PolicyConfig, Registry, Subchannel, SubchannelState,
};
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
    chosen: Chosen,
    child: Box<dyn Policy>,
    ejections: Ejections,
    watched: Watched,
    /// Whether anybody is ejected at all.
    is_on: bool,
    /// When the calls were counted up last, or from when on they are counted.
    swept_at: Option<Instant>,
    rng: Rng,
}

impl OutlierDetection {
    fn new(config: &Config, rng: Rng) -> Self {
        Self {
            chosen: config.child.clone(),
            child: config.child.config().build(),
            is_on: config.is_on(),
            ejections: Ejections::new(config.rules.clone()),
            watched: Watched::default(),
            swept_at: None,
            rng,
        }
    }

    /// When the calls are counted up next.
    fn sweep_at(&self) -> Option<Instant> {
        Some(self.swept_at? + self.ejections.interval())
    }

    /// Has the child do something, tells it of ejections, and sees to being woken in time.
    fn run<T>(
        &mut self,
        control: &mut dyn Control,
        step: impl FnOnce(&mut dyn Policy, &mut dyn Control) -> T,
    ) -> T {
        let sweep_at = self.sweep_at();
        let counters = self.is_on.then(|| self.ejections.counters());
        let mut control = self.watched.control(control, counters);
        let result = step(&mut *self.child, &mut control);
        for (subchannel, state) in control.news(&self.ejections) {
            self.child.changed(&subchannel, &state, &mut control);
        }
        control.wake_by(sweep_at);
        result
    }
}

impl Policy for OutlierDetection {
    fn resolved(&mut self, backends: &[Backend], control: &mut dyn Control) -> Result<(), String> {
        self.ejections.resolved(backends);
        self.watched.look_again();
        if self.is_on && self.swept_at.is_none() {
            self.swept_at = Some(Instant::now());
        }
        self.run(control, |child, control| child.resolved(backends, control))
    }

    fn reconfigured(&mut self, config: &dyn PolicyConfig) -> bool {
        let Some(config) = config.downcast_ref::<Config>() else {
            return false;
        };
        if self.chosen != config.child {
            let is_same = self.chosen.name() == config.child.name();
            if !is_same || !self.child.reconfigured(config.child.config()) {
                return false;
            }
            self.chosen = config.child.clone();
        }
        self.is_on = config.is_on();
        self.ejections.follow(config.rules.clone());
        if !self.is_on {
            self.ejections.pardon_all();
            self.swept_at = None;
        }
        true
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
        if self.sweep_at().is_some_and(|time| time <= now) {
            self.ejections.sweep(now, &mut self.rng);
            self.watched.look_again();
            self.swept_at = Some(now);
        }
        let is_due = self.watched.take_due(now);
        self.run(control, |child, control| {
            if is_due {
                child.woken(control);
            }
        });
    }
}
