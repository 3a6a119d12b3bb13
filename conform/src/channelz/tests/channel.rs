//! Channels, subchannels, their states, and what happens to them.

use futures::channel::oneshot;
use hyper_util::client::legacy::connect::HttpConnector;
use pb::channel_connectivity_state::State;
use pb::channel_trace_event::{ChildRef, Severity};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;

use super::*;
use crate::testing::{call, endpoint, peer, replies, serve};

fn channel_of(channelz: &Channelz) -> pb::Channel {
    channelz.registry.channels.all()[0].to_pb()
}

fn subchannel_of(channelz: &Channelz) -> pb::Subchannel {
    channelz.registry.subchannels.all()[0].to_pb()
}

fn state(data: Option<pb::ChannelData>) -> State {
    data.unwrap().state.unwrap().state()
}

/// Those of the channel, and of its first subchannel.
fn states(channelz: &Channelz) -> (State, State) {
    (
        state(channel_of(channelz).data),
        state(subchannel_of(channelz).data),
    )
}

#[tokio::test]
async fn a_channel_tells_of_its_subchannel_and_that_of_its_connection() {
    let served = serve(tower::layer::util::Identity::new(), replies(&[Ok(b"hi")])).await;
    let channelz = Channelz::new();
    let top = channelz.channel("greeter");
    let backend = top.subchannel("the only one");
    assert_eq!(states(&channelz), (State::Idle, State::Idle));
    assert_eq!(subchannel_of(&channelz).data.unwrap().target, "");
    let endpoint = served.endpoint();
    let channel = endpoint.connect_with_connector_lazy(backend.connector(HttpConnector::new()));
    assert_eq!(states(&channelz), (State::Idle, State::Idle));

    call(channel.clone(), "hello").await.unwrap();
    assert_eq!(states(&channelz), (State::Ready, State::Ready));
    let told = channel_of(&channelz);
    assert_eq!(told.r#ref.unwrap().name, "greeter");
    assert_eq!(told.data.unwrap().target, "greeter");
    let [below] = &told.subchannel_ref[..] else {
        panic!("{:?}", told.subchannel_ref);
    };
    let told = subchannel_of(&channelz);
    assert_eq!(told.r#ref.as_ref(), Some(below));
    assert_eq!(below.name, "the only one");
    let url = format!("http://{}/", served.address);
    assert_eq!(told.data.unwrap().target, url);
    let [socket] = &told.socket_ref[..] else {
        panic!("{:?}", told.socket_ref);
    };
    assert_eq!(socket.name, served.address.to_string());

    let found = channelz.registry.sockets.get(socket.socket_id).unwrap();
    let told = found.to_pb(false);
    drop(found);
    let tcp = |address: Option<pb::Address>| match address.unwrap().address.unwrap() {
        pb::address::Address::TcpipAddress(tcp) => (tcp.ip_address, tcp.port),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        tcp(told.remote),
        (vec![127, 0, 0, 1], served.address.port().into())
    );
    assert_eq!(tcp(told.local).0, [127, 0, 0, 1]);
    assert_eq!(told.security, None);
    let data = told.data.unwrap();
    assert_eq!(data.streams_started, 1);
    assert_eq!((data.messages_sent, data.messages_received), (1, 1));
    assert!(data.last_local_stream_created_timestamp.is_some());
    assert_eq!(data.last_remote_stream_created_timestamp, None);
    until(|| newest_socket(&channelz).streams_succeeded == 1).await;

    drop(channel);
    until(|| subchannel_of(&channelz).socket_ref.is_empty()).await;
    until(|| states(&channelz) == (State::Shutdown, State::Shutdown)).await;
    let data = subchannel_of(&channelz).data.unwrap();
    let id = socket.socket_id;
    let [created, connecting, ready, closed] = &events(data.trace)[..] else {
        panic!("four events");
    };
    assert_eq!(created, "created");
    assert_eq!(connecting, "CONNECTING");
    assert_eq!(*ready, format!("READY: socket {id} opened"));
    // IDLE, or SHUTDOWN if the connector went first.
    assert!(
        closed.ends_with(&format!(": socket {id} closed")),
        "{closed}"
    );
}

#[tokio::test]
async fn a_connection_that_the_server_closes_leaves_it_idle() {
    let closes = peer(|mut stream| async move {
        let _ = stream.read(&mut [0; 100]).await;
    });
    let server = closes.await;
    let channelz = Channelz::new();
    let backend = channelz.channel("top").subchannel("backend");
    let connector = backend.connector(HttpConnector::new());
    let channel = server.endpoint().connect_with_connector_lazy(connector);
    call(channel.clone(), "hello").await.unwrap_err();
    until(|| states(&channelz) == (State::Idle, State::Idle)).await;
    until(|| subchannel_of(&channelz).socket_ref.is_empty()).await;
    let all = events(subchannel_of(&channelz).data.unwrap().trace);
    let closed = all.last().unwrap();
    assert!(
        closed.starts_with("IDLE: socket ") && closed.ends_with(" closed"),
        "{all:?}"
    );
    let all = events(channel_of(&channelz).data.unwrap().trace);
    let tail = &all[all.len() - 3..];
    assert_eq!(tail, ["CONNECTING", "READY", "IDLE"]);
}

#[tokio::test]
async fn a_refused_connection_is_a_transient_failure_with_its_cause_and_a_warning() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let cause = TcpStream::connect(address).await.unwrap_err().to_string();
    let channelz = Channelz::new();
    let backend = channelz.channel("top").subchannel("backend");
    let connector = backend.connector(HttpConnector::new());
    let channel = endpoint(address).connect_with_connector_lazy(connector);
    let status = call(channel.clone(), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let both = (State::TransientFailure, State::TransientFailure);
    assert_eq!(states(&channelz), both);
    let trace = subchannel_of(&channelz).data.unwrap().trace.unwrap();
    let last = trace.events.last().unwrap();
    assert_eq!(last.description, format!("TRANSIENT_FAILURE: {cause}"));
    assert_eq!(last.severity(), Severity::CtWarning);
    assert_eq!(trace.events[1].severity(), Severity::CtInfo, "CONNECTING");
    let trace = channel_of(&channelz).data.unwrap().trace.unwrap();
    let last = trace.events.last().unwrap();
    assert_eq!(last.description, "TRANSIENT_FAILURE");
    assert_eq!(last.severity(), Severity::CtWarning);
}

#[tokio::test]
async fn an_attempt_that_is_given_up_is_a_transient_failure() {
    let channelz = Channelz::new();
    let backend = channelz.channel("top").subchannel("backend");
    let (_open, never) = oneshot::channel::<TokioIo<DuplexStream>>();
    let mut never = Some(never);
    let mut connector = backend.connector(tower::service_fn(move |_: Uri| never.take().unwrap()));
    let attempt = connector.call(Uri::default());
    assert_eq!(states(&channelz), (State::Connecting, State::Connecting));
    drop(attempt);
    let both = (State::TransientFailure, State::TransientFailure);
    assert_eq!(states(&channelz), both);
    let all = events(subchannel_of(&channelz).data.unwrap().trace);
    let last = "TRANSIENT_FAILURE: the attempt was given up";
    assert_eq!(all, ["created", "CONNECTING", last]);
}

#[derive(Clone)]
struct NeverReady;

impl Service<Uri> for NeverReady {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = std::future::Pending<Result<Self::Response, Self::Error>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Err(io::Error::other("no sockets left")))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        std::future::pending()
    }
}

