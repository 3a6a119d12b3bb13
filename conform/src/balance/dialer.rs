//! One connection to the first of several addresses that can be reached.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use super::{Control, Subchannel, SubchannelState};
use crate::resolver::{Address, Backend};

/// How long an attempt may take before the next address is tried beside it: RFC 8305, section 5.
pub const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to one of several addresses, as gRFC A61 has it in *Happy Eyeballs in the pick_first LB
/// Policy*. Every policy reaches its backends by this: `pick_first` has one, the others one for each
/// backend.
pub(crate) struct Dialer {
    /// In the order in which they are tried.
    lines: Vec<Line>,
    phase: Phase,
    /// All addresses have failed, and none has been READY since: gRFC A62, *Use sticky-TF by
    /// default*.
    is_failing: bool,
    last_error: Status,
}

/// One address, and its subchannel once it has been tried.
struct Line {
    backend: Arc<Backend>,
    address: Address,
    tried: Option<Tried>,
}

struct Tried {
    subchannel: Subchannel,
    state: SubchannelState,
    /// In this pass.
    has_failed: bool,
}

#[derive(Clone, Copy)]
enum Phase {
    /// Nobody wants a connection.
    Idle,
    /// The first pass: `at` was tried last, and the next one is due at this time. `at` is past the
    /// end once all have been tried.
    Pass { at: usize, due: Option<Instant> },
    /// Each address is tried again and again, after its own backoff.
    Again { failures: usize },
    /// This one was READY first. The others are gone.
    Chosen(usize),
}

/// Where a dialer stands.
#[derive(Clone, Copy)]
pub(crate) enum Reach<'a> {
    Idle,
    Connecting,
    Ready(&'a Subchannel),
    Failed(&'a Status),
}

impl Dialer {
    pub(crate) fn new() -> Self {
        Self {
            lines: Vec::new(),
            phase: Phase::Idle,
            is_failing: false,
            last_error: Status::unavailable("no address has been tried"),
        }
    }

    pub(crate) fn reach(&self) -> Reach<'_> {
        match self.phase {
            Phase::Idle => Reach::Idle,
            Phase::Chosen(index) => match self.tried(index) {
                Some(Tried {
                    subchannel,
                    state: SubchannelState::Ready,
                    ..
                }) => Reach::Ready(subchannel),
                _ => self.unready(),
            },
            Phase::Pass { .. } | Phase::Again { .. } => self.unready(),
        }
    }

    fn unready(&self) -> Reach<'_> {
        if self.is_failing {
            Reach::Failed(&self.last_error)
        } else {
            Reach::Connecting
        }
    }

    pub(crate) fn ready(&self) -> Option<&Subchannel> {
        match self.reach() {
            Reach::Ready(subchannel) => Some(subchannel),
            _ => None,
        }
    }

    /// When [`woken`](Self::woken) wants to be called.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Pass { due, .. } => due,
            _ => None,
        }
    }

    /// These addresses from now on. A connection to one of them stays. A pass that has begun begins
    /// anew, over all of them.
    pub(crate) fn resolved(&mut self, addresses: Vec<Target>, control: &mut dyn Control) {
        let chosen = match self.phase {
            Phase::Chosen(index) => self.lines.get(index).map(|line| line.address.clone()),
            _ => None,
        };
        let mut before: HashMap<_, _> = (self.lines.drain(..))
            .filter_map(|line| Some((line.address, line.tried?)))
            .collect();
        let lines = in_order(addresses).into_iter().map(|(backend, address)| {
            let tried = before.remove(&address);
            Line {
                backend,
                address,
                tried,
            }
        });
        self.lines = lines.collect();
        match self.phase {
            Phase::Idle => {}
            Phase::Pass { .. } | Phase::Again { .. } => self.begin(control),
            Phase::Chosen(_) => {
                let stays = self
                    .lines
                    .iter()
                    .position(|line| Some(&line.address) == chosen.as_ref());
                match stays {
                    Some(index) => self.phase = Phase::Chosen(index),
                    None => self.begin(control),
                }
            }
        }
    }

    /// Leaves IDLE.
    pub(crate) fn connect(&mut self, control: &mut dyn Control) {
        if matches!(self.phase, Phase::Idle) {
            self.begin(control);
        }
    }

    /// A subchannel of the first address: whoever connects it, from a picker, has this leave IDLE.
    pub(crate) fn first(&mut self, control: &mut dyn Control) -> Option<Subchannel> {
        let line = self.lines.first_mut()?;
        Some(line.subchannel(control).subchannel.clone())
    }

    /// A subchannel has changed its state. It may be another's.
    pub(crate) fn changed(
        &mut self,
        subchannel: &Subchannel,
        state: &SubchannelState,
        control: &mut dyn Control,
    ) {
        let known = self.lines.iter_mut().map(|line| line.tried.as_mut());
        let mut known = known.enumerate();
        let found = known.find_map(|(index, tried)| {
            let tried = tried.filter(|tried| tried.subchannel == *subchannel)?;
            Some((index, tried))
        });
        let Some((index, tried)) = found else {
            return;
        };
        let was_connecting = matches!(tried.state, SubchannelState::Connecting);
        tried.state = state.clone();
        if let SubchannelState::TransientFailure(error) = state {
            tried.has_failed = true;
            self.last_error = error.clone();
        }
        match (self.phase, state) {
            (_, SubchannelState::Ready) => self.choose(index),
            (Phase::Idle, SubchannelState::Idle) => {}
            // A picker has connected it.
            (Phase::Idle, _) => self.begin(control),
            (Phase::Chosen(_), SubchannelState::Idle) => self.lost(index, control),
            // The connection is there, but its backend is ill (gRFC A17), or to be asked again.
            (Phase::Chosen(_), SubchannelState::TransientFailure(_)) => self.is_failing = true,
            (Phase::Chosen(_), SubchannelState::Connecting) => {}
            // There was a connection, for too short a time to be told of.
            (Phase::Pass { .. }, SubchannelState::Idle) if was_connecting => {
                self.lost(index, control);
            }
            (Phase::Pass { at, .. }, SubchannelState::TransientFailure(_)) => {
                if index == at {
                    self.go_on(at + 1, control);
                } else {
                    self.end_pass(control);
                }
            }
            (Phase::Pass { .. }, _) => {}
            (Phase::Again { .. }, SubchannelState::Idle) => subchannel.connect(),
            (Phase::Again { failures }, SubchannelState::TransientFailure(_)) => {
                let mut failures = failures + 1;
                // As many as there are addresses: gRFC A61, the same section.
                if failures >= self.lines.len() {
                    failures = 0;
                    control.re_resolve();
                }
                self.phase = Phase::Again { failures };
            }
            (Phase::Again { .. }, SubchannelState::Connecting) => {}
        }
    }

    /// The time may have come for the next address.
    pub(crate) fn woken(&mut self, now: Instant, control: &mut dyn Control) {
        if let Phase::Pass { at, due: Some(due) } = self.phase
            && due <= now
        {
            self.go_on(at + 1, control);
        }
    }

    fn tried(&self, index: usize) -> Option<&Tried> {
        self.lines.get(index)?.tried.as_ref()
    }

    /// Begins a pass.
    fn begin(&mut self, control: &mut dyn Control) {
        for tried in self.lines.iter_mut().filter_map(|line| line.tried.as_mut()) {
            tried.has_failed = false;
        }
        self.go_on(0, control);
    }

    /// Tries the address at this place, or the next one that isn't in backoff.
    fn go_on(&mut self, first: usize, control: &mut dyn Control) {
        let last = self.lines.len().saturating_sub(1);
        for at in first..self.lines.len() {
            let tried = self.lines[at].subchannel(control);
            match &tried.state {
                SubchannelState::TransientFailure(error) => {
                    tried.has_failed = true;
                    self.last_error = error.clone();
                    continue;
                }
                SubchannelState::Idle => tried.subchannel.connect(),
                SubchannelState::Connecting => {}
                SubchannelState::Ready => return self.choose(at),
            }
            let due = (at < last).then(|| Instant::now() + CONNECTION_ATTEMPT_DELAY);
            self.phase = Phase::Pass { at, due };
            return;
        }
        let at = self.lines.len();
        self.phase = Phase::Pass { at, due: None };
        self.end_pass(control);
    }

    /// The first pass is over once each address has failed.
    fn end_pass(&mut self, control: &mut dyn Control) {
        let has_failed = |line: &Line| line.tried.as_ref().is_some_and(|tried| tried.has_failed);
        if !self.lines.iter().all(has_failed) {
            return;
        }
        self.is_failing = true;
        self.phase = Phase::Again { failures: 0 };
        control.re_resolve();
        for tried in self.lines.iter().filter_map(|line| line.tried.as_ref()) {
            if matches!(tried.state, SubchannelState::Idle) {
                tried.subchannel.connect();
            }
        }
    }

    /// This one is READY. The others go.
    fn choose(&mut self, index: usize) {
        self.keep_only(index);
        self.phase = Phase::Chosen(index);
        self.is_failing = false;
    }

    /// The connection is lost.
    fn lost(&mut self, index: usize, control: &mut dyn Control) {
        self.keep_only(index);
        self.phase = Phase::Idle;
        self.is_failing = false;
        control.re_resolve();
    }

    fn keep_only(&mut self, index: usize) {
        for (other, line) in self.lines.iter_mut().enumerate() {
            if other != index {
                line.tried = None;
            }
        }
    }
}

