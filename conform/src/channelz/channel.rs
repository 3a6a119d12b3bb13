//! Channels and their subchannels: calls, states, and the connections that are made for them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

#[cfg(feature = "channel")]
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::sync::watch;
#[cfg(feature = "channel")]
use tonic::Code;
use tonic::codegen::http::Uri;
use tonic::codegen::{Service, StdError};

use super::calls::{Calls, CountCallsLayer, HasCalls};
use super::counted_io::CountedIo;
use super::frames::Role;
use super::pb::channel_connectivity_state::State;
use super::pb::channel_trace_event::{ChildRef, Severity};
use super::registry::{Registry, Table};
use super::socket::{Owner, Socket, ends_of_client};
use super::trace::Trace;
use super::{pb, short};
use crate::connectivity::{self, Attempt, GuardedIo, Observed};
#[cfg(feature = "channel")]
use crate::status::OnEnd;
use crate::status::explain;

/// A channel's entry: what a program calls, whatever stands below it. Clones are the same entry; it
/// goes with the last of them, of its layers and its subchannels.
#[derive(Clone, Debug)]
pub struct ChannelEntry {
    channel: Arc<Channel>,
}

impl ChannelEntry {
    pub(super) fn new(registry: &Arc<Registry>, target: &str) -> Self {
        let channel = Arc::new(Channel {
            id: registry.next_id(),
            target: short(target),
            registry: registry.clone(),
            calls: Calls::default(),
            trace: Trace::new(),
            subchannels: Table::default(),
            last_state: Mutex::new(State::Idle),
            told: Mutex::new(None),
        });
        registry
            .channels
            .insert(channel.id, Arc::downgrade(&channel));
        Self { channel }
    }

    /// Counts the calls of the program. It belongs outside of whatever answers calls by itself, and
    /// of whatever repeats them.
    pub fn layer(&self) -> CountCallsLayer {
        CountCallsLayer::new(self.channel.clone())
    }

    /// A call of the program begins; what is returned is told of its end.
    #[cfg(feature = "channel")]
    pub(crate) fn call(&self) -> OnEnd {
        let channel = self.channel.clone();
        channel.calls.start();
        OnEnd::new(move |code| channel.calls.end(code))
    }

    /// The channel's state from now on.
    #[cfg(feature = "channel")]
    pub(crate) fn state_is(&self, state: connectivity::State) {
        *self.channel.told() = Some(from_connectivity(state));
        self.channel.note_state();
    }

    /// A subchannel to this address, which is told of its states.
    #[cfg(feature = "channel")]
    pub(crate) fn subchannel_at(&self, address: &str) -> SubchannelEntry {
        let entry = self.subchannel(address);
        let _ = entry.subchannel.target.set(short(address));
        entry
    }

    /// One of those among which the channel chooses: one backend, one [`tonic::transport::Channel`].
    pub fn subchannel(&self, name: &str) -> SubchannelEntry {
        let registry = &self.channel.registry;
        let subchannel = Arc::new(Subchannel {
            id: registry.next_id(),
            name: short(name),
            parent: self.channel.clone(),
            calls: Calls::default(),
            trace: Trace::new(),
            target: OnceLock::new(),
            states: Mutex::new(States::Unknown),
            sockets: Table::default(),
        });
        let weak = Arc::downgrade(&subchannel);
        registry.subchannels.insert(subchannel.id, weak.clone());
        self.channel.subchannels.insert(subchannel.id, weak);
        self.channel.event(&subchannel, "created");
        SubchannelEntry { subchannel }
    }
}

/// A subchannel's entry. Clones are the same entry; it goes with the last of them, of its layers, its
/// connector and its connections.
#[derive(Clone, Debug)]
pub struct SubchannelEntry {
    subchannel: Arc<Subchannel>,
}

impl SubchannelEntry {
    /// Counts the calls that go to this subchannel. It belongs right around the channel.
    pub fn layer(&self) -> CountCallsLayer {
        CountCallsLayer::new(self.subchannel.clone())
    }

    /// Makes the connections of this subchannel, and watches over them. Give it to
    /// [`connect_with_connector_lazy`]. A subchannel has one connector: a second one takes the place
    /// of the first in what is said of its state.
    ///
    /// [`connect_with_connector_lazy`]: tonic::transport::Endpoint::connect_with_connector_lazy
    pub fn connector<C>(&self, connector: C) -> Connector<C> {
        let (observed, states) = connectivity::observe(connector);
        *self.subchannel.states() = States::Observed(states);
        Connector {
            observed,
            subchannel: self.subchannel.clone(),
        }
    }
}

