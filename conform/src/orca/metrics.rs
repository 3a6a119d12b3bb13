//! What a server writes down: for one call, and for itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tonic::Request;

use super::pb::OrcaLoadReport;

/// How many names one report has at most, of all kinds together: 32.
///
/// With [`MAX_NAME`] it keeps a report below 4 KiB in the trailers: those who follow PROTOCOL-HTTP2
/// take 8 KiB of them.
pub const MAX_NAMES: usize = 32;

/// How many bytes a metric's name has at most: 64.
pub const MAX_NAME: usize = 64;

/// What is written down, and what isn't.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    cpu_utilization: Option<f64>,
    memory_utilization: Option<f64>,
    application_utilization: Option<f64>,
    qps: Option<f64>,
    eps: Option<f64>,
    utilization: BTreeMap<String, f64>,
    request_cost: BTreeMap<String, f64>,
    named_metrics: BTreeMap<String, f64>,
}

impl Metrics {
    /// The report, if there is anything to tell.
    pub(super) fn report(self) -> Option<OrcaLoadReport> {
        let numbers = [
            self.cpu_utilization,
            self.memory_utilization,
            self.application_utilization,
            self.qps,
            self.eps,
        ];
        let told = numbers.iter().any(Option::is_some) || self.names() > 0;
        told.then(|| self.into())
    }

    /// These, and what `of_server` has besides.
    ///
    /// A51, *Per-Request Metrics Reporting*, *The Server API*: those of the call win.
    pub(super) fn over(mut self, of_server: Self) -> Self {
        let mut room = MAX_NAMES.saturating_sub(self.names());
        for (name, value) in of_server.utilization {
            if room > 0 && !self.utilization.contains_key(&name) {
                self.utilization.insert(name, value);
                room -= 1;
            }
        }
        Self {
            cpu_utilization: self.cpu_utilization.or(of_server.cpu_utilization),
            memory_utilization: self.memory_utilization.or(of_server.memory_utilization),
            application_utilization: self
                .application_utilization
                .or(of_server.application_utilization),
            qps: self.qps.or(of_server.qps),
            eps: self.eps.or(of_server.eps),
            ..self
        }
    }

    fn names(&self) -> usize {
        self.utilization.len() + self.request_cost.len() + self.named_metrics.len()
    }

    fn has_room(&self) -> bool {
        self.names() < MAX_NAMES
    }
}

impl From<Metrics> for OrcaLoadReport {
    /// What isn't written down is 0, which is what proto3 makes of it anyway.
    fn from(metrics: Metrics) -> Self {
        Self {
            cpu_utilization: metrics.cpu_utilization.unwrap_or_default(),
            mem_utilization: metrics.memory_utilization.unwrap_or_default(),
            application_utilization: metrics.application_utilization.unwrap_or_default(),
            rps: 0,
            rps_fractional: metrics.qps.unwrap_or_default(),
            eps: metrics.eps.unwrap_or_default(),
            utilization: metrics.utilization,
            request_cost: metrics.request_cost,
            named_metrics: metrics.named_metrics,
        }
    }
}

/// 0 or more. NaN is neither.
fn amount(value: f64) -> bool {
    value >= 0.0 && value.is_finite()
}

/// A part of something: 0 to 1.
fn part(value: f64) -> bool {
    (0.0..=1.0).contains(&value)
}

/// Writes down a value that is valid, and forgets the old one if there is none.
fn set(place: &mut Option<f64>, value: Option<f64>, valid: fn(f64) -> bool) {
    if value.is_none_or(valid) {
        *place = value;
    }
}

/// The same for one name. A new one needs room.
fn put(
    names: &mut BTreeMap<String, f64>,
    room: bool,
    name: &str,
    value: Option<f64>,
    valid: fn(f64) -> bool,
) {
    let Some(value) = value else {
        names.remove(name);
        return;
    };
    if !valid(value) {
        return;
    }
    if let Some(old) = names.get_mut(name) {
        *old = value;
    } else if room && name.len() <= MAX_NAME {
        names.insert(name.to_owned(), value);
    }
}

/// What one call tells of itself and of its server. Clones write into the same report.
///
/// It is sent when the call ends, OK or not, and may be written until then. A value written twice
/// is the later one. One that can't be right isn't written: NaN, infinite, negative, or a part
/// above 1. Nor is a name of more than [`MAX_NAME`] bytes, or one beyond [`MAX_NAMES`].
#[derive(Clone, Debug, Default)]
pub struct CallMetrics(Arc<Mutex<Metrics>>);

impl CallMetrics {
    /// Those of the call that `request` began.
    ///
    /// Without [`ServerOrca`](super::ServerOrca) around the service, what is written is lost.
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// What this call has cost, by the name of what was used, in a unit of the application's own:
    /// any finite number.
    pub fn request_cost(&self, name: &str, value: f64) -> &Self {
        let mut metrics = self.lock();
        let room = metrics.has_room();
        let finite = f64::is_finite;
        put(&mut metrics.request_cost, room, name, Some(value), finite);
        self
    }

