//! Who is ejected, and until when.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::config::{FailurePercentage, Limits, Rules, SuccessRate};
use super::count::{Count, Counter, Counters};
use crate::balance::endpoints::key;
use crate::resolver::{Address, Backend};

/// All backends, and what is known of them.
pub(super) struct Ejections {
    rules: Rules,
    list: Vec<Judged>,
    /// The index of the backend that has it.
    by_address: HashMap<Address, usize>,
    counters: Counters,
}

/// One backend: gRFC A50, *Outlier Detection Behavior*, the map's values.
#[derive(Default)]
struct Judged {
    key: Vec<Address>,
    counter: Arc<Counter>,
    ejected_at: Option<Instant>,
    multiplier: u32,
}

impl Ejections {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            list: Vec::new(),
            by_address: HashMap::new(),
            counters: Counters::default(),
        }
    }

    /// Judges by these from now on.
    pub(super) fn follow(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// As if nobody had ever been ejected, and nothing counted.
    pub(super) fn pardon_all(&mut self) {
        for judged in &mut self.list {
            judged.ejected_at = None;
            judged.multiplier = 0;
            judged.counter.take();
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.rules.interval
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Those that stay keep what is known of them.
    pub(super) fn resolved(&mut self, backends: &[Backend]) {
        let mut before: HashMap<_, _> = (self.list.drain(..))
            .map(|judged| (judged.key.clone(), judged))
            .collect();
        self.by_address.clear();
        for backend in backends {
            let key = key(backend);
            let is_listed = |address| {
                let index = self.by_address.get(address);
                index
                    .and_then(|index| self.list.get(*index))
                    .is_some_and(|it: &Judged| it.key == key)
            };
            if key.first().is_some_and(is_listed) {
                continue;
            }
            for address in &key {
                self.by_address.insert(address.clone(), self.list.len());
            }
            let judged = before.remove(&key);
            self.list.push(judged.unwrap_or_else(|| Judged {
                key,
                ..Judged::default()
            }));
        }
        let counters = self.by_address.iter().filter_map(|(address, index)| {
            let judged = self.list.get(*index)?;
            Some((address.clone(), judged.counter.clone()))
        });
        self.counters = Arc::new(counters.collect());
    }

    pub(super) fn is_ejected(&self, address: &Address) -> bool {
        let index = self.by_address.get(address);
        let judged = index.and_then(|index| self.list.get(*index));
        judged.is_some_and(|judged| judged.ejected_at.is_some())
    }

    /// Looks at what was counted since the last time: gRFC A50, *Outlier Detection Behavior*, what
    /// the timer does.
    pub(super) fn sweep(&mut self, now: Instant, rng: &mut Rng) {
        let counts: Vec<_> = self
            .list
            .iter()
            .map(|judged| judged.counter.take())
            .collect();
        if let Some(rule) = self.rules.success_rate.clone() {
            let outliers = outliers_by_success_rate(&rule, &counts);
            self.eject(&outliers, &rule.limits, now, rng);
        }
        if let Some(rule) = self.rules.failure_percentage.clone() {
            let outliers = outliers_by_failure_percentage(&rule, &counts);
            self.eject(&outliers, &rule.limits, now, rng);
        }
        for judged in &mut self.list {
            match judged.ejected_at {
                None => judged.multiplier = judged.multiplier.saturating_sub(1),
                Some(time) => {
                    let rules = &self.rules;
                    let duration = rules.base_ejection_time.saturating_mul(judged.multiplier);
                    if now - time > duration.min(rules.max_ejection_time) {
                        judged.ejected_at = None;
                    }
                }
            }
        }
    }

    /// Ejects these, as far as the rules let it.
    fn eject(&mut self, outliers: &[usize], limits: &Limits, now: Instant, rng: &mut Rng) {
        let ejected = self
            .list
            .iter()
            .filter(|judged| judged.ejected_at.is_some());
        let mut ejected = ejected.count() as u64;
        let all = self.list.len() as u64;
        for index in outliers {
            if ejected * 100 >= self.rules.max_ejection * all {
                return;
            }
            let Some(judged) = self.list.get_mut(*index) else {
                continue;
            };
            // What comes in of calls from before changes nothing any more.
            if judged.ejected_at.is_some() || rng.u64(0..100) >= limits.enforcement {
                continue;
            }
            judged.ejected_at = Some(now);
            judged.multiplier = judged.multiplier.saturating_add(1);
            ejected += 1;
        }
    }
}

/// gRFC A50, *Success Rate Algorithm*.
fn outliers_by_success_rate(rule: &SuccessRate, counts: &[Count]) -> Vec<usize> {
    let Some(judged) = with_volume(&rule.limits, counts) else {
        return Vec::new();
    };
    let number = judged.len() as f64;
    let rates = judged.iter().map(|(_, count)| count.success_rate());
    let mean = rates.clone().sum::<f64>() / number;
    let variance = rates.map(|rate| (rate - mean).powi(2)).sum::<f64>() / number;
    let least = mean - variance.sqrt() * rule.factor;
    let outliers = judged
        .iter()
        .filter(|(_, count)| count.success_rate() < least);
    outliers.map(|(index, _)| *index).collect()
}

/// gRFC A50, *Failure Percentage Algorithm*.
fn outliers_by_failure_percentage(rule: &FailurePercentage, counts: &[Count]) -> Vec<usize> {
    let Some(judged) = with_volume(&rule.limits, counts) else {
        return Vec::new();
    };
    let outliers = judged.iter().filter(|(_, count)| {
        let percentage = 100.0 * count.failures as f64 / count.volume() as f64;
        percentage > rule.threshold as f64
    });
    outliers.map(|(index, _)| *index).collect()
}

/// Those that had enough calls, if they are enough to judge by.
fn with_volume(limits: &Limits, counts: &[Count]) -> Option<Vec<(usize, Count)>> {
    let enough = limits.request_volume.max(1);
    let judged = counts.iter().copied().enumerate();
    let judged: Vec<_> = judged
        .filter(|(_, count)| count.volume() >= enough)
        .collect();
    (judged.len() as u64 >= limits.minimum_hosts && !judged.is_empty()).then_some(judged)
}
