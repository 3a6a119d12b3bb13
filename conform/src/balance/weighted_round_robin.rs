//! `weighted_round_robin`: to each backend its share, as its own reports say (gRFC A58).

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;

use super::config::Fields;
use super::spread::{Ready, Rule, Spread};
use super::{
    Call, Connection, Pick, Picked, Picker, Policy, PolicyBuilder, PolicyConfig, Subchannel,
};
use crate::orca::{BackendWeight, Load, LoadWatch, Scheduler, WeightRules, report_from};

/// How often weights are looked at, unless the config says otherwise: 1 s.
const UPDATE_PERIOD: Duration = Duration::from_secs(1);

/// How often at most: 100 ms.
const LEAST_UPDATE_PERIOD: Duration = Duration::from_millis(100);

/// How often backends are asked to report, if they are, and unless the config says otherwise: 10 s.
const REPORTING_PERIOD: Duration = Duration::from_secs(10);

/// Makes `weighted_round_robin`.
pub(super) struct Builder;

impl PolicyBuilder for Builder {
    fn name(&self) -> &str {
        "weighted_round_robin"
    }

    fn parse(&self, config: &Value) -> Result<Arc<dyn PolicyConfig>, String> {
        Ok(Arc::new(Config::parse(config)?))
    }
}

/// gRFC A58, *LB Policy Config and Parameters*.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    /// The interval of reports out of band. `None`: reports come with the calls.
    out_of_band: Option<Duration>,
    rules: WeightRules,
    update_period: Duration,
}

impl Config {
    fn parse(config: &Value) -> Result<Self, String> {
        let fields = Fields::of(config)?;
        let mut rules = WeightRules::default();
        if let Some(period) = fields.duration("blackoutPeriod")? {
            rules.blackout_period = period;
        }
        if let Some(period) = fields.duration("weightExpirationPeriod")? {
            rules.weight_expiration_period = period;
        }
        if let Some(penalty) = fields.amount("errorUtilizationPenalty")? {
            rules.error_utilization_penalty = penalty;
        }
        let update_period = fields.duration("weightUpdatePeriod")?;
        let update_period = update_period.unwrap_or(UPDATE_PERIOD);
        let reporting_period = fields.duration("oobReportingPeriod")?;
        let is_out_of_band = fields.boolean("enableOobLoadReport")?;
        Ok(Self {
            out_of_band: is_out_of_band.then_some(reporting_period.unwrap_or(REPORTING_PERIOD)),
            rules,
            update_period: update_period.max(LEAST_UPDATE_PERIOD),
        })
    }
}

impl PolicyConfig for Config {
    fn build(&self) -> Box<dyn Policy> {
        Box::new(policy(self.clone(), &mut Rng::new()))
    }
}

fn policy(config: Config, rng: &mut Rng) -> Spread<WeightedRoundRobin> {
    Spread::new(WeightedRoundRobin {
        config,
        // At a random place: many clients that start at once don't all call the first one.
        sequence: Arc::new(AtomicU64::new(rng.u32(..).into())),
    })
}

pub(super) struct WeightedRoundRobin {
    config: Config,
    sequence: Arc<AtomicU64>,
}

/// What is kept of a backend.
#[derive(Default)]
pub(super) struct Known {
    weight: Arc<BackendWeight>,
    /// Its reports out of band.
    reports: Mutex<Option<Reports>>,
}

struct Reports {
    /// The number of the connection that they come over.
    number: u64,
    interval: Duration,
    rules: WeightRules,
    _watch: LoadWatch,
}

impl Known {
    /// Has reports come over this connection, for as long as it is READY.
    fn listen(&self, connection: Connection, interval: Duration, rules: WeightRules) {
        let mut reports = self.reports();
        let number = connection.number;
        if (reports.as_ref())
            .is_some_and(|it| it.number == number && it.interval == interval && it.rules == rules)
        {
            return;
        }
        let weight = self.weight.clone();
        let _watch = LoadWatch::telling(connection.channel, interval, move |load| {
            if let Load::Reported(report) = load {
                weight.update(report, &rules);
            }
        });
        *reports = Some(Reports {
            number,
            interval,
            rules,
            _watch,
        });
    }

    fn reports(&self) -> MutexGuard<'_, Option<Reports>> {
        // Nothing here panics while it is held.
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule for WeightedRoundRobin {
    type Data = Known;

    fn reconfigured(&mut self, config: &dyn PolicyConfig) -> bool {
        let Some(config) = config.downcast_ref::<Config>() else {
            return false;
        };
        self.config = config.clone();
        true
    }

    fn picker(&mut self, ready: &[Ready<'_, Known>]) -> Arc<dyn Picker> {
        let rules = self.config.rules;
        for backend in ready {
            let connection = backend.subchannel.connection();
            match (self.config.out_of_band, connection) {
                (Some(interval), Some(connection)) => {
                    backend.data.listen(connection, interval, rules);
                }
                (Some(_), None) => {}
                (None, _) => drop(backend.data.reports().take()),
            }
        }
        let weights: Vec<_> = ready.iter().map(|it| it.data.weight.get(&rules)).collect();
        let ready = ready.iter().map(|it| Backend {
            subchannel: it.subchannel.clone(),
            weight: it.data.weight.clone(),
        });
        Arc::new(ByReports {
            ready: ready.collect(),
            scheduler: Scheduler::new(&weights),
            sequence: self.sequence.clone(),
            // A58, "Per-Call Load Reporting": out of band, those of calls are never read.
            rules: self.config.out_of_band.is_none().then_some(rules),
        })
    }

    fn lasts(&self) -> Option<Duration> {
        Some(self.config.update_period)
    }

    fn connected(&mut self, data: &Known) {
        data.weight.connected();
    }

    fn disconnected(&mut self, data: &Known) {
        data.reports().take();
    }
}

/// One that is READY.
struct Backend {
    subchannel: Subchannel,
    weight: Arc<BackendWeight>,
}

struct ByReports {
    ready: Vec<Backend>,
    scheduler: Scheduler,
    /// Goes on from one picker to the next.
    sequence: Arc<AtomicU64>,
    /// What the reports of calls become, if they count.
    rules: Option<WeightRules>,
}

impl Picker for ByReports {
    fn pick(&self, _: &Call<'_>) -> Pick {
        let index = self.scheduler.pick(&self.sequence);
        let Some(backend) = index.and_then(|index| self.ready.get(index)) else {
            return Pick::Wait;
        };
        let picked = Picked::new(backend.subchannel.clone());
        let Some(rules) = self.rules else {
            return Pick::Use(picked);
        };
        let weight = backend.weight.clone();
        Pick::Use(picked.on_end(move |end| {
            if let Some(report) = end.trailers.and_then(report_from) {
                weight.update(&report, &rules);
            }
        }))
    }
}

#[cfg(test)]
mod tests;
