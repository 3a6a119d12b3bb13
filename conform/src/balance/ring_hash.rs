//! `ring_hash_experimental`: calls with the same header go to the same backend.

use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use serde_json::Value;
use tokio::time::Instant;
use tonic::Status;
use tonic::codegen::http::HeaderName;
use twox_hash::XxHash64;

use super::config::Fields;
use super::dialer::Reach;
use super::endpoints::{Endpoint, Endpoints, unreachable};
use super::ring::{Entry, MAX_RING_SIZE, after, distance, ring};
use super::spread::Failing;
use super::{
    Call, Control, Pick, Picker, Policy, PolicyBuilder, PolicyConfig, Subchannel, SubchannelState,
};
use crate::connectivity::State;
use crate::resolver::Backend;

/// An attribute of a backend: its place on the ring of `ring_hash_experimental`, in place of its
/// first address. So a backend keeps its calls when it moves: gRFC A76, *Explicitly setting the
/// endpoint hash key*.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HashKey(pub String);

/// gRFC A42, *LB Policy Config*.
const DEFAULT_MIN: u64 = 1024;
const DEFAULT_MAX: u64 = 4096;
/// A config that asks for more is refused. One that asks for more than [`MAX_RING_SIZE`] gets that.
const MOST: u64 = 8 * 1024 * 1024;

/// Makes `ring_hash_experimental`.
pub(super) struct Builder;

impl PolicyBuilder for Builder {
    fn name(&self) -> &str {
        "ring_hash_experimental"
    }

    fn parse(&self, config: &Value) -> Result<Arc<dyn PolicyConfig>, String> {
        let fields = Fields::of(config)?;
        let size = |name, default| -> Result<u64, String> {
            let size = fields.number(name)?.filter(|size| *size > 0);
            let size = size.unwrap_or(default);
            if size > MOST {
                return Err(format!("{name} is {size}, and {MOST} is the most"));
            }
            Ok(size)
        };
        let min = size("minRingSize", DEFAULT_MIN)?;
        let max = size("maxRingSize", DEFAULT_MAX)?;
        if min > max {
            return Err(format!(
                "minRingSize is {min}, more than maxRingSize, {max}"
            ));
        }
        Ok(Arc::new(Config {
            min: min.min(MAX_RING_SIZE),
            max: max.min(MAX_RING_SIZE),
            header: header(&fields)?,
        }))
    }
}

/// gRFC A76, *Explicitly setting the request hash key*.
fn header(fields: &Fields<'_>) -> Result<HeaderName, String> {
    let name = fields.text("requestHashHeader")?.unwrap_or_default();
    if name.is_empty() {
        return Err("requestHashHeader must name the header whose value decides".into());
    }
    let header = HeaderName::try_from(name);
    let header = header.map_err(|_| format!("requestHashHeader {name:?} is no header's name"))?;
    if header.as_str().ends_with("-bin") {
        let why = format!("requestHashHeader {name:?} is a binary header, and must not be");
        return Err(why);
    }
    Ok(header)
}

#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) header: HeaderName,
}

impl PolicyConfig for Config {
    fn build(&self) -> Box<dyn Policy> {
        Box::new(policy(self.clone(), Rng::new()))
    }
}

pub(super) fn policy(config: Config, rng: Rng) -> RingHash {
    RingHash {
        config,
        rng,
        endpoints: Endpoints::new(false),
        ring: Arc::default(),
        wake_at: None,
    }
}

pub(super) struct RingHash {
    config: Config,
    rng: Rng,
    endpoints: Endpoints<()>,
    ring: Arc<Vec<Entry>>,
    /// What the control was asked for.
    wake_at: Option<Instant>,
}

impl RingHash {
    fn build_ring(&mut self) {
        let keys = self.endpoints.iter().map(|endpoint| {
            let backend = endpoint.backend();
            let key = backend.attribute::<HashKey>().map(|key| key.0.clone());
            let key = key.filter(|key| !key.is_empty());
            let first = || backend.addresses().first().map(ToString::to_string);
            let key = key.or_else(first).unwrap_or_default();
            (key, endpoint.weight())
        });
        let keys: Vec<_> = keys.collect();
        self.ring = Arc::new(ring(&keys, self.config.min, self.config.max));
    }

