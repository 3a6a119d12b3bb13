//! What the channels, servers and connections of a process are doing, to be read while it runs.
//!
//! # The promise
//!
//! A program tells of its channels, subchannels, servers and sockets: what state they are in, how
//! many calls, streams and messages there were, how they ended, and what has happened recently. Any
//! client of the service `grpc.channelz.v1.Channelz` can read it: [gRFC A14], [gRPC's guide to
//! debugging]. The rules of the service stand in [`channelz.proto`].
//!
//! # What tonic 0.14.9 does
//!
//! Nothing of it: neither the service, nor a number that it could tell. A channel doesn't say what
//! state it is in, a server not how many connections it has, and a call that fails doesn't say over
//! which connection.
//!
//! # Example
//!
//! One process with a server and a channel to it, and a second address on which it tells of both:
//!
//! ```
//! use conform::channelz::Channelz;
//! use conform::channelz::pb::channelz_client::ChannelzClient;
//! use conform::channelz::pb::{GetServersRequest, GetTopChannelsRequest};
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use hyper_util::client::legacy::connect::HttpConnector;
//! use tokio::net::TcpListener;
//! use tonic::transport::Endpoint;
//! use tonic::{Request, Response, Status};
//! use tower::ServiceBuilder;
//!
//! struct Polite;
//!
//! #[tonic::async_trait]
//! impl Greeter for Polite {
//!     async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
//!         let Name { name } = request.into_inner();
//!         let text = format!("Hello, {name}!");
//!         Ok(Response::new(Greeting { text }))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let channelz = Channelz::new();
//!
//! // On a server: a layer that counts calls, and an adaptor that counts what the connections carry.
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let server = channelz.server("greeter");
//! tokio::spawn(
//!     conform::server::builder()
//!         .layer(server.layer())
//!         .add_service(GreeterServer::new(Polite))
//!         .serve_with_incoming(server.incoming(address, conform::server::incoming(listener))),
//! );
//!
//! // On a client, with tonic's channel: an entry for what the program calls, one for each backend below
//! // it. Module `channel` does this by itself.
//! let entry = channelz.channel("greeter");
//! let backend = entry.subchannel("the only one");
//! let mut connector = HttpConnector::new();
//! connector.set_nodelay(true);
//! let channel = Endpoint::from_shared(format!("http://{address}"))?
//!     .connect_with_connector_lazy(backend.connector(connector));
//! let channel = ServiceBuilder::new()
//!     .layer(entry.layer())
//!     .layer(backend.layer())
//!     .service(channel);
//! GreeterClient::new(channel.clone()).greet(Name { name: "Ann".into() }).await?;
//!
//! // Where it is read, by this client or by any other.
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("http://{}", listener.local_addr()?);
//! tokio::spawn(async move { channelz.serve(listener).await });
//! let mut client = ChannelzClient::connect(url).await?;
//!
//! let channels = client.get_top_channels(GetTopChannelsRequest::default()).await?;
//! let data = channels.into_inner().channel.remove(0).data.unwrap();
//! assert_eq!((data.calls_started, data.calls_succeeded, data.calls_failed), (1, 1, 0));
//! let servers = client.get_servers(GetServersRequest::default()).await?;
//! let data = servers.into_inner().server.remove(0).data.unwrap();
//! assert_eq!((data.calls_started, data.calls_succeeded, data.calls_failed), (1, 1, 0));
//! # Ok(())
//! # }
//! ```
//!
//! A [`channel`](crate::channel) tells of itself, its subchannels and their sockets, once it has
//! [`ChannelBuilder::channelz`](crate::channel::ChannelBuilder::channelz).
//!
//! # Who may read it
//!
//! Whoever reads it learns whom this process talks to, and how much. So it belongs on an address of
//! its own: [`Channelz::serve`] takes a listener on loopback only, and
//! [`Channelz::serve_publicly`] any. To put it behind an authorisation of one's own, there is
//! [`Channelz::service`].
//!
//! # What it costs
//!
//! A few atomic counters and a small allocation for each call, a look at the nine bytes before each
//! frame and the five before each message, and on a client one copy of what is read. `cargo run
//! --release -p conform --example channelz_cost` measures calls a second with and without it.
//!
//! An entry lives as long as what it tells of, and no longer: the registry keeps nothing alive. No
//! list grows without bound: see [`MAX_ENTRIES`], [`MAX_TRACE_EVENTS`], [`MAX_STREAMS`],
//! [`MAX_PAGE`]; names and descriptions have 100 characters at most, and control characters in them
//! are escaped.
//!
//! # What it doesn't know
//!
//! * Inside TLS there are no frames to be seen. Of such a connection, addresses, bytes and the fact
//!   that it is TLS are told, and of its channel or server everything about calls. A server that
//!   makes TLS by itself can put [`ServerEntry::incoming`] around what comes out of the handshake.
//! * Keepalives are pings that this side sent. hyper's pings that measure bandwidth
//!   (`http2_adaptive_window`) look the same.
//! * A peer's REFUSED_STREAM and RST_STREAM count as failed streams, as A14 says; a stream that was
//!   open when its connection broke isn't counted, because its socket goes in the same moment.
//! * A socket's options are what this module counts itself, `bytes_sent` and `bytes_received`. The
//!   system's own can't be asked through a connection of any type.
//! * gRPC's own libraries have one registry for a process. Here it is a value: whoever wants one for
//!   all keeps it in a `static`.
//!
//! [gRFC A14]: https://github.com/grpc/proposal/blob/master/A14-channelz.md
//! [gRPC's guide to debugging]: https://grpc.io/docs/guides/debugging/
//! [`channelz.proto`]: https://github.com/grpc/grpc-proto/blob/master/grpc/channelz/v1/channelz.proto

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tonic::codegen::StdError;

