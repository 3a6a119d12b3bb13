//! One connection, or one address on which a server listens.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::server::TcpConnectInfo;

use super::channel::Subchannel;
use super::frames::{Role, Sender};
use super::moment::Moment;
use super::pb;
use super::registry::Registry;
use super::server::Server;

/// The window of a connection before anything is said about it. RFC 9113, section 6.9.2.
const FIRST_WINDOW: i64 = 65_535;

/// Where one end of a connection is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An address of TCP.
    Tcp(SocketAddr),
    /// A Unix socket's file; empty if it has none.
    Unix(PathBuf),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

#[cfg(unix)]
impl From<&tokio::net::unix::SocketAddr> for Address {
    fn from(address: &tokio::net::unix::SocketAddr) -> Self {
        Self::Unix(address.as_pathname().unwrap_or("".as_ref()).into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The local and the remote address of a connection, as far as they are known.
pub(super) type Ends = (Option<Address>, Option<Address>);

/// Those of a client's connection, which its connector made.
pub(super) fn ends_of_client(connection: &dyn Any) -> Ends {
    if let Some(io) = connection.downcast_ref::<TokioIo<TcpStream>>() {
        let stream = io.inner();
        return (
            stream.local_addr().ok().map(Address::Tcp),
            stream.peer_addr().ok().map(Address::Tcp),
        );
    }
    #[cfg(unix)]
    if let Some(io) = connection.downcast_ref::<TokioIo<tokio::net::UnixStream>>() {
        let stream = io.inner();
        return (
            stream.local_addr().ok().as_ref().map(Address::from),
            stream.peer_addr().ok().as_ref().map(Address::from),
        );
    }
    (None, None)
}

/// Those of a server's connection, by what tonic tells of it to handlers.
pub(super) fn ends_of_server(info: &dyn Any) -> Ends {
    if let Some(tcp) = info.downcast_ref::<TcpConnectInfo>() {
        return (
            tcp.local_addr().map(Address::Tcp),
            tcp.remote_addr().map(Address::Tcp),
        );
    }
    #[cfg(unix)]
    if let Some(unix) = info.downcast_ref::<tonic::transport::server::UdsConnectInfo>() {
        return (None, unix.peer_addr.as_deref().map(Address::from));
    }
    (None, None)
}

/// Whose socket it is.
#[derive(Debug)]
pub(super) enum Owner {
    /// The address on which a server listens.
    Listener(Arc<Server>),
    Server(Arc<Server>),
    Subchannel(Arc<Subchannel>),
}

/// The numbers of one connection. It lives as long as its connection.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) id: i64,
    local: Option<Address>,
    remote: Option<Address>,
    owner: Owner,
    registry: Arc<Registry>,
    streams_started: AtomicI64,
    streams_succeeded: AtomicI64,
    streams_failed: AtomicI64,
    keep_alives: AtomicI64,
    last_local_stream: Moment,
    last_remote_stream: Moment,
    sent: Flow,
    received: Flow,
    /// The error code of a GOAWAY, plus one; 0 for none.
    goaway: AtomicU64,
    peer_allows: AtomicU32,
    is_tls: AtomicBool,
    is_opaque: AtomicBool,
}

/// What passes in one direction.
#[derive(Debug)]
struct Flow {
    bytes: AtomicU64,
    messages: AtomicI64,
    last_message: Moment,
    /// How many bytes of data may still be sent.
    window: AtomicI64,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            bytes: AtomicU64::new(0),
            messages: AtomicI64::new(0),
            last_message: Moment::default(),
            window: AtomicI64::new(FIRST_WINDOW),
        }
    }
}

impl Socket {
    /// A new socket, in the lists that it belongs to.
    pub(super) fn new(registry: &Arc<Registry>, owner: Owner, ends: Ends) -> Arc<Self> {
        let (local, remote) = ends;
        let socket = Arc::new(Self {
            id: registry.next_id(),
            local,
            remote,
            owner,
            registry: registry.clone(),
            streams_started: AtomicI64::new(0),
            streams_succeeded: AtomicI64::new(0),
            streams_failed: AtomicI64::new(0),
            keep_alives: AtomicI64::new(0),
            last_local_stream: Moment::default(),
            last_remote_stream: Moment::default(),
            sent: Flow::default(),
            received: Flow::default(),
            goaway: AtomicU64::new(0),
            peer_allows: AtomicU32::new(0),
            is_tls: AtomicBool::new(false),
            is_opaque: AtomicBool::new(false),
        });
        registry.sockets.insert(socket.id, Arc::downgrade(&socket));
        match &socket.owner {
            Owner::Listener(server) => server.listening.insert(socket.id, Arc::downgrade(&socket)),
            Owner::Server(server) => server.opened(&socket),
            Owner::Subchannel(subchannel) => subchannel.opened(&socket),
        }
        socket
    }

