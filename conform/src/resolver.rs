//! A channel finds its servers by a name, and hears of each change.
//!
//! # The promise
//!
//! A client names what it calls; a resolver of the name's scheme says which servers that are, and
//! says so again when they change: servers come and go without the client's connecting anew. What
//! can't be found out at the moment takes nothing away that works. So says gRPC's guide [Custom name
//! resolution]; names are written as [naming.md] has them, and what becomes of a service config is
//! [gRFC A21]'s.
//!
//! # What tonic 0.14.9 does
//!
//! It has no resolver. An `Endpoint` is one URL; `dns:`, `ipv4:` and schemes of one's own are
//! refused. The name in a URL is looked up while connecting, and the first address that answers is
//! the only server, until its connection breaks. Several servers are a list that the program keeps up
//! to date itself (`Channel::balance_channel`).
//!
//! # Example
//!
//! A resolver of one's own: the list comes from a [`watch`](tokio::sync::watch) channel that another
//! part of the program keeps. ([`Manual`] is about the same, ready to be used.) You need the crate
//! `futures` for its `BoxFuture`, and conform's feature `client` for the channel.
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use conform::channel::Channel;
//! use conform::resolver::{Backend, Resolver, Scheme, Target, Update, Updates};
//! use futures::future::BoxFuture;
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use tokio::net::TcpListener;
//! use tokio::sync::watch;
//! use tonic::transport::Server;
//! use tonic::transport::server::TcpIncoming;
//! use tonic::{Request, Response, Status};
//!
//! #[derive(Clone)]
//! struct Watched(watch::Receiver<Vec<SocketAddr>>);
//!
//! impl Scheme for Watched {
//!     fn name(&self) -> &str {
//!         "watched"
//!     }
//!
//!     fn resolver(&self, _: &Target) -> Result<Box<dyn Resolver>, String> {
//!         Ok(Box::new(self.clone()))
//!     }
//! }
//!
//! impl Resolver for Watched {
//!     fn run(mut self: Box<Self>, updates: Updates) -> BoxFuture<'static, ()> {
//!         Box::pin(async move {
//!             loop {
//!                 let list = self.0.borrow_and_update().clone();
//!                 updates.send(Update::new(list.into_iter().map(Backend::at))).await;
//!                 if self.0.changed().await.is_err() {
//!                     return;
//!                 }
//!             }
//!         })
//!     }
//! }
//!
//! struct Named(&'static str);
//!
//! #[tonic::async_trait]
//! impl Greeter for Named {
//!     async fn greet(&self, _: Request<Name>) -> Result<Response<Greeting>, Status> {
//!         Ok(Response::new(Greeting { text: self.0.to_owned() }))
//!     }
//! }
//!
//! async fn serve(name: &'static str) -> std::io::Result<SocketAddr> {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!     let server = Server::builder().add_service(GreeterServer::new(Named(name)));
//!     tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
//!     Ok(address)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (list, watched) = watch::channel(vec![serve("old").await?]);
//! let channel = Channel::builder("watched:///greeter")
//!     .scheme(Watched(watched))
//!     .connect_lazy()?;
//! let mut stub = GreeterClient::new(channel);
//! assert_eq!(stub.greet(Name::default()).await?.into_inner().text, "old");
//!
//! list.send(vec![serve("new").await?])?;
//! // The channel hears of it, and connects, while calls go on.
//! while stub.greet(Name::default()).await?.into_inner().text == "old" {}
//! # Ok(())
//! # }
//! ```
//!
//! # Targets
//!
//! | target | servers | `:authority` |
//! |---|---|---|
//! | `dns:///greeter.example:50051` | each address of the name, IPv4 and IPv6 | `greeter.example:50051` |
//! | `greeter.example:50051`, `dns:greeter.example:50051` | the same | the same |
//! | `greeter.example` | the same at port 443, [`DEFAULT_PORT`] | `greeter.example` |
//! | `127.0.0.1:50051`, `[::1]:50051` | this one; nothing is looked up | as written |
//! | `dns://10.0.0.2:53/greeter.example:50051` | as the DNS server 10.0.0.2 knows them (feature `dns`) | `greeter.example:50051` |
//! | `ipv4:10.0.0.1:50051,10.0.0.2:50051` | these | `10.0.0.1:50051` |
//! | `ipv6:[::1]:50051,[::1]:50052` | these | `[::1]:50051` |
//! | `unix:greeter.sock`, `unix:///run/greeter.sock` | this socket (Unix) | `localhost` |
//! | `unix-abstract:greeter` | this socket without a file (Linux) | `localhost` |
//! | `fleet:///greeter` | as the scheme of your own says | `greeter`, or what the scheme says |
//!
//! What is malformed is refused before anything is connected, with a sentence that says what is wrong
//! ([`InvalidTarget`]). A port is a number; naming.md's default of 443 holds for plain text too,
//! so write the port. The zone of an IPv6 address is a number as well: `[fe80::1%252]:50051`, where
//! `%25` stands for `%`.
//!
//! # Updates
//!
//! A [`Resolver`] runs as one task of its channel, from the channel's first need of it to its end. It
//! sends an [`Update`] whenever something has changed, each with all backends; the newest wins, and
//! nothing queues up. [`Updates::send`] tells whether the channel could use it: who polls tries again
//! after a while if not ([gRFC A21], *Behavior on receiving a new gRPC Config*, 5.2).
//! [`Updates::asked`] tells when the channel wants a fresh answer.
//!
//! # DNS
//!
//! With the feature `dns`, names are looked up by hickory, which tells how long an answer holds, so
//! that the channel hears of servers that were added; it brings some sixty crates. Without it the
//! system is asked, and asked again only when a connection fails. [`Dns`] has the rest.
//!
//! # What differs from gRPC elsewhere
//!
//! * A name whose TTL has passed is looked up again without a failure. grpc-go and grpc-java wait
//!   for one; [`Dns::only_when_asked`] does too.
//! * `:50051`, without a host, is refused; grpc-go takes it for `localhost`. `http://…` is refused
//!   too, with a sentence, where naming.md would ask DNS for a host called `http`.
//! * An item of `ipv4:` that is empty is refused; C-core skips it.
//! * The `:authority` of a list is its first address, as in grpc-js; in C-core it's the whole list.
//!
//! # What it can't do
//!
//! * There's no `xds:`, and no `passthrough:`.
//! * Addresses aren't sorted as RFC 6724 has it, but for what the system does without the feature
//!   `dns`: hickory's come IPv4 first.
//! * The header `:authority` has no escapes in tonic, so a name with a `/` in it travels as
//!   `localhost`.
//!
//! [Custom name resolution]: https://grpc.io/docs/guides/custom-name-resolution/
//! [naming.md]: https://github.com/grpc/grpc/blob/master/doc/naming.md
//! [gRFC A21]: https://github.com/grpc/proposal/blob/master/A21-service-config-error-handling.md