/// What a channel tells of its own subchannels.
#[cfg(feature = "channel")]
impl SubchannelEntry {
    /// Its state from now on, and why.
    pub(crate) fn state_is(&self, state: connectivity::State, why: Option<&str>) {
        *self.subchannel.states() = States::Told(from_connectivity(state));
        self.subchannel.note(why);
    }

    /// A call goes to it. Who gets this tells of the call's end.
    pub(crate) fn call_started(&self) -> Self {
        self.subchannel.calls.start();
        self.clone()
    }

    /// A call that went to it has ended.
    pub(crate) fn call_ended(&self, code: Option<Code>) {
        self.subchannel.calls.end(code);
    }

    /// A connection of its own, which is counted.
    pub(crate) fn socket<T: 'static>(&self, io: TokioIo<T>) -> CountedIo<T> {
        let ends = ends_of_client(&io);
        let registry = self.subchannel.parent.registry.clone();
        let socket = Socket::new(&registry, Owner::Subchannel(self.subchannel.clone()), ends);
        CountedIo::new(io.into_inner(), Role::Client, socket)
    }
}

/// A channel's numbers.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: i64,
    target: String,
    registry: Arc<Registry>,
    calls: Calls,
    trace: Trace,
    subchannels: Table<Subchannel>,
    last_state: Mutex<State>,
    /// What the channel says of itself, if it does.
    told: Mutex<Option<State>>,
}

impl Channel {
    fn told(&self) -> MutexGuard<'_, Option<State>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it says of itself; else the best that one of its subchannels has, as for gRPC's
    /// *round_robin*.
    fn state(&self) -> State {
        if let Some(state) = *self.told() {
            return state;
        }
        let states: Vec<_> = (self.subchannels.all().iter())
            .map(|subchannel| subchannel.state())
            .collect();
        let order = [
            State::Ready,
            State::Connecting,
            State::Idle,
            State::TransientFailure,
            State::Shutdown,
        ];
        let best = order.into_iter().find(|state| states.contains(state));
        best.unwrap_or(State::Idle)
    }

    /// Writes a new state down.
    fn note_state(&self) {
        let state = self.state();
        let mut last = self
            .last_state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *last != state {
            *last = state;
            self.trace.push(severity(state), state.as_str_name(), None);
        }
    }

    fn event(&self, subchannel: &Subchannel, what: &str) {
        let child = ChildRef::SubchannelRef(subchannel.to_ref());
        let what = format!("subchannel {} {what}", subchannel.id);
        self.trace.push(Severity::CtInfo, &what, Some(child));
    }

    pub(super) fn to_pb(&self) -> pb::Channel {
        let subchannels = self.subchannels.all();
        pb::Channel {
            r#ref: Some(pb::ChannelRef {
                channel_id: self.id,
                name: self.target.clone(),
            }),
            data: Some(data(self.state(), &self.target, &self.trace, &self.calls)),
            channel_ref: Vec::new(),
            subchannel_ref: subchannels.iter().map(|below| below.to_ref()).collect(),
            socket_ref: Vec::new(),
        }
    }
}

impl HasCalls for Channel {
    fn calls(&self) -> &Calls {
        &self.calls
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.registry.channels.remove(self.id);
    }
}

/// Who knows the states of a subchannel.
#[derive(Debug)]
enum States {
    Unknown,
    /// Its connector.
    Observed(watch::Receiver<connectivity::State>),
    /// A channel that says them.
    #[cfg(feature = "channel")]
    Told(State),
}

fn from_connectivity(state: connectivity::State) -> State {
    match state {
        connectivity::State::Idle => State::Idle,
        connectivity::State::Connecting => State::Connecting,
        connectivity::State::Ready => State::Ready,
        connectivity::State::TransientFailure => State::TransientFailure,
        connectivity::State::Shutdown => State::Shutdown,
    }
}

/// A subchannel's numbers.
#[derive(Debug)]
pub(super) struct Subchannel {
    pub(super) id: i64,
    name: String,
    parent: Arc<Channel>,
    calls: Calls,
    trace: Trace,
    /// What its connector is asked for.
    target: OnceLock<String>,
    states: Mutex<States>,
    sockets: Table<Socket>,
}

