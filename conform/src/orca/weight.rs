//! How much of the calls a backend should get, by its own reports.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::pb::OrcaLoadReport;

/// The largest weight that is believed: a thousand million calls a second, by one backend.
///
/// A weight is about how many calls a second the backend would serve if it were fully used. Whoever
/// claims more has measured something else.
pub const MAX_WEIGHT: f64 = 1e9;

/// How reports become weights: gRFC A58, *LB Policy Config and Parameters*.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct WeightRules {
    /// How long a backend has to report before its weight counts: 10 s.
    pub blackout_period: Duration,
    /// How long a weight counts after the last report: 3 minutes.
    pub weight_expiration_period: Duration,
    /// How much errors count: 1. A backend whose calls all fail looks as if it used this much more
    /// of itself.
    pub error_utilization_penalty: f64,
}

impl Default for WeightRules {
    fn default() -> Self {
        Self {
            blackout_period: Duration::from_secs(10),
            weight_expiration_period: Duration::from_secs(3 * 60),
            error_utilization_penalty: 1.0,
        }
    }
}

impl WeightRules {
    /// The weight that a report makes: calls a second, divided by what they use of the backend.
    ///
    /// `None` if the report doesn't say both, or says what can't be: a number that is negative, NaN
    /// or infinite, or more than [`MAX_WEIGHT`].
    pub fn weight(&self, report: &OrcaLoadReport) -> Option<f64> {
        let application = report.application_utilization;
        let utilization = if application == 0.0 {
            report.cpu_utilization
        } else {
            application
        };
        let qps = report.rps_fractional;
        let penalty = self.error_utilization_penalty;
        // Without a penalty nobody looks at the errors, however wrong they are.
        let errors = if penalty > 0.0 { report.eps } else { 0.0 };
        // NaN is none of these; of what is infinite, the weight is 0, infinite or NaN.
        if !(utilization > 0.0 && qps > 0.0 && errors >= 0.0) {
            return None;
        }
        let weight = qps / (utilization + errors / qps * penalty);
        (weight > 0.0 && weight <= MAX_WEIGHT).then_some(weight)
    }
}

/// What one backend's weight is, and since when.
#[derive(Debug, Default)]
pub struct BackendWeight {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    weight: f64,
    /// When the last report came that had a weight.
    last_updated: Option<Instant>,
    /// When the first came of those that have come without a break.
    non_empty_since: Option<Instant>,
}

impl BackendWeight {
    /// Of a backend that has reported nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of a report. One without a weight changes nothing: see [`WeightRules::weight`].
    pub fn update(&self, report: &OrcaLoadReport, rules: &WeightRules) {
        if let Some(weight) = rules.weight(report) {
            let now = Instant::now();
            let mut state = self.lock();
            state.weight = weight;
            state.last_updated = Some(now);
            state.non_empty_since.get_or_insert(now);
        }
    }

    /// Takes note of a new connection: the blackout begins with its first report.
    pub fn connected(&self) {
        self.lock().non_empty_since = None;
    }

    /// The weight, if it may be used now.
    ///
    /// Not if there is none, if the last report is as old as the expiration period (and then
    /// the blackout begins anew), or if the backend reports for a shorter time than the blackout.
    pub fn get(&self, rules: &WeightRules) -> Option<f64> {
        let now = Instant::now();
        let mut state = self.lock();
        if now - state.last_updated? >= rules.weight_expiration_period {
            state.non_empty_since = None;
            return None;
        }
        let blackout = rules.blackout_period;
        let is_out = |since: Instant| now - since >= blackout;
        let usable = blackout.is_zero() || state.non_empty_since.is_some_and(is_out);
        usable.then_some(state.weight)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic can't leave it half written: only assignments happen under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