impl Line {
    fn subchannel(&mut self, control: &mut dyn Control) -> &mut Tried {
        self.tried.get_or_insert_with(|| Tried {
            subchannel: control.subchannel(&self.backend, &self.address),
            state: SubchannelState::Idle,
            has_failed: false,
        })
    }
}

/// An address, and the backend that has it.
pub(crate) type Target = (Arc<Backend>, Address);

/// The addresses of a backend.
pub(crate) fn addresses(backend: &Arc<Backend>) -> impl Iterator<Item = Target> {
    let all = backend.addresses().iter();
    all.map(|address| (backend.clone(), address.clone()))
}

/// Each address once, and the families in turn: RFC 8305, section 4.
fn in_order(addresses: Vec<Target>) -> Vec<Target> {
    let mut seen = HashSet::new();
    let mut families: Vec<(Family, Vec<Target>)> = Vec::new();
    for target in addresses {
        if !seen.insert(target.1.clone()) {
            continue;
        }
        let family = Family::of(&target.1);
        match families.iter_mut().find(|(other, _)| *other == family) {
            Some((_, members)) => members.push(target),
            None => families.push((family, vec![target])),
        }
    }
    let mut turns: Vec<_> = (families.into_iter())
        .map(|(_, members)| members.into_iter())
        .collect();
    let mut ordered = Vec::with_capacity(seen.len());
    while ordered.len() < seen.len() {
        ordered.extend(turns.iter_mut().filter_map(Iterator::next));
    }
    ordered
}

#[derive(PartialEq)]
enum Family {
    V4,
    V6,
    Other,
}

impl Family {
    fn of(address: &Address) -> Self {
        match address {
            Address::Tcp(address) => match address.ip().to_canonical() {
                std::net::IpAddr::V4(_) => Self::V4,
                std::net::IpAddr::V6(_) => Self::V6,
            },
            _ => Self::Other,
        }
    }
}
