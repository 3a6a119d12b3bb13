//! Servers, where they listen, and their connections.

use std::net::SocketAddr;

use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};

use super::*;
use crate::testing::{call, endpoint, replies};

struct Started {
    channelz: Channelz,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
    stop: Option<futures::channel::oneshot::Sender<()>>,
}

async fn start(name: &str) -> Started {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let channelz = Channelz::new();
    let entry = channelz.server(name);
    let incoming = entry.incoming(address, TcpListenerStream::new(listener));
    let (stop, stopped) = futures::channel::oneshot::channel::<()>();
    let server = Server::builder()
        .layer(entry.layer())
        .add_service(replies(&[Ok(b"hi")]))
        .serve_with_incoming_shutdown(incoming, async { stopped.await.unwrap_or_default() });
    let task = tokio::spawn(async { server.await.unwrap() });
    Started {
        channelz,
        address,
        task,
        stop: Some(stop),
    }
}

impl Started {
    fn told(&self) -> pb::Server {
        self.channelz.registry.servers.all()[0].to_pb()
    }

    fn sockets(&self) -> Vec<pb::Socket> {
        let server = &self.channelz.registry.servers.all()[0];
        let sockets = server.sockets.all();
        sockets.iter().map(|socket| socket.to_pb(false)).collect()
    }

    fn channel(&self) -> Channel {
        let endpoint: Endpoint = endpoint(self.address);
        endpoint.connect_lazy()
    }
}

#[tokio::test]
async fn a_server_tells_of_calls_of_where_it_listens_and_of_its_connections() {
    let server = start("greeter").await;
    let told = server.told();
    assert_eq!(told.r#ref.unwrap().name, "greeter");
    let data = told.data.unwrap();
    assert_eq!(events(data.trace), ["created"]);
    assert_eq!(
        (data.calls_started, data.calls_succeeded, data.calls_failed),
        (0, 0, 0)
    );
    let [listening] = &told.listen_socket[..] else {
        panic!("{:?}", told.listen_socket);
    };
    assert_eq!(listening.name, server.address.to_string());
    let found = server.channelz.registry.sockets.get(listening.socket_id);
    let socket = found.unwrap().to_pb(false);
    assert!(socket.local.is_some() && socket.remote.is_none());
    let data = socket.data.unwrap();
    assert_eq!(data, pb::SocketData::default(), "nothing passes there");
    assert_eq!(server.sockets(), []);

    let channels = [server.channel(), server.channel()];
    for channel in &channels {
        for _ in 0..2 {
            call(channel.clone(), "hello").await.unwrap();
        }
    }
    until(|| server.told().data.unwrap().calls_succeeded == 4).await;
    let data = server.told().data.unwrap();
    assert_eq!((data.calls_started, data.calls_failed), (4, 0));
    assert_eq!(
        server.told().listen_socket.len(),
        1,
        "connections aren't listening"
    );
    let sockets = server.sockets();
    assert_eq!(sockets.len(), 2);
    for socket in &sockets {
        let Some(pb::address::Address::TcpipAddress(local)) =
            socket.local.as_ref().and_then(|it| it.address.clone())
        else {
            panic!("{socket:?}");
        };
        assert_eq!(local.port, i32::from(server.address.port()));
        assert!(socket.remote.is_some());
        let data = socket.data.as_ref().unwrap();
        assert_eq!(data.streams_started, 2);
        assert_eq!((data.messages_sent, data.messages_received), (2, 2));
        assert!(data.last_remote_stream_created_timestamp.is_some());
        assert_eq!(data.last_local_stream_created_timestamp, None);
        assert_eq!(data.keep_alives_sent, 0);
        let id = socket.r#ref.as_ref().unwrap().socket_id;
        assert!(server.channelz.registry.sockets.get(id).is_some());
    }
    until(|| {
        let sockets = server.sockets();
        let succeeded = |it: &pb::Socket| it.data.as_ref().unwrap().streams_succeeded;
        sockets.iter().map(succeeded).sum::<i64>() == 4
    })
    .await;

    drop(channels);
    until(|| server.sockets().is_empty()).await;
    let all = events(server.told().data.unwrap().trace);
    assert_eq!(all.len(), 5, "{all:?}");
    for socket in sockets {
        let reference = socket.r#ref.unwrap();
        let (id, name) = (reference.socket_id, reference.name);
        assert!(
            all.contains(&format!("socket {id} from {name} opened")),
            "{all:?}"
        );
        assert!(
            all.contains(&format!("socket {id} from {name} closed")),
            "{all:?}"
        );
        let gone = server.channelz.registry.sockets.get(id);
        assert!(gone.is_none());
    }
}

#[tokio::test]
async fn a_server_that_drains_listens_no_more_and_goes_with_its_last_connection() {
    let mut server = start("draining").await;
    let channel = server.channel();
    call(channel.clone(), "hello").await.unwrap();
    let shutdown_pings_are_no_keepalives = newest_socket(&server.channelz).keep_alives_sent;
    assert_eq!(shutdown_pings_are_no_keepalives, 0);
    server.stop.take().unwrap().send(()).unwrap();
    soon(&mut server.task).await.unwrap();
    until(|| server.channelz.registry.servers.all().is_empty()).await;
    assert!(server.channelz.registry.sockets.all().is_empty());
}

#[tokio::test]
async fn an_entry_stays_as_long_as_a_connection_does() {
    let channelz = Channelz::new();
    let (io, _peer) = server_side(&channelz).await;
    let told = channelz.registry.servers.all()[0].to_pb();
    assert_eq!(told.listen_socket, [], "it doesn't listen any more");
    assert_eq!(channelz.registry.sockets.all().len(), 1);
    drop(io);
    assert!(channelz.registry.servers.all().is_empty());
    assert!(channelz.registry.sockets.all().is_empty());
}

#[tokio::test]
async fn a_server_listens_on_several_addresses_and_an_error_is_passed_on() {
    let channelz = Channelz::new();
    let entry = channelz.server("two");
    let connections = || futures::stream::iter([Err::<DuplexStream, _>("no")]);
    let addresses = [1, 2].map(|port| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)));
    let [mut first, second] = addresses.map(|address| entry.incoming(address, connections()));
    let names = || -> Vec<_> {
        let told = channelz.registry.servers.all()[0].to_pb();
        let sockets = told.listen_socket.into_iter();
        sockets.map(|socket| socket.name).collect()
    };
    assert_eq!(names(), ["[::1]:1", "[::1]:2"]);
    let next = futures::StreamExt::next(&mut first).await;
    assert_eq!(next.unwrap().unwrap_err(), "no");
    assert!(futures::StreamExt::next(&mut first).await.is_none());
    drop(first);
    assert_eq!(names(), ["[::1]:2"]);
    let told = channelz.registry.sockets.all()[0].to_pb(false);
    let Some(pb::address::Address::TcpipAddress(tcp)) = told.local.unwrap().address else {
        panic!("TCP");
    };
    assert_eq!(tcp.ip_address.len(), 16);
    assert_eq!(tcp.port, 2);
    drop(second);
    assert_eq!(names(), [""; 0]);
}
