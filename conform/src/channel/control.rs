//! The one task of a channel that knows all: it hears the resolver and the subchannels, and runs the
//! policy.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use super::Published;
use super::connect::Connect;
use super::run::guarded;
use super::subchannel::{Connecting, Event, Task};
use crate::balance::{
    Call, Chosen, Control, Pick, Picker, Policy, Subchannel, SubchannelState, WeakSubchannel,
};
#[cfg(feature = "channelz")]
use crate::channelz::ChannelEntry;
use crate::connectivity::State;
use crate::resolver::{Address, Backend};

/// How many events of subchannels wait to be heard. A subchannel waits with the next one then.
const EVENTS: usize = 64;

/// The policy of a channel, and the one that takes its place once it can.
pub(super) struct Policies {
    current: Option<Running>,
    /// Has yet to find a backend, while the current one goes on (graceful switch).
    next: Option<Running>,
    environment: Environment,
    events: mpsc::Receiver<Event>,
}

struct Running {
    chosen: Chosen,
    policy: Box<dyn Policy>,
    /// It has panicked.
    is_broken: bool,
    means: Means,
}

/// What every policy's means are made of.
#[derive(Clone)]
struct Environment {
    connector: Arc<dyn Connect>,
    health: Option<Arc<str>>,
    events: mpsc::Sender<Event>,
    /// The number of the newest subchannel.
    newest: Arc<AtomicU64>,
    /// Who tells of the channel.
    #[cfg(feature = "channelz")]
    entry: Option<ChannelEntry>,
}

/// What one policy has at its disposal, and what it has done with it.
struct Means {
    environment: Environment,
    subchannels: BTreeMap<u64, WeakSubchannel>,
    published: Option<(State, Arc<dyn Picker>)>,
    wake_at: Option<Instant>,
    re_resolve: bool,
}

