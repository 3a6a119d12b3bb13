//! The policy's config: gRFC A50, *LB Policy Config*.

use std::time::Duration;

use serde_json::Value;

use crate::balance::config::Fields;
use crate::balance::{Chosen, Registry};

/// Whoever asks for less gets this.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Config {
    pub(super) rules: Rules,
    pub(super) child: Chosen,
}

/// Who is ejected, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rules {
    pub(super) interval: Duration,
    pub(super) base_ejection_time: Duration,
    pub(super) max_ejection_time: Duration,
    /// Of all backends, in percent.
    pub(super) max_ejection: u64,
    pub(super) success_rate: Option<SuccessRate>,
    pub(super) failure_percentage: Option<FailurePercentage>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct SuccessRate {
    /// How many standard deviations below the mean one has to be.
    pub(super) factor: f64,
    pub(super) limits: Limits,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct FailurePercentage {
    pub(super) threshold: u64,
    pub(super) limits: Limits,
}

/// Whether there is enough to judge by, and how often a judgment is carried out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Limits {
    /// In percent.
    pub(super) enforcement: u64,
    pub(super) minimum_hosts: u64,
    pub(super) request_volume: u64,
}

impl Config {
    pub(super) fn parse(config: &Value, registry: &Registry) -> Result<Self, String> {
        let fields = Fields::of(config)?;
        let seconds = |name, default| {
            let duration = fields.duration(name)?;
            Ok::<_, String>(duration.unwrap_or(Duration::from_secs(default)))
        };
        let base_ejection_time = seconds("baseEjectionTime", 30)?;
        let rules = Rules {
            interval: seconds("interval", 10)?.max(MIN_INTERVAL),
            base_ejection_time,
            max_ejection_time: seconds("maxEjectionTime", 300)?.max(base_ejection_time),
            max_ejection: percent(&fields, "maxEjectionPercent", 10)?,
            success_rate: part(&fields, "successRateEjection", |fields| {
                // So many thousandths.
                let factor = fields.number("stdevFactor")?.unwrap_or(1900);
                let limits = limits(fields, 100)?;
                let factor = factor as f64 / 1000.0;
                Ok(SuccessRate { factor, limits })
            })?,
            failure_percentage: part(&fields, "failurePercentageEjection", |fields| {
                let threshold = percent(fields, "threshold", 85)?;
                let limits = limits(fields, 50)?;
                Ok(FailurePercentage { threshold, limits })
            })?,
        };
        let child = fields.get("childPolicy").ok_or("childPolicy is missing")?;
        let child = registry
            .choose(child)
            .map_err(|why| format!("childPolicy: {why}"))?;
        Ok(Self { rules, child })
    }

    /// Whether anybody can be ejected: gRFC A61, *Reasons for Generic Health Reporting*, not from a
    /// policy that has one backend.
    pub(super) fn is_on(&self) -> bool {
        self.rules.is_on() && self.child.config().health_checks()
    }
}

impl Rules {
    fn is_on(&self) -> bool {
        self.success_rate.is_some() || self.failure_percentage.is_some()
    }
}

fn part<T>(
    fields: &Fields<'_>,
    name: &str,
    parse: impl FnOnce(&Fields<'_>) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let Some(value) = fields.get(name) else {
        return Ok(None);
    };
    let parsed = Fields::of(value).and_then(|fields| parse(&fields));
    parsed.map(Some).map_err(|why| format!("{name}: {why}"))
}

fn limits(fields: &Fields<'_>, request_volume: u64) -> Result<Limits, String> {
    Ok(Limits {
        enforcement: percent(fields, "enforcementPercentage", 100)?,
        minimum_hosts: fields.number("minimumHosts")?.unwrap_or(5),
        request_volume: fields.number("requestVolume")?.unwrap_or(request_volume),
    })
}

fn percent(fields: &Fields<'_>, name: &str, default: u64) -> Result<u64, String> {
    match fields.number(name)?.unwrap_or(default) {
        percent @ 0..=100 => Ok(percent),
        more => Err(format!("{name} is {more}, and can't be more than 100")),
    }
}