#[tokio::test]
async fn a_connector_that_cannot_begin_is_a_transient_failure() {
    let channelz = Channelz::new();
    let backend = channelz.channel("top").subchannel("backend");
    let mut connector = backend.connector(NeverReady);
    let ready = std::future::poll_fn(|cx| connector.poll_ready(cx)).await;
    assert_eq!(ready.unwrap_err().to_string(), "no sockets left");
    let all = events(subchannel_of(&channelz).data.unwrap().trace);
    assert_eq!(all, ["created", "TRANSIENT_FAILURE: no sockets left"]);
}

/// A subchannel in a state of the test's choice, as long as what is returned is kept.
async fn in_state(top: &ChannelEntry, state: State) -> (SubchannelEntry, Box<dyn std::any::Any>) {
    let below = top.subchannel(state.as_str_name());
    let (sender, connecting) = oneshot::channel::<TokioIo<DuplexStream>>();
    let mut connecting = Some(connecting);
    let connector = tower::service_fn(move |_: Uri| connecting.take().unwrap());
    let mut connector = below.connector(connector);
    let kept: Box<dyn std::any::Any> = match state {
        State::Idle => Box::new(connector),
        State::Shutdown => Box::new(()),
        State::Connecting => Box::new((connector.call(Uri::default()), connector, sender)),
        State::TransientFailure => {
            drop(connector.call(Uri::default()));
            Box::new(connector)
        }
        _ => {
            let attempt = connector.call(Uri::default());
            assert!(sender.send(TokioIo::new(duplex(1).0)).is_ok());
            Box::new((attempt.await.unwrap(), connector))
        }
    };
    (below, kept)
}

#[tokio::test]
async fn a_channel_is_as_ready_as_the_best_of_its_subchannels() {
    let channelz = Channelz::new();
    let top = channelz.channel("top");
    assert_eq!(state(channel_of(&channelz).data), State::Idle, "none");
    let mut kept = Vec::new();
    let rising = [
        State::Shutdown,
        State::TransientFailure,
        State::Idle,
        State::Connecting,
        State::Ready,
    ];
    for next in rising {
        kept.push(in_state(&top, next).await);
        assert_eq!(state(channel_of(&channelz).data), next);
        let told = channelz.registry.subchannels.all();
        assert_eq!(state(told.last().unwrap().to_pb().data), next);
    }
    for next in rising.into_iter().rev() {
        assert_eq!(state(channel_of(&channelz).data), next);
        kept.pop();
    }
}