impl Subchannel {
    fn state(&self) -> State {
        let states = self.states();
        match &*states {
            States::Unknown => State::Idle,
            // The connector has gone, and with it the channel.
            States::Observed(states) if states.has_changed().is_err() => State::Shutdown,
            States::Observed(states) => from_connectivity(*states.borrow()),
            #[cfg(feature = "channel")]
            States::Told(state) => *state,
        }
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down which state it is in now, and why.
    fn note(&self, why: Option<&str>) {
        let state = self.state();
        let name = state.as_str_name();
        let what = why.map_or(name.to_owned(), |why| format!("{name}: {why}"));
        self.trace.push(severity(state), &what, None);
        self.parent.note_state();
    }

    pub(super) fn opened(&self, socket: &Arc<Socket>) {
        self.sockets.insert(socket.id, Arc::downgrade(socket));
        self.note(Some(&format!("socket {} opened", socket.id)));
    }

    pub(super) fn closed(&self, socket: &Socket) {
        self.sockets.remove(socket.id);
        self.note(Some(&format!("socket {} closed", socket.id)));
    }

    fn to_ref(&self) -> pb::SubchannelRef {
        pb::SubchannelRef {
            subchannel_id: self.id,
            name: self.name.clone(),
        }
    }

    pub(super) fn to_pb(&self) -> pb::Subchannel {
        let target = self.target.get().map_or("", |target| target);
        let sockets = self.sockets.all();
        pb::Subchannel {
            r#ref: Some(self.to_ref()),
            data: Some(data(self.state(), target, &self.trace, &self.calls)),
            channel_ref: Vec::new(),
            subchannel_ref: Vec::new(),
            socket_ref: sockets.iter().map(|socket| socket.to_ref()).collect(),
        }
    }
}

impl HasCalls for Subchannel {
    fn calls(&self) -> &Calls {
        &self.calls
    }
}

impl Drop for Subchannel {
    fn drop(&mut self) {
        self.parent.registry.subchannels.remove(self.id);
        self.parent.subchannels.remove(self.id);
        self.parent.event(self, "deleted");
        self.parent.note_state();
    }
}

fn data(state: State, target: &str, trace: &Trace, calls: &Calls) -> pb::ChannelData {
    let (calls_started, calls_succeeded, calls_failed) = calls.read();
    pb::ChannelData {
        state: Some(pb::ChannelConnectivityState {
            state: state.into(),
        }),
        target: target.to_owned(),
        trace: Some(trace.to_pb()),
        calls_started,
        calls_succeeded,
        calls_failed,
        last_call_started_timestamp: calls.last_started.timestamp(),
        max_connections_per_subchannel: 0,
    }
}

fn severity(state: State) -> Severity {
    match state {
        State::TransientFailure => Severity::CtWarning,
        _ => Severity::CtInfo,
    }
}

/// Makes the connections of a subchannel. See [`SubchannelEntry::connector`].
#[derive(Clone, Debug)]
pub struct Connector<C> {
    observed: Observed<C>,
    subchannel: Arc<Subchannel>,
}

impl<C> Service<Uri> for Connector<C>
where
    C: Service<Uri, Response: 'static>,
    C::Error: Into<StdError>,
{
    type Response = CountedIo<GuardedIo<C::Response, Attempt>>;
    type Error = StdError;
    type Future = ConnectorFuture<C::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        let ready = ready!(self.observed.poll_ready(context));
        Poll::Ready(ready.map_err(|error| failed(&self.subchannel, error)))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let target = || short(&uri.to_string());
        self.subchannel.target.get_or_init(target);
        let connecting = self.observed.call(uri);
        self.subchannel.note(None);
        ConnectorFuture {
            connecting,
            attempt: Attempting {
                subchannel: Some(self.subchannel.clone()),
            },
        }
    }
}

fn failed(subchannel: &Subchannel, error: impl Into<StdError>) -> StdError {
    let error = error.into();
    subchannel.note(Some(&explain(&*error)));
    error
}

pin_project! {
    /// A connection in the making.
    pub struct ConnectorFuture<F> {
        // Given up before the subchannel is told that it is.
        #[pin]
        connecting: connectivity::ObservedFuture<F>,
        attempt: Attempting,
    }
}

/// An attempt to connect that may be given up.
struct Attempting {
    subchannel: Option<Arc<Subchannel>>,
}

impl Drop for Attempting {
    fn drop(&mut self) {
        if let Some(subchannel) = &self.subchannel {
            subchannel.note(Some("the attempt was given up"));
        }
    }
}

impl<F, T, E> Future for ConnectorFuture<F>
where
    F: Future<Output = Result<T, E>>,
    T: 'static,
    E: Into<StdError>,
{
    type Output = Result<CountedIo<GuardedIo<T, Attempt>>, StdError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let connected = ready!(this.connecting.poll(context));
        let Some(subchannel) = this.attempt.subchannel.take() else {
            return Poll::Pending;
        };
        Poll::Ready(match connected {
            Ok(io) => {
                let ends = ends_of_client(io.get_ref());
                let registry = subchannel.parent.registry.clone();
                let socket = Socket::new(&registry, Owner::Subchannel(subchannel), ends);
                Ok(CountedIo::new(io, Role::Client, socket))
            }
            Err(error) => Err(failed(&subchannel, error)),
        })
    }
}