use futures::future::BoxFuture;

mod address;
mod dns;
mod fixed;
mod host;
mod manual;
mod schemes;
mod target;
mod update;

pub use self::address::{Address, Backend, Weight};
pub use self::dns::{
    Dns, LONGEST_RESOLUTION_INTERVAL, MIN_RESOLUTION_INTERVAL, RESOLUTION_TIMEOUT,
};
pub use self::manual::Manual;
pub use self::schemes::{Scheme, Schemes};
pub use self::target::{InvalidTarget, Target};
pub use self::update::{Delivery, Update, Updates, UpdatesReceiver, Verdict};

#[cfg(test)]
mod tests;

/// The port of a host that is named without one: 443 (naming.md), whether there is TLS or not.
pub const DEFAULT_PORT: u16 = 443;

/// How many backends a target or an answer of DNS may have: 1024. Of a longer answer the first are
/// taken; a longer target is refused.
pub const MAX_BACKENDS: usize = 1024;

/// Finds out which backends a target stands for, and goes on finding out.
pub trait Resolver: Send + 'static {
    /// Runs until the channel ends, which drops the future; a resolver that has nothing more to say
    /// may end before that.
    ///
    /// Each change is sent as an update, the first as soon as possible: the channel's first calls wait
    /// for it. What fails is sent too, so that calls end with the reason instead of waiting.
    fn run(self: Box<Self>, updates: Updates) -> BoxFuture<'static, ()>;
}