impl Policies {
    pub(super) fn new(connector: impl Connect) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        Self {
            current: None,
            next: None,
            environment: Environment {
                connector: Arc::new(connector),
                health: None,
                events: sender,
                newest: Arc::default(),
                #[cfg(feature = "channelz")]
                entry: None,
            },
            events,
        }
    }

    /// Has `entry` tell of the subchannels.
    #[cfg(feature = "channelz")]
    pub(super) fn show(&mut self, entry: Option<ChannelEntry>) {
        self.environment.entry = entry;
    }

    /// Lets go of all there is.
    pub(super) fn clear(&mut self) {
        let all = (self.current.take(), self.next.take());
        guarded(|| drop(all));
    }

    /// New backends, for this policy; `health` is the service that they are asked for.
    ///
    /// # Errors
    ///
    /// What the policy has against them.
    pub(super) fn resolved(
        &mut self,
        backends: &[Backend],
        chosen: &Chosen,
        health: Option<&str>,
    ) -> Result<(), String> {
        let checks_health = || guarded(|| chosen.config().health_checks()).unwrap_or(true);
        let health = health.filter(|_| checks_health());
        let newest = self.next.as_mut().or(self.current.as_mut());
        let goes_on = newest.is_some_and(|running| {
            running.means.environment.health.as_deref() == health && running.takes(chosen)
        });
        if !goes_on {
            let mut environment = self.environment.clone();
            environment.health = health.map(Into::into);
            let running = Running::new(chosen.clone(), environment);
            self.next = Some(running);
        }
        let newest = self.next.as_mut().or(self.current.as_mut());
        let result = newest.map_or(Ok(()), |running| {
            let result = running.run(|policy, means| policy.resolved(backends, means));
            // Those that the policy has left.
            (running.means.subchannels).retain(|_, subchannel| subchannel.upgrade().is_some());
            // One that has panicked will do so again.
            result.unwrap_or(Ok(()))
        });
        self.settle();
        result
    }

    /// The resolver failed. Says whether there is a policy to care for that.
    pub(super) fn failed(&mut self, error: &Status) -> bool {
        let newest = self.next.as_mut().or(self.current.as_mut());
        let is_there = newest.is_some();
        if let Some(running) = newest {
            running.run(|policy, means| policy.failed(error, means));
        }
        self.settle();
        is_there
    }

    /// Somebody wants a connection.
    pub(super) fn connect(&mut self) {
        for running in self.both() {
            if running.state() == Some(State::Idle) {
                running.run(|policy, means| policy.connect(means));
            }
        }
        self.settle();
    }

    /// Waits until something happens below, and lets the policy know.
    pub(super) async fn event(&mut self) {
        let wake_at = self
            .both()
            .filter_map(|running| running.means.wake_at)
            .min();
        let sleep = async {
            match wake_at {
                Some(time) => sleep_until(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            event = self.events.recv() => if let Some((id, state)) = event {
                self.changed(id, &state);
            },
            () = sleep => self.woken(),
        }
        self.settle();
    }

    fn changed(&mut self, id: u64, state: &SubchannelState) {
        for running in self.both() {
            let Some(subchannel) = running.means.subchannels.get(&id) else {
                continue;
            };
            match subchannel.upgrade() {
                Some(subchannel) => {
                    running.run(|policy, means| policy.changed(&subchannel, state, means));
                }
                None => {
                    running.means.subchannels.remove(&id);
                }
            }
        }
    }

    fn woken(&mut self) {
        let now = Instant::now();
        for running in self.both() {
            if running.means.wake_at.is_some_and(|time| time <= now) {
                running.means.wake_at = None;
                running.run(|policy, means| policy.woken(means));
            }
        }
    }

    fn both(&mut self) -> impl Iterator<Item = &mut Running> {
        self.current.iter_mut().chain(&mut self.next)
    }

    /// The next policy takes over when it has something better to say than that it's connecting, or
    /// when the current one has no connection either.
    fn settle(&mut self) {
        let Some(next) = &self.next else {
            return;
        };
        let is_better = next.state().is_some_and(|state| state != State::Connecting);
        let is_missed = (self.current.as_ref()).is_some_and(|it| it.state() == Some(State::Ready));
        if is_better || !is_missed {
            let before = mem::replace(&mut self.current, self.next.take());
            guarded(|| drop(before));
        }
    }

    /// What calls are to be told now, if there is anything.
    pub(super) fn published(&self) -> Option<Published> {
        let (state, picker) = self.current.as_ref()?.means.published.clone()?;
        Some(Published::new(state, picker))
    }

    /// Whether calls have been told that already.
    pub(super) fn says(&self, known: &Published) -> bool {
        let current = self.current.as_ref();
        let said = current.and_then(|running| running.means.published.as_ref());
        said.is_some_and(|(state, picker)| {
            *state == known.state && Arc::ptr_eq(picker, &known.picker)
        })
    }

    /// Whether a policy has asked for the resolver since the last question.
    pub(super) fn take_re_resolve(&mut self) -> bool {
        let mut is_wanted = false;
        for running in self.both() {
            is_wanted |= mem::take(&mut running.means.re_resolve);
        }
        is_wanted
    }
}

impl Running {
    fn new(chosen: Chosen, environment: Environment) -> Self {
        let policy = guarded(|| chosen.config().build());
        let mut running = Self {
            chosen,
            policy: Box::new(Broken),
            is_broken: false,
            means: Means {
                environment,
                subchannels: BTreeMap::new(),
                published: None,
                wake_at: None,
                re_resolve: false,
            },
        };
        match policy {
            Some(policy) => running.policy = policy,
            None => running.broke(),
        }
        running
    }

    /// Says whether it is this policy, or is it from now on.
    fn takes(&mut self, chosen: &Chosen) -> bool {
        if self.is_broken || self.chosen.name() != chosen.name() {
            return false;
        }
        if self.chosen != *chosen {
            let takes = self.run(|policy, _| policy.reconfigured(chosen.config()));
            if takes != Some(true) {
                return false;
            }
            self.chosen = chosen.clone();
        }
        true
    }

    fn state(&self) -> Option<State> {
        Some(self.means.published.as_ref()?.0)
    }

    /// Runs a method of the policy. One that panics is taken away.
    fn run<T>(&mut self, method: impl FnOnce(&mut dyn Policy, &mut Means) -> T) -> Option<T> {
        let result = guarded(|| method(&mut *self.policy, &mut self.means));
        if result.is_none() {
            self.broke();
        }
        result
    }

    fn broke(&mut self) {
        let name = self.chosen.name();
        let status = Status::internal(format!("the load balancing policy {name} has panicked"));
        self.is_broken = true;
        self.means.wake_at = None;
        self.means.published = Some((State::TransientFailure, Arc::new(Failing(status))));
        // Dropping it may panic too.
        let policy = mem::replace(&mut self.policy, Box::new(Broken));
        guarded(|| drop(policy));
    }
}

impl Control for Means {
    fn subchannel(&mut self, backend: &Backend, address: &Address) -> Subchannel {
        let _ = backend;
        let connecting = Connecting {
            connector: self.environment.connector.clone(),
            health: self.environment.health.clone(),
            events: self.environment.events.clone(),
        };
        let id = 1 + self.environment.newest.fetch_add(1, Ordering::Relaxed);
        let subchannel = Subchannel::new(id, address.clone(), |shared| {
            #[cfg(feature = "channelz")]
            if let Some(entry) = &self.environment.entry {
                shared.show(entry.subchannel_at(&address.to_string()));
            }
            Task::spawn(connecting.run(shared.clone()))
        });
        self.subchannels.insert(id, subchannel.downgrade());
        subchannel
    }

    fn publish(&mut self, state: State, picker: Arc<dyn Picker>) {
        self.published = Some((state, picker));
    }

    fn re_resolve(&mut self) {
        self.re_resolve = true;
    }

    fn wake_at(&mut self, time: Instant) {
        self.wake_at = Some(time);
    }
}

/// In place of a policy that has panicked.
struct Broken;

impl Policy for Broken {
    fn resolved(&mut self, _: &[Backend], _: &mut dyn Control) -> Result<(), String> {
        Ok(())
    }

    fn failed(&mut self, _: &Status, _: &mut dyn Control) {}

    fn changed(&mut self, _: &Subchannel, _: &SubchannelState, _: &mut dyn Control) {}
}

/// Fails every call.
pub(super) struct Failing(pub(super) Status);

impl Picker for Failing {
    fn pick(&self, _: &Call<'_>) -> Pick {
        Pick::Fail(self.0.clone())
    }
}