    /// A number that only the application understands: any finite one.
    pub fn named_metric(&self, name: &str, value: f64) -> &Self {
        let mut metrics = self.lock();
        let room = metrics.has_room();
        let finite = f64::is_finite;
        put(&mut metrics.named_metrics, room, name, Some(value), finite);
        self
    }

    /// The part of some resource that the server uses, by its name: 0 to 1.
    pub fn utilization(&self, name: &str, value: f64) -> &Self {
        let mut metrics = self.lock();
        let room = metrics.has_room();
        put(&mut metrics.utilization, room, name, Some(value), part);
        self
    }

    /// The part of the CPU that the server uses: 0 or more. Above 1 it is beyond its limit.
    pub fn cpu_utilization(&self, value: f64) -> &Self {
        set(&mut self.lock().cpu_utilization, Some(value), amount);
        self
    }

    /// The part of the memory that the server uses: 0 to 1.
    pub fn memory_utilization(&self, value: f64) -> &Self {
        set(&mut self.lock().memory_utilization, Some(value), part);
        self
    }

    /// How busy the application says it is: 0 or more. Balancers prefer it to the CPU's.
    pub fn application_utilization(&self, value: f64) -> &Self {
        let place = &mut self.lock().application_utilization;
        set(place, Some(value), amount);
        self
    }

    /// Requests a second that the server serves: 0 or more.
    pub fn qps(&self, value: f64) -> &Self {
        set(&mut self.lock().qps, Some(value), amount);
        self
    }

    /// Errors a second: 0 or more.
    pub fn eps(&self, value: f64) -> &Self {
        set(&mut self.lock().eps, Some(value), amount);
        self
    }

    /// What is written down by now.
    pub(super) fn metrics(&self) -> Metrics {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Metrics> {
        // A number that is half written doesn't exist: what a panic leaves is right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a server tells of itself, until it's told otherwise. Clones write into the same report.
///
/// For [`OutOfBand`](super::OutOfBand), and for [`ServerOrcaLayer::server`], which adds it to the
/// report of each call. `None` takes a value back. What [`CallMetrics`] doesn't write, this doesn't
/// either.
///
/// Measure at a steady pace, and write here; not once for each call, nor for each client.
///
/// [`ServerOrcaLayer::server`]: super::ServerOrcaLayer::server
#[derive(Clone)]
pub struct ServerMetrics(Arc<Shared>);

struct Shared {
    metrics: Mutex<Metrics>,
    /// Whether the streams have to end.
    closed: watch::Sender<bool>,
}

impl ServerMetrics {
    /// Of a server that has told nothing yet.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            metrics: Mutex::default(),
            closed: watch::Sender::new(false),
        }))
    }

    /// The part of some resource that is used, by its name: 0 to 1.
    pub fn utilization(&self, name: &str, value: impl Into<Option<f64>>) -> &Self {
        let mut metrics = self.lock();
        let room = metrics.has_room();
        put(&mut metrics.utilization, room, name, value.into(), part);
        self
    }

    /// These parts of resources, and no others.
    pub fn utilizations<'a>(&self, all: impl IntoIterator<Item = (&'a str, f64)>) -> &Self {
        let mut new = Metrics::default();
        for (name, value) in all {
            let room = new.has_room();
            put(&mut new.utilization, room, name, Some(value), part);
        }
        self.lock().utilization = new.utilization;
        self
    }

    /// The part of the CPU that is used: 0 or more. Above 1 the server is beyond its limit.
    pub fn cpu_utilization(&self, value: impl Into<Option<f64>>) -> &Self {
        set(&mut self.lock().cpu_utilization, value.into(), amount);
        self
    }

    /// The part of the memory that is used: 0 to 1.
    pub fn memory_utilization(&self, value: impl Into<Option<f64>>) -> &Self {
        set(&mut self.lock().memory_utilization, value.into(), part);
        self
    }

    /// How busy the application says it is: 0 or more. Balancers prefer it to the CPU's.
    pub fn application_utilization(&self, value: impl Into<Option<f64>>) -> &Self {
        let place = &mut self.lock().application_utilization;
        set(place, value.into(), amount);
        self
    }

    /// Requests a second, of all services together: 0 or more.
    pub fn qps(&self, value: impl Into<Option<f64>>) -> &Self {
        set(&mut self.lock().qps, value.into(), amount);
        self
    }

    /// Errors a second, of all services together: 0 or more.
    pub fn eps(&self, value: impl Into<Option<f64>>) -> &Self {
        set(&mut self.lock().eps, value.into(), amount);
        self
    }

    /// Ends all streams of reports with UNAVAILABLE, and refuses new ones. For the moment at which
    /// the server's connections close: it would wait for them without end.
    pub fn close(&self) {
        self.0.closed.send_replace(true);
    }

    /// Whether [`close`](Self::close) was called.
    pub(super) fn closed(&self) -> watch::Receiver<bool> {
        self.0.closed.subscribe()
    }

    /// What is written down by now.
    pub(super) fn metrics(&self) -> Metrics {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Metrics> {
        let metrics = self.0.metrics.lock();
        metrics.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ServerMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ServerMetrics {
    /// Without a lock, which whoever prints might hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerMetrics").finish_non_exhaustive()
    }
}