#[tokio::test]
async fn the_trace_of_a_channel_names_its_subchannels() {
    let channelz = Channelz::new();
    let top = channelz.channel("top");
    let below = top.subchannel("below");
    let id = channelz.registry.subchannels.all()[0].id;
    drop(below);
    let trace = channel_of(&channelz).data.unwrap().trace.unwrap();
    assert_eq!(trace.num_events_logged, 3);
    let [created, begins, ends] = &trace.events[..] else {
        panic!("three events");
    };
    assert_eq!(created.description, "created");
    assert_eq!(created.child_ref, None);
    assert_eq!(begins.description, format!("subchannel {id} created"));
    assert_eq!(ends.description, format!("subchannel {id} deleted"));
    for event in [begins, ends] {
        let Some(ChildRef::SubchannelRef(child)) = &event.child_ref else {
            panic!("{event:?}");
        };
        assert_eq!((child.subchannel_id, &*child.name), (id, "below"));
        assert!(event.timestamp.is_some());
        assert_eq!(event.severity(), Severity::CtInfo);
    }
    assert_eq!(
        trace.creation_timestamp,
        created.timestamp.map(|_| trace.creation_timestamp).unwrap()
    );
    assert!(trace.creation_timestamp.is_some());
}

#[test]
fn a_trace_keeps_the_newest_events_and_counts_all() {
    let channelz = Channelz::new();
    let top = channelz.channel("top");
    let begun = 2 * MAX_TRACE_EVENTS;
    for _ in 0..begun {
        top.subchannel("short-lived");
    }
    let trace = channel_of(&channelz).data.unwrap().trace.unwrap();
    // "created", and two for each.
    assert_eq!(trace.num_events_logged, 1 + 2 * begun as i64);
    assert_eq!(trace.events.len(), MAX_TRACE_EVENTS);
    let newest = 1 + begun;
    let last = trace.events.last().unwrap();
    assert_eq!(last.description, format!("subchannel {newest} deleted"));
}

#[test]
fn entries_go_with_the_last_of_whoever_has_them() {
    let channelz = Channelz::new();
    let counts = || {
        let registry = &channelz.registry;
        (
            registry.channels.all().len(),
            registry.subchannels.all().len(),
        )
    };
    let top = channelz.channel("top");
    let below = top.subchannel("below");
    let again = top.clone();
    drop(top);
    assert_eq!(counts(), (1, 1));
    drop(again);
    assert_eq!(counts(), (1, 1), "below knows what it is below of");
    let layer = below.layer();
    let connector = below.connector(HttpConnector::new());
    drop(below);
    assert_eq!(counts(), (1, 1), "the layer has it");
    drop(layer);
    assert_eq!(counts(), (1, 1), "the connector has it");
    drop(connector);
    assert_eq!(counts(), (0, 0));
    let layer = channelz.channel("another").layer();
    assert_eq!(counts(), (1, 0));
    drop(layer);
    assert_eq!(counts(), (0, 0));
    drop(channelz.server("server"));
    // Nor is their place kept.
    let registry = &channelz.registry;
    let shown = format!("{:?}, {:?}", registry.servers, registry.channels);
    assert_eq!(shown, "0 entries, 0 entries");
}

#[tokio::test]
async fn keepalives_of_a_real_channel_are_counted() {
    let served = serve(tower::layer::util::Identity::new(), replies(&[Ok(b"hi")])).await;
    let channelz = Channelz::new();
    let backend = channelz.channel("top").subchannel("backend");
    let endpoint: Endpoint = served.endpoint();
    let channel = endpoint
        .http2_keep_alive_interval(std::time::Duration::from_millis(20))
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(backend.connector(HttpConnector::new()));
    call(channel.clone(), "hello").await.unwrap();
    until(|| newest_socket(&channelz).keep_alives_sent > 2).await;
    drop(channel);
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_told_by_its_file() {
    use tokio::net::{UnixListener, UnixStream};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let channelz = Channelz::new();
    let address = Address::from(&listener.local_addr().unwrap());
    let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
    let mut incoming = channelz.server("server").incoming(address, incoming);
    let file = path.clone();
    let connector = tower::service_fn(move |_: Uri| {
        let file = file.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(file).await?)) }
    });
    let backend = channelz.channel("channel").subchannel("backend");
    let _io = backend
        .connector(connector)
        .call(Uri::default())
        .await
        .unwrap();
    let _accepted = futures::TryStreamExt::try_next(&mut incoming)
        .await
        .unwrap();
    let told: Vec<_> = (channelz.registry.sockets.all().iter())
        .map(|socket| socket.to_pb(false))
        .collect();
    let file = |address: &Option<pb::Address>| match &address.as_ref()?.address {
        Some(pb::address::Address::UdsAddress(unix)) => Some(unix.filename.clone()),
        other => panic!("{other:?}"),
    };
    let path = path.display().to_string();
    let [listening, client, server] = &told[..] else {
        panic!("{told:#?}");
    };
    assert_eq!(
        (file(&listening.local), file(&listening.remote)),
        (Some(path.clone()), None)
    );
    assert_eq!(
        listening.r#ref.as_ref().unwrap().name,
        format!("unix:{path}")
    );
    assert_eq!(
        (file(&client.local), file(&client.remote)),
        (Some("".into()), Some(path))
    );
    assert_eq!(
        (file(&server.local), file(&server.remote)),
        (None, Some("".into()))
    );
}
