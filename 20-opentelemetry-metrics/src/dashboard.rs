//! What a dashboard makes of the numbers at `/metrics`.

use std::collections::BTreeMap;

use conform::metrics::Sample;
use conform::status::escape;

/// The calls of one method.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// How many have ended, by status.
    pub ended: BTreeMap<String, f64>,
    /// Bounds in seconds, and how many calls took no longer. A bound is there once for each status.
    pub buckets: Vec<(f64, f64)>,
}

/// What has been counted between two readings, for each method, by the instruments `of`:
/// `grpc_server_call` or `grpc_client_attempt`.
pub fn rows(before: &[Sample], after: &[Sample], of: &str) -> BTreeMap<String, Row> {
    let earlier = before.iter().map(|it| ((&it.name, &it.labels), it.value));
    let earlier: BTreeMap<_, _> = earlier.collect();
    let mut rows = BTreeMap::<String, Row>::new();
    for sample in after {
        let Some(name) = sample.name.strip_prefix(of) else {
            continue;
        };
        let earlier = earlier.get(&(&sample.name, &sample.labels)).unwrap_or(&0.0);
        let count = sample.value - earlier;
        let label = |name: &str| sample.labels.get(name).cloned().unwrap_or_default();
        let method = label("grpc_method");
        // Without its service.
        let method = escape(method.rsplit('/').next().unwrap_or_default());
        let row = rows.entry(method).or_default();
        match name {
            "_duration_seconds_count" if count > 0.0 => {
                *row.ended.entry(label("grpc_status")).or_default() += count;
            }
            "_duration_seconds_bucket" => {
                let bound = label("le").parse().unwrap_or(f64::INFINITY);
                row.buckets.push((bound, count));
            }
            _ => {}
        }
    }
    rows.retain(|_, row| row.calls() > 0.0);
    rows
}

impl Row {
    /// How many have ended.
    pub fn calls(&self) -> f64 {
        self.ended.values().sum()
    }

    /// How many of a hundred failed.
    pub fn error_percent(&self) -> f64 {
        100.0 - 100.0 * self.ended.get("OK").unwrap_or(&0.0) / self.calls()
    }

    /// The lowest bound that this part of the calls kept to, 0.5 for the median, in half seconds:
    /// one at least, since less is noise on a busy machine.
    pub fn half_seconds(&self, part: f64) -> f64 {
        let kept = |bound| -> f64 {
            let same = self.buckets.iter().filter(|(it, _)| *it == bound);
            same.map(|(_, count)| count).sum()
        };
        let bounds = self.buckets.iter().map(|(bound, _)| *bound);
        let bounds = bounds.filter(|bound| kept(*bound) >= part * self.calls());
        bounds.fold(f64::INFINITY, f64::min).max(0.5) * 2.0
    }
}