    /// gRFC A42, *Aggregated Connectivity State*.
    fn state(&self) -> State {
        let (mut failed, mut connecting, mut idle) = (0, 0, 0);
        for endpoint in self.endpoints.iter() {
            match endpoint.reach() {
                Reach::Ready(_) => return State::Ready,
                Reach::Failed(_) => failed += 1,
                Reach::Connecting => connecting += 1,
                Reach::Idle => idle += 1,
            }
        }
        match (failed, connecting, idle) {
            (2.., _, _) => State::TransientFailure,
            (_, 1.., _) | (1, _, 1..) => State::Connecting,
            (0, 0, 1..) => State::Idle,
            _ => State::TransientFailure,
        }
    }

    /// While nothing is READY, and something has failed, one after another is connected, though no
    /// call asks for it: gRFC A61, *Ring Hash*.
    fn connect_another(&mut self, control: &mut dyn Control) {
        if !matches!(self.state(), State::Connecting | State::TransientFailure) {
            return;
        }
        let is_connecting = |it: &Endpoint<()>| matches!(it.reach(), Reach::Connecting);
        if self.endpoints.iter().any(is_connecting) {
            return;
        }
        let mut all = self.endpoints.iter_mut();
        if let Some(idle) = all.find(|it| matches!(it.reach(), Reach::Idle)) {
            idle.connect(control);
        }
    }

    fn settle(&mut self, control: &mut dyn Control) {
        self.connect_another(control);
        let state = self.state();
        if self.endpoints.iter().len() == 0 {
            let failing = Failing(self.endpoints.error());
            control.publish(state, Arc::new(failing));
            return;
        }
        let mut places = Vec::with_capacity(self.endpoints.iter().len());
        for endpoint in self.endpoints.iter_mut() {
            let place = match endpoint.reach() {
                Reach::Ready(subchannel) => Place::Ready(subchannel.clone()),
                Reach::Connecting => Place::Connecting,
                Reach::Failed(error) => Place::Failed(error.clone()),
                Reach::Idle => match endpoint.first(control) {
                    Some(subchannel) => Place::Idle(subchannel),
                    None => Place::Connecting,
                },
            };
            places.push(place);
        }
        let chance = self.rng.u64(..);
        let header = self.config.header.clone();
        let picker = OnRing::new(self.ring.clone(), places, header, chance);
        control.publish(state, Arc::new(picker));
        if let Some(due) = self.endpoints.due()
            && self.wake_at != Some(due)
        {
            self.wake_at = Some(due);
            control.wake_at(due);
        }
    }
}

impl Policy for RingHash {
    fn resolved(&mut self, backends: &[Backend], control: &mut dyn Control) -> Result<(), String> {
        let result = self.endpoints.resolved(backends, control);
        self.build_ring();
        self.settle(control);
        result
    }

    fn reconfigured(&mut self, config: &dyn PolicyConfig) -> bool {
        let Some(config) = config.downcast_ref::<Config>() else {
            return false;
        };
        self.config = config.clone();
        true
    }

    fn failed(&mut self, error: &Status, control: &mut dyn Control) {
        self.endpoints.failed(error);
        self.settle(control);
    }

    fn changed(
        &mut self,
        subchannel: &Subchannel,
        state: &SubchannelState,
        control: &mut dyn Control,
    ) {
        self.endpoints.changed(subchannel, state, control);
        self.settle(control);
    }

    fn woken(&mut self, control: &mut dyn Control) {
        self.wake_at = None;
        self.endpoints.woken(control);
        self.settle(control);
    }
}

/// Where a backend stands.
enum Place {
    Idle(Subchannel),
    Connecting,
    Ready(Subchannel),
    Failed(Status),
}

