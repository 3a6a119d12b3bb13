//! Servers: their calls, the addresses on which they listen, and their connections.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{Stream, TryStream};
use pin_project_lite::pin_project;
use tonic::transport::server::Connected;

use super::calls::{Calls, CountCallsLayer, HasCalls};
use super::counted_io::CountedIo;
use super::frames::Role;
use super::pb::channel_trace_event::Severity;
use super::registry::{Registry, Table};
use super::socket::{Address, Owner, Socket, ends_of_server};
use super::trace::Trace;
use super::{pb, short};

/// A server's entry. Clones are the same entry; it goes with the last of them, of its layers, its
/// [`Incoming`] and its connections.
#[derive(Clone, Debug)]
pub struct ServerEntry {
    server: Arc<Server>,
}

impl ServerEntry {
    pub(super) fn new(registry: &Arc<Registry>, name: &str) -> Self {
        let server = Arc::new(Server {
            id: registry.next_id(),
            name: short(name),
            registry: registry.clone(),
            calls: Calls::default(),
            trace: Trace::new(),
            listening: Table::default(),
            sockets: Table::default(),
        });
        registry.servers.insert(server.id, Arc::downgrade(&server));
        Self { server }
    }

    /// Counts the server's calls. It belongs outside of whatever answers calls by itself, so that
    /// those count too.
    pub fn layer(&self) -> CountCallsLayer {
        CountCallsLayer::new(self.server.clone())
    }

    /// Counts what passes over the connections of `incoming`, which are those to `address`, and
    /// lists both. A server that listens on several addresses has one of these for each.
    pub fn incoming<I>(&self, address: impl Into<Address>, incoming: I) -> Incoming<I> {
        let owner = Owner::Listener(self.server.clone());
        let ends = (Some(address.into()), None);
        Incoming {
            incoming,
            _listening: Socket::new(&self.server.registry, owner, ends),
            server: self.server.clone(),
        }
    }
}

/// A server's numbers.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) id: i64,
    name: String,
    registry: Arc<Registry>,
    calls: Calls,
    trace: Trace,
    pub(super) listening: Table<Socket>,
    pub(super) sockets: Table<Socket>,
}

impl Server {
    pub(super) fn opened(&self, socket: &Arc<Socket>) {
        self.sockets.insert(socket.id, Arc::downgrade(socket));
        let what = format!("socket {} from {} opened", socket.id, socket.name());
        self.trace.push(Severity::CtInfo, &what, None);
    }

    pub(super) fn closed(&self, socket: &Socket) {
        self.sockets.remove(socket.id);
        let what = format!("socket {} from {} closed", socket.id, socket.name());
        self.trace.push(Severity::CtInfo, &what, None);
    }

    pub(super) fn to_pb(&self) -> pb::Server {
        let (calls_started, calls_succeeded, calls_failed) = self.calls.read();
        let listening = self.listening.all();
        pb::Server {
            r#ref: Some(pb::ServerRef {
                server_id: self.id,
                name: self.name.clone(),
            }),
            data: Some(pb::ServerData {
                trace: Some(self.trace.to_pb()),
                calls_started,
                calls_succeeded,
                calls_failed,
                last_call_started_timestamp: self.calls.last_started.timestamp(),
            }),
            listen_socket: listening.iter().map(|socket| socket.to_ref()).collect(),
        }
    }
}

impl HasCalls for Server {
    fn calls(&self) -> &Calls {
        &self.calls
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.registry.servers.remove(self.id);
    }
}

pin_project! {
    /// The connections to one address of a server. See [`ServerEntry::incoming`].
    #[derive(Debug)]
    pub struct Incoming<I> {
        #[pin]
        incoming: I,
        server: Arc<Server>,
        _listening: Arc<Socket>,
    }
}

impl<I> Stream for Incoming<I>
where
    I: TryStream<Ok: Connected>,
{
    type Item = Result<CountedIo<I::Ok>, I::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let server = this.server;
        this.incoming.try_poll_next(context).map_ok(|io| {
            let ends = ends_of_server(&io.connect_info());
            let socket = Socket::new(&server.registry, Owner::Server(server.clone()), ends);
            CountedIo::new(io, Role::Server, socket)
        })
    }
}
