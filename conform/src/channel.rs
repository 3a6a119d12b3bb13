//! All of the client's promises in one channel: a target, a service config, and tonic's endpoint.
//!
//! # The promise
//!
//! A channel to a name finds the servers behind it and keeps finding them, spreads its calls over
//! those that work, waits, repeats or hedges calls as the [service config] says, and ends each at its
//! deadline with the right status. So behave grpc-go's and grpc-java's channels. The guides are
//! [Service config], [Retry], [Request hedging], [Wait-for-ready], [Custom name resolution],
//! [Custom load balancing policies]; what a channel's states mean is in
//! [connectivity-semantics-and-api.md].
//!
//! # What tonic 0.14.9 does
//!
//! Its `Channel` is one connection to one URI, resolved anew for each connection, with no backoff; or
//! a random choice among several that takes the dead for living. There are no retries, no hedging, no
//! service config, no resolvers, no policies, no wait-for-ready.
//!
//! # Example
//!
//! A client that repeats what fails, spreads its calls, and keeps away from backends that are ill. It
//! needs the feature `client`; the servers, which are here only so that the example runs, need `server`
//! too.
//!
//! ```
//! use conform::channel::Channel;
//! use conform::health::{self, ServingStatus};
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use tokio::net::TcpListener;
//! use tonic::{Request, Response, Status};
//!
//! const CONFIG: &str = r#"{
//!     "loadBalancingConfig": [{ "round_robin": {} }],
//!     "healthCheckConfig": { "serviceName": "greeter.v1.Greeter" },
//!     "methodConfig": [{
//!         "name": [{ "service": "greeter.v1.Greeter" }],
//!         "timeout": "5s",
//!         "waitForReady": true,
//!         "retryPolicy": {
//!             "maxAttempts": 4,
//!             "initialBackoff": "0.1s",
//!             "maxBackoff": "1s",
//!             "backoffMultiplier": 2,
//!             "retryableStatusCodes": ["UNAVAILABLE"]
//!         }
//!     }],
//!     "retryThrottling": { "maxTokens": 10, "tokenRatio": 0.1 }
//! }"#;
//!
//! struct Polite;
//!
//! #[tonic::async_trait]
//! impl Greeter for Polite {
//!     async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
//!         let text = format!("Hello, {}!", request.into_inner().name);
//!         Ok(Response::new(Greeting { text }))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Two servers; with DNS it would be `dns:///greeter.example.com:50051`.
//! let mut addresses = Vec::new();
//! for _ in 0..2 {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     addresses.push(listener.local_addr()?.to_string());
//!     let (reporter, health) = health::server();
//!     reporter.set("greeter.v1.Greeter", ServingStatus::Serving);
//!     let server = conform::server::builder()
//!         .add_service(health)
//!         .add_service(GreeterServer::new(Polite))
//!         .serve_with_incoming(conform::server::incoming(listener));
//!     tokio::spawn(server);
//! }
//! let target = format!("ipv4:{}", addresses.join(","));
//!
//! let channel = Channel::builder(&target)
//!     .service_config(CONFIG)
//!     .connect_lazy()?;
//! let mut stub = GreeterClient::new(channel);
//! let ann = Name { name: "Ann".into() };
//! assert_eq!(stub.greet(ann).await?.into_inner().text, "Hello, Ann!");
//! # Ok(())
//! # }
//! ```
//!
//! # What a channel is made of
//!
//! Three things go in. The **target** says whom to find, and by which [resolver](crate::resolver).
//! The **service config** says how to call them: see [`service_config`](crate::service_config). Most
//! channels get it from whoever makes them; a resolver may bring one too, and that one is preferred
//! (gRFC A21). tonic's **[`Endpoint`]** says how one connection is made: windows, pings, the user
//! agent. The channel makes one `Endpoint` with the target's authority as its URI, and
//! [`ChannelBuilder::endpoint`] changes it. TLS is `ChannelBuilder::tls`, with the feature
//! `credentials`; without it the channel speaks plain text, whatever an endpoint's own `tls_config`
//! says.
//!
//! ```text
//!  stub                                            one task of the channel
//!   │                                              ┌───────────────────────────────────────┐
//!   │  config of the method ◄──────────────────────┤ service config ◄── resolver ◄── target │
//!   │  deadline                                    │        │               │               │
//!   │  message limits                              │        ▼               ▼               │
//!   │  hedging, or retry                           │      policy ◄── backends, states       │
//!   │  pick ◄── picker ◄───────────────────────────┤        │                               │
//!   │  status                                      │        ▼                               │
//!   ▼                                              │  subchannels, one task each: connect,  │
//!  connection ◄────────────────────────────────────┤  backoff, health                       │
//!                                                  └───────────────────────────────────────┘
//! ```
//!
//! # What a call passes on its way
//!
//! From the stub down, and who owns it:
//!
//! 1. **The config of its method.** The call takes what it hasn't been given itself: the smaller
//!    timeout, `waitForReady`, limits on messages, how it's repeated. Before the resolver's first
//!    answer nobody knows the config, so the call waits here, no longer than its own deadline.
//! 2. **The [deadline](crate::deadline).** One over all that follows: waiting, connecting, attempts.
//! 3. **[Message limits](crate::message_limit)**, of the method's config.
//! 4. **[Hedging](crate::hedging) or [retry](crate::retry).** Each attempt begins the request from
//!    its beginning, out of a buffer with limits. The tokens that throttle both are the channel's: all
//!    clones have the same. A call that never left this side is made again here whatever its config
//!    says (transparent retry).
//! 5. **The pick.** The policy's newest picker is asked; it never blocks. If it says *wait*, the call
//!    waits for the next picker. If it says *fail*, the call ends with UNAVAILABLE, or waits if it is to
//!    [wait for ready](crate::wait_for_ready).
//! 6. **[Status](crate::status).** What tonic and hyper say of a broken connection becomes
//!    UNAVAILABLE, before anything above looks at it. [Details](crate::error_details) of an error
//!    that are malformed are taken away.
//! 7. **The connection**: a tonic `Channel` that is one connection and never another. tonic's own
//!    reconnecting is kept out: when and where to connect is the policy's business.
//!
//! A caller says what holds for one call in the request's extensions, as for the layers that stand
//! alone: [`WaitForReady`](crate::wait_for_ready::WaitForReady), for example. That counts more than the
//! config.
//!
//! # What is shared
//!
//! Clones of a [`Channel`] are one channel: one resolver, one policy with its connections, one service
//! config, one set of tokens, one budget of buffers. All of it lives in one task, which hears the
//! resolver, the subchannels and the clock one after another, so that a policy needs no locks. What
//! calls need of it they read from two places that the task replaces as a whole: the newest picker and
//! the newest config. A call holds neither: a config that comes while a call runs changes nothing for
//! that call, and a picker that is replaced takes no connection away from the calls that it has placed.
//! The task ends, and with it all connections that have no running call, when the last clone is
//! dropped.
//!
//! # States
//!
//! [`Channel::state`] tells them. A channel begins IDLE: it resolves nothing and connects to nobody
//! before its first call, or [`Channel::connect`].
//!
//! A subchannel connects when its policy asks for it, READY once the server's first SETTINGS frame is
//! here. Its attempts keep the [connection backoff protocol]: 1 s from the beginning of one to that of
//! the next, then 1.6 times as much each time, up to 120 s, each give or take a fifth; it begins anew
//! after a success. A connection that ends before a call was answered over it, and before the wait
//! that belongs to it is over, counts as a failure then, from the eleventh in a row on: so a server that closes what it accepts isn't
//! connected to in a loop, which the specification leaves open. A GOAWAY takes a connection out of the
//! choice at once, and the calls on it run on. A connection on which 4096 calls in a row were given up
//! without an answer is left in the same way: a server that lets no stream begin has them all wait
//! here, in memory.
//!
//! A channel that has no call for [`IDLE_TIMEOUT`] goes back to IDLE: it lets go of its connections and
//! its resolver, and the next call resolves anew. What config it had stays until there is another.
//!
//! [`Channel::close`] ends it in order: SHUTDOWN, no new calls, and a future that is there when the last
//! call has ended. Calls that run also outlive a channel whose clones are all dropped, but nobody hears
//! of their end.
//!
//! # Watching it
//!
//! `ChannelBuilder::metrics` and `retry_metrics` record calls, attempts, retries and hedges
//! (gRFC A66, A96; feature `metrics`). `ChannelBuilder::channelz` shows the channel, its subchannels
//! and their sockets to whoever debugs the program (gRFC A14; feature `channelz`). A channel that has
//! neither pays nothing for them.
//!
//! # What a call costs
//!
//! It should be no more than 15 µs and two allocations beyond a call on tonic's bare channel, beside
//! the body's buffer. This prints a table of both, for the smallest call over loopback while nothing
//! fails:
//!
//! ```console
//! $ cargo run --release -p conform --example channel_cost
//! ```
//!
//! With all of it configured a call takes about a fifth longer than a bare one, which is within the 15
//! µs. The allocations aren't within the two: 12 more than the 69 of a bare call, its server's among
//! them. A test keeps them at 12.
//!
//! | part | allocations | for what |
//! |---|---|---|
//! | config | 1 | what it says of the call, for all layers, in one extension of the request |
//! | deadline | 4 | what both bodies share, the task that drops them on time, a box for each body |
//! | limits, both | 3 | a box for each body; where the request says why it has ended |
//! | retry | 3 | the body's buffer: what the attempts share, and a box; a copy of the head |
//! | pick, status | 1 | a box for the replies, which the throttle looks into too |
//!
//! A channel without a config pays for the first line and the last two: 5. What is there can't go
//! without giving something up:
//!
//! * A layer hands a body to the next one in a box, so that it may stand between any two others, or be
//!   left out.
//! * hyper polls no body while it waits for the reader to open the window. So somebody else has to drop
//!   what a call holds at its deadline, which is a task.
//! * A transparent retry may follow any attempt, also one without a policy, and tonic's channel keeps
//!   the request that it's given. The copy is made before.
//!
//! A pick takes as long among a thousand backends as among two: the example prints that too.
//!
//! # What it can't do
//!
//! * The connection's failures count as UNAVAILABLE, so a `retryPolicy` with that code also repeats
//!   calls that find nobody, instead of failing at once.
//! * Inside of TLS the first SETTINGS and a GOAWAY can't be seen. READY is then the end of the
//!   handshake, and a connection leaves the choice when it closes, or when the first call finds that
//!   it takes no more; that call is made again by itself. A server that refuses the client's
//!   certificate does so after the handshake, so such a channel is READY for a moment.
//! * What a stub finds wrong has tonic's codes. A reply of more than the 4 MiB that a stub takes by
//!   itself is OUT_OF_RANGE; with `maxResponseMessageBytes` in the config, RESOURCE_EXHAUSTED, as it
//!   should be. A second reply to a unary call is overlooked.
//! * A connection whose server sends very many very small messages, faster than they are read, is
//!   ended by the crate h2, with all of its calls (`too_many_data_frames`).
//! * Proxies, xDS, `grpclb` and binary logs.
//!
//! [`Endpoint`]: tonic::transport::Endpoint
//! [service config]: https://github.com/grpc/grpc/blob/master/doc/service_config.md
//! [Service config]: https://grpc.io/docs/guides/service-config/
//! [Retry]: https://grpc.io/docs/guides/retry/
//! [Request hedging]: https://grpc.io/docs/guides/request-hedging/
//! [Wait-for-ready]: https://grpc.io/docs/guides/wait-for-ready/
//! [Custom name resolution]: https://grpc.io/docs/guides/custom-name-resolution/
//! [Custom load balancing policies]: https://grpc.io/docs/guides/custom-load-balancing/
//! [connectivity-semantics-and-api.md]: https://grpc.github.io/grpc/core/md_doc_connectivity-semantics-and-api.html
//! [connection backoff protocol]: https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md