struct OnRing {
    ring: Arc<Vec<Entry>>,
    /// What is left of the ring without the backends that have failed, with only those that are
    /// READY, and with only those that are IDLE. So nobody has to walk it.
    hopeful: Arc<Vec<Entry>>,
    ready: Vec<Entry>,
    idle: Vec<Entry>,
    places: Vec<Place>,
    is_connecting: bool,
    header: HeaderName,
    /// The seed of the next call's hash, if it has none.
    chance: AtomicU64,
}

impl OnRing {
    fn new(ring: Arc<Vec<Entry>>, places: Vec<Place>, header: HeaderName, chance: u64) -> Self {
        let only = |is_one: fn(&Place) -> bool| -> Vec<Entry> {
            let entries = ring.iter().copied();
            let entries = entries.filter(|entry| places.get(entry.backend).is_some_and(is_one));
            entries.collect()
        };
        let has_failed = |place: &Place| matches!(place, Place::Failed(_));
        let hopeful = if places.iter().any(has_failed) {
            Arc::new(only(|place| !matches!(place, Place::Failed(_))))
        } else {
            ring.clone()
        };
        Self {
            hopeful,
            ready: only(|place| matches!(place, Place::Ready(_))),
            idle: only(|place| matches!(place, Place::Idle(_))),
            is_connecting: (places.iter()).any(|place| matches!(place, Place::Connecting)),
            ring,
            places,
            header,
            chance: AtomicU64::new(chance),
        }
    }

    /// What decides, if the call has it. Several values count as one, joined by commas.
    fn hash(&self, call: &Call<'_>) -> Option<u64> {
        let mut values = call.headers.get_all(&self.header).iter();
        let first = values.next()?;
        let mut hasher = XxHash64::with_seed(0);
        hasher.write(first.as_bytes());
        let mut is_empty = first.is_empty();
        for value in values {
            is_empty = false;
            hasher.write(b",");
            hasher.write(value.as_bytes());
        }
        (!is_empty).then(|| hasher.finish())
    }

    /// gRFC A61, *Ring Hash*.
    fn pick_hashed(&self, hash: u64) -> Pick {
        match self.place(&self.hopeful, hash) {
            Some(Place::Ready(subchannel)) => subchannel.clone().into(),
            Some(Place::Idle(subchannel)) => {
                subchannel.connect();
                Pick::Wait
            }
            Some(Place::Connecting | Place::Failed(_)) => Pick::Wait,
            None => self.fail(hash),
        }
    }

    /// For a call without the header: gRFC A76, *Explicitly setting the request hash key*.
    fn pick_random(&self) -> Pick {
        let seed = self.chance.fetch_add(1, Ordering::Relaxed);
        let hash = Rng::with_seed(seed).u64(..);
        let ready = after(&self.ready, hash);
        let idle = after(&self.idle, hash).filter(|idle| {
            let is_nearer = |ready| distance(hash, *idle) < distance(hash, ready);
            !self.is_connecting && ready.is_none_or(is_nearer)
        });
        if let Some(Place::Idle(subchannel)) = idle.and_then(|entry| self.places.get(entry.backend))
        {
            subchannel.connect();
        }
        match ready.and_then(|entry| self.places.get(entry.backend)) {
            Some(Place::Ready(subchannel)) => subchannel.clone().into(),
            _ if idle.is_some() || self.is_connecting => Pick::Wait,
            _ => self.fail(hash),
        }
    }

    fn place(&self, entries: &[Entry], hash: u64) -> Option<&Place> {
        self.places.get(after(entries, hash)?.backend)
    }

    /// All have failed: the call hears of its own backend's failure.
    fn fail(&self, hash: u64) -> Pick {
        match self.place(&self.ring, hash) {
            Some(Place::Failed(error)) => Pick::Fail(unreachable(error)),
            _ => Pick::Wait,
        }
    }
}

impl Picker for OnRing {
    fn pick(&self, call: &Call<'_>) -> Pick {
        match self.hash(call) {
            Some(hash) => self.pick_hashed(hash),
            None => self.pick_random(),
        }
    }
}