    pub(super) fn bytes(&self, sender: Sender, count: usize) {
        let bytes = &self.flow(sender).bytes;
        bytes.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn messages(&self, sender: Sender, count: i64) {
        let flow = self.flow(sender);
        flow.messages.fetch_add(count, Ordering::Relaxed);
        flow.last_message.set();
    }

    pub(super) fn window(&self, sender: Sender, change: i64) {
        let window = &self.flow(sender).window;
        window.fetch_add(change, Ordering::Relaxed);
    }

    /// Clients begin streams: this end's role says who it was.
    pub(super) fn stream_started(&self, role: Role) {
        self.streams_started.fetch_add(1, Ordering::Relaxed);
        match role {
            Role::Client => self.last_local_stream.set(),
            Role::Server => self.last_remote_stream.set(),
        }
    }

    pub(super) fn stream_ended(&self, has_succeeded: bool) {
        let counter = if has_succeeded {
            &self.streams_succeeded
        } else {
            &self.streams_failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn keep_alive(&self) {
        self.keep_alives.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn goaway(&self, error: u32) {
        self.goaway.store(1 + u64::from(error), Ordering::Relaxed);
    }

    pub(super) fn peer_allows(&self, streams: u32) {
        self.peer_allows.store(streams, Ordering::Relaxed);
    }

    /// No frames can be seen.
    pub(super) fn is_opaque(&self, is_tls: bool) {
        self.is_tls.store(is_tls, Ordering::Relaxed);
        self.is_opaque.store(true, Ordering::Relaxed);
    }

    fn flow(&self, sender: Sender) -> &Flow {
        match sender {
            Sender::This => &self.sent,
            Sender::Peer => &self.received,
        }
    }

    /// For a reader: where the other end is, or where it listens.
    pub(super) fn name(&self) -> String {
        let address = self.remote.as_ref().or(self.local.as_ref());
        address.map(Address::to_string).unwrap_or_default()
    }

    pub(super) fn to_ref(&self) -> pb::SocketRef {
        pb::SocketRef {
            socket_id: self.id,
            name: super::short(&self.name()),
        }
    }

    pub(super) fn to_pb(&self, summary: bool) -> pb::Socket {
        let is_tls = self.is_tls.load(Ordering::Relaxed);
        pb::Socket {
            r#ref: Some(self.to_ref()),
            data: Some(self.data(summary)),
            local: self.local.as_ref().map(address_to_pb),
            remote: self.remote.as_ref().map(address_to_pb),
            security: is_tls.then(|| pb::Security {
                model: Some(pb::security::Model::Tls(Default::default())),
            }),
            remote_name: String::new(),
        }
    }

    fn data(&self, summary: bool) -> pb::SocketData {
        let is_connection = !matches!(self.owner, Owner::Listener(_));
        let window = |flow: &Flow| {
            let is_known = is_connection && !self.is_opaque.load(Ordering::Relaxed);
            is_known.then(|| flow.window.load(Ordering::Relaxed))
        };
        let bytes = |name: &str, flow: &Flow| pb::SocketOption {
            name: name.to_owned(),
            value: flow.bytes.load(Ordering::Relaxed).to_string(),
            additional: None,
        };
        let option = if is_connection && !summary {
            vec![
                bytes("bytes_sent", &self.sent),
                bytes("bytes_received", &self.received),
            ]
        } else {
            Vec::new()
        };
        let goaway = self.goaway.load(Ordering::Relaxed);
        pb::SocketData {
            // Ends first: there are never more of them than starts.
            streams_succeeded: self.streams_succeeded.load(Ordering::Acquire),
            streams_failed: self.streams_failed.load(Ordering::Acquire),
            streams_started: self.streams_started.load(Ordering::Acquire),
            messages_sent: self.sent.messages.load(Ordering::Relaxed),
            messages_received: self.received.messages.load(Ordering::Relaxed),
            keep_alives_sent: self.keep_alives.load(Ordering::Relaxed),
            last_local_stream_created_timestamp: self.last_local_stream.timestamp(),
            last_remote_stream_created_timestamp: self.last_remote_stream.timestamp(),
            last_message_sent_timestamp: self.sent.last_message.timestamp(),
            last_message_received_timestamp: self.received.last_message.timestamp(),
            local_flow_control_window: window(&self.sent),
            remote_flow_control_window: window(&self.received),
            option,
            received_goaway_error: goaway.checked_sub(1).map(|error| error as u32),
            peer_max_concurrent_streams: self.peer_allows.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.registry.sockets.remove(self.id);
        match &self.owner {
            Owner::Listener(server) => server.listening.remove(self.id),
            Owner::Server(server) => server.closed(self),
            Owner::Subchannel(subchannel) => subchannel.closed(self),
        }
    }
}

fn address_to_pb(address: &Address) -> pb::Address {
    use pb::address::{Address as Kind, TcpIpAddress, UdsAddress};

    pb::Address {
        address: Some(match address {
            Address::Tcp(address) => Kind::TcpipAddress(TcpIpAddress {
                ip_address: match address.ip() {
                    std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
                    std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
                },
                port: address.port().into(),
            }),
            Address::Unix(path) => Kind::UdsAddress(UdsAddress {
                filename: path.display().to_string(),
            }),
        }),
    }
}