mod activity;
mod builder;
mod calls;
mod connect;
mod control;
mod end;
mod late;
mod pick;
mod run;
mod shared;
mod states;
mod subchannel;
mod watch;

use std::sync::Arc;

pub use self::builder::{BuildError, ChannelBuilder, IDLE_TIMEOUT};
pub use self::calls::{Channel, ChannelFuture, Closing};
pub use self::states::States;
use crate::balance::{Call, Pick, Picker};
use crate::connectivity::State;

#[cfg(test)]
mod tests;

/// What the channel's task has to say to its calls.
#[derive(Clone)]
struct Published {
    state: State,
    picker: Arc<dyn Picker>,
    /// New calls are refused. Those that run need `state` and `picker` all the same.
    is_closed: bool,
}

impl Published {
    fn new(state: State, picker: Arc<dyn Picker>) -> Self {
        Self {
            state,
            picker,
            is_closed: false,
        }
    }

    fn idle() -> Self {
        Self::new(State::Idle, Arc::new(Wait))
    }

    fn connecting() -> Self {
        Self::new(State::Connecting, Arc::new(Wait))
    }

    /// The state that is told outside.
    fn shown(&self) -> State {
        match self.is_closed {
            true => State::Shutdown,
            false => self.state,
        }
    }
}

/// Before there's a policy.
struct Wait;

impl Picker for Wait {
    fn pick(&self, _: &Call<'_>) -> Pick {
        Pick::Wait
    }
}