use self::pb::channelz_server::ChannelzServer;
use self::registry::Registry;
use crate::status::escape;

mod calls;
mod channel;
mod counted_io;
mod frames;
mod moment;
mod registry;
mod server;
mod service;
mod socket;
mod trace;

/// Messages, stub and server of `grpc/channelz/v1/channelz.proto`, as tonic generates them.
#[rustfmt::skip]
#[path = "channelz/generated.rs"]
pub mod pb;

#[cfg(test)]
mod tests;

pub use self::calls::{CountCalls, CountCallsFuture, CountCallsLayer};
pub use self::channel::{ChannelEntry, Connector, ConnectorFuture, SubchannelEntry};
pub use self::counted_io::CountedIo;
pub use self::frames::MAX_STREAMS;
pub use self::registry::MAX_ENTRIES;
pub use self::server::{Incoming, ServerEntry};
pub use self::service::{ChannelzService, MAX_PAGE};
pub use self::socket::Address;
pub use self::trace::MAX_TRACE_EVENTS;

/// How many characters of a name or a description are kept.
const LONGEST: usize = 100;

/// How many connections [`Channelz::serve`] takes at once, and how many calls each may have open:
/// enough for people who debug, and a bound to the answers that are in memory at once.
const READERS: usize = 16;
const READER_CALLS: u32 = 4;

/// What a process tells of itself. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Channelz {
    registry: Arc<Registry>,
}

impl Channelz {
    /// Nothing to tell of yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An entry for a server. The name is for readers.
    pub fn server(&self, name: &str) -> ServerEntry {
        ServerEntry::new(&self.registry, name)
    }

    /// An entry for a channel, as the program sees it. The target is for readers: where it leads,
    /// or what it is for.
    pub fn channel(&self, target: &str) -> ChannelEntry {
        ChannelEntry::new(&self.registry, target)
    }

    /// The service, to be added to a server whose callers may read it.
    pub fn service(&self) -> ChannelzServer<ChannelzService> {
        ChannelzServer::new(ChannelzService {
            registry: self.registry.clone(),
        })
    }

    /// Serves the registry to this machine, for as long as the future is polled.
    ///
    /// # Errors
    ///
    /// If the listener isn't on loopback, or fails.
    pub async fn serve(&self, listener: TcpListener) -> Result<(), StdError> {
        let address = listener.local_addr()?;
        if !address.ip().to_canonical().is_loopback() {
            let why = format!(
                "{address} can be reached from elsewhere, and channelz tells whom this process \
                 talks to: bind it to 127.0.0.1, or ask for `serve_publicly`"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why).into());
        }
        self.serve_publicly(listener).await
    }

    /// Serves the registry to whoever reaches `listener`, for as long as the future is polled.
    ///
    /// # Errors
    ///
    /// If the listener fails.
    pub fn serve_publicly(
        &self,
        listener: TcpListener,
    ) -> impl Future<Output = Result<(), StdError>> + Send + use<> {
        let incoming = crate::server::incoming(listener).max_connections(READERS);
        let server = crate::server::builder()
            .max_concurrent_streams(READER_CALLS)
            .add_service(self.service())
            .serve_with_incoming(incoming);
        async { Ok(server.await?) }
    }
}

/// What is kept of a name or a description.
fn short(text: &str) -> String {
    let escaped = escape(text);
    match escaped.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", escaped.get(..end).unwrap_or_default()),
        None => escaped,
    }
}
