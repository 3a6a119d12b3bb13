//! Backends, each with a connection of its own: what all policies but `pick_first` are made of.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;
use tonic::Status;

use super::dialer::{Dialer, Reach, addresses};
use super::{Control, Subchannel, SubchannelState};
use crate::connectivity::State;
use crate::resolver::{Address, Backend, Weight};

/// How many addresses a policy takes, of all backends together. Past it the list is refused.
pub const MAX_ADDRESSES: usize = 4096;

/// The backends of a policy, with their connections and what the policy keeps of each, `D`.
///
/// A backend that stays on the list keeps its connection and its `D`. Two are the same if their
/// addresses are, in any order: gRFC A61, *Address List Updates in Petiole Policies*.
pub(crate) struct Endpoints<D> {
    list: Vec<Endpoint<D>>,
    /// The indices of those that have an address.
    by_address: HashMap<Address, Vec<usize>>,
    /// All are to be connected at all times. Otherwise they connect when they are asked to.
    are_kept_connected: bool,
    last_error: Status,
}

/// One backend.
pub(crate) struct Endpoint<D> {
    key: Vec<Address>,
    backend: Arc<Backend>,
    weight: u64,
    dialer: Dialer,
    pub(crate) data: D,
}

impl<D: Default> Endpoints<D> {
    pub(crate) fn new(are_kept_connected: bool) -> Self {
        Self {
            list: Vec::new(),
            by_address: HashMap::new(),
            are_kept_connected,
            last_error: Status::unavailable("there are no backends yet"),
        }
    }

    /// These backends from now on, in this order. Those that are listed twice count once, with the
    /// sum of their weights.
    ///
    /// # Errors
    ///
    /// The list is empty: then there is no backend any more. Or it's too long: then nothing changes.
    pub(crate) fn resolved(
        &mut self,
        backends: &[Backend],
        control: &mut dyn Control,
    ) -> Result<(), String> {
        if let Err(why) = check_length(backends) {
            self.failed(&Status::unavailable(&*why));
            return Err(why);
        }
        let mut before: HashMap<_, _> = (self.list.drain(..))
            .map(|endpoint| (endpoint.key.clone(), endpoint))
            .collect();
        let mut seen: HashMap<Vec<Address>, usize> = HashMap::new();
        for backend in backends {
            let key = key(backend);
            let weight = weight(backend);
            if let Some(endpoint) = seen.get(&key).and_then(|index| self.list.get_mut(*index)) {
                endpoint.weight += weight;
                continue;
            }
            seen.insert(key.clone(), self.list.len());
            let backend = Arc::new(backend.clone());
            let mut endpoint = before.remove(&key).unwrap_or_else(|| Endpoint {
                key,
                backend: backend.clone(),
                weight: 0,
                dialer: Dialer::new(),
                data: D::default(),
            });
            endpoint.weight = weight;
            let addresses = addresses(&backend).collect();
            endpoint.backend = backend;
            endpoint.dialer.resolved(addresses, control);
            if self.are_kept_connected {
                endpoint.dialer.connect(control);
            }
            self.list.push(endpoint);
        }
        self.by_address.clear();
        for (index, endpoint) in self.list.iter().enumerate() {
            for address in &endpoint.key {
                let same = self.by_address.entry(address.clone()).or_default();
                same.push(index);
            }
        }
        if self.list.is_empty() {
            let why = "the resolver has found no backends";
            self.last_error = Status::unavailable(why);
            return Err(why.into());
        }
        Ok(())
    }

    /// The resolver failed, which matters if there are no backends.
    pub(crate) fn failed(&mut self, error: &Status) {
        if self.list.is_empty() {
            self.last_error = Status::unavailable(error.message());
        }
    }

    /// A subchannel has changed its state. Says whether there are others READY now.
    pub(crate) fn changed(
        &mut self,
        subchannel: &Subchannel,
        state: &SubchannelState,
        control: &mut dyn Control,
    ) -> bool {
        let id = |endpoint: &Endpoint<D>| endpoint.ready().map(Subchannel::id);
        let mut moved = false;
        let Some(indices) = self.by_address.get(subchannel.address()) else {
            return false;
        };
        for index in indices {
            let Some(endpoint) = self.list.get_mut(*index) else {
                continue;
            };
            let before = id(endpoint);
            endpoint.dialer.changed(subchannel, state, control);
            if self.are_kept_connected {
                endpoint.dialer.connect(control);
            }
            moved |= before != id(endpoint);
            if let Reach::Failed(error) = endpoint.dialer.reach() {
                self.last_error = error.clone();
            }
        }
        moved
    }

    /// The time has come that [`due`](Self::due) said, or another.
    pub(crate) fn woken(&mut self, control: &mut dyn Control) {
        let now = Instant::now();
        for endpoint in &mut self.list {
            endpoint.dialer.woken(now, control);
        }
    }

    /// When the next address of a backend is to be tried.
    pub(crate) fn due(&self) -> Option<Instant> {
        let due = self.list.iter().filter_map(|it| it.dialer.due());
        due.min()
    }

    /// The state of all together: gRFC A48, *Aggregated Connectivity State*.
    pub(crate) fn state(&self) -> State {
        let mut state = State::TransientFailure;
        for endpoint in &self.list {
            match endpoint.reach() {
                Reach::Ready(_) => return State::Ready,
                Reach::Connecting | Reach::Idle => state = State::Connecting,
                Reach::Failed(_) => {}
            }
        }
        state
    }

    /// What a call is told if it can't be made anywhere.
    pub(crate) fn error(&self) -> Status {
        if self.list.is_empty() {
            return self.last_error.clone();
        }
        unreachable(&self.last_error)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Endpoint<D>> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Endpoint<D>> {
        self.list.iter_mut()
    }
}

impl<D> Endpoint<D> {
    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Its [`Weight`], of all its places in the list together; one without counts 1.
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    pub(crate) fn reach(&self) -> Reach<'_> {
        self.dialer.reach()
    }

    /// Its connection, if there is one.
    pub(crate) fn ready(&self) -> Option<&Subchannel> {
        self.dialer.ready()
    }

    /// Leaves IDLE.
    pub(crate) fn connect(&mut self, control: &mut dyn Control) {
        self.dialer.connect(control);
    }

    /// A subchannel whose `connect` has this leave IDLE.
    pub(crate) fn first(&mut self, control: &mut dyn Control) -> Option<Subchannel> {
        self.dialer.first(control)
    }
}

/// # Errors
///
/// The list is too long.
pub(super) fn check_length(backends: &[Backend]) -> Result<(), String> {
    let addresses = backends.iter().map(|backend| backend.addresses().len());
    let addresses: usize = addresses.sum();
    if addresses > MAX_ADDRESSES {
        return Err(format!(
            "{addresses} addresses are too many: {MAX_ADDRESSES} is the most"
        ));
    }
    Ok(())
}

/// What a call is told while nothing can be reached, and this was the last error.
pub(super) fn unreachable(last: &Status) -> Status {
    let last = last.message();
    Status::unavailable(format!("no backend can be reached; the last error: {last}"))
}

/// One that says nothing, or nothing useful, counts 1, as in grpc-go.
pub(super) fn weight(backend: &Backend) -> u64 {
    let weight = backend.attribute::<Weight>();
    weight.map_or(1, |weight| u64::from(weight.0.max(1)))
}

/// What a backend is known by: its addresses, in any order.
pub(super) fn key(backend: &Backend) -> Vec<Address> {
    let mut key = backend.addresses().to_vec();
    key.sort_unstable();
    key.dedup();
    key
}
