//! How a call went on from attempt to attempt: gRFC A96.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request};

use super::RETRY_BOUNDS;
use super::call::duration;

/// What A96 has a client record.
#[derive(Debug)]
pub(super) struct RetryInstruments {
    retries: Histogram<u64>,
    transparent_retries: Histogram<u64>,
    hedges: Histogram<u64>,
    delay: Histogram<f64>,
}

impl RetryInstruments {
    pub(super) fn new(meter: &Meter) -> Arc<Self> {
        let count = |name, unit, bounds: &[f64], description| {
            let histogram = meter.u64_histogram(name).with_unit(unit);
            let histogram = histogram.with_boundaries(bounds.to_vec());
            histogram.with_description(description).build()
        };
        Arc::new(Self {
            retries: count(
                "grpc.client.call.retries",
                "{retry}",
                &RETRY_BOUNDS[..5],
                "Number of retries during the client call.",
            ),
            transparent_retries: count(
                "grpc.client.call.transparent_retries",
                "{transparent_retry}",
                &RETRY_BOUNDS,
                "Number of transparent retries during the client call.",
            ),
            hedges: count(
                "grpc.client.call.hedges",
                "{hedge}",
                &RETRY_BOUNDS[..5],
                "Number of hedges during the client call.",
            ),
            delay: duration(
                meter,
                "grpc.client.call.retry_delay",
                "Total time of delay while there is no active attempt during the client call.",
            ),
        })
    }
}

/// A call's count of its attempts. It travels in the extensions of its request.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    is_hedged: bool,
    /// A bit for each number of earlier attempts that an attempt has named. One that names the same
    /// again is a transparent retry.
    seen: u32,
    retries: u64,
    transparent_retries: u64,
    hedges: u64,
    running: u32,
    /// When the last attempt ended that ran.
    paused: Option<Instant>,
    delay: Duration,
}

impl Tally {
    /// The call's attempts are hedges.
    pub(crate) fn hedged(&self) {
        self.progress().is_hedged = true;
    }

    /// An attempt begins. It runs until what is returned is dropped.
    pub(super) fn attempt(self: &Arc<Self>, request: &Request<Body>) -> Attempt {
        let earlier = earlier_attempts(request.headers());
        let bit = 1_u32.checked_shl(earlier).unwrap_or_default();
        let mut progress = self.progress();
        if progress.seen & bit != 0 {
            progress.transparent_retries += 1;
        } else if earlier > 0 && progress.is_hedged {
            progress.hedges += 1;
        } else if earlier > 0 {
            progress.retries += 1;
        }
        progress.seen |= bit;
        if let Some(paused) = progress.paused.take() {
            progress.delay += paused.elapsed();
        }
        progress.running += 1;
        drop(progress);
        Attempt(self.clone())
    }

    /// The call is over.
    pub(super) fn record(&self, instruments: &RetryInstruments, attributes: &[KeyValue]) {
        let progress = self.progress();
        for (histogram, count) in [
            (&instruments.retries, progress.retries),
            (
                &instruments.transparent_retries,
                progress.transparent_retries,
            ),
            (&instruments.hedges, progress.hedges),
        ] {
            // A96: "0 is not reported".
            if count > 0 {
                histogram.record(count, attributes);
            }
        }
        let delay = progress.delay.as_secs_f64();
        instruments.delay.record(delay, attributes);
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Nothing here panics while it is held.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt that runs.
#[derive(Debug)]
pub(super) struct Attempt(Arc<Tally>);

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut progress = self.0.progress();
        progress.running = progress.running.saturating_sub(1);
        if progress.running == 0 {
            progress.paused = Some(Instant::now());
        }
    }
}

fn earlier_attempts(headers: &HeaderMap) -> u32 {
    let value = headers.get("grpc-previous-rpc-attempts");
    let value = value.and_then(|value| value.to_str().ok()?.parse().ok());
    value.unwrap_or_default()
}
