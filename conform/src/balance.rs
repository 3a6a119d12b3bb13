//! A client spreads its calls over many backends, by a policy that it can choose or write.
//!
//! # The promise
//!
//! A policy is told of addresses and of the connectivity of each connection, and hands out a picker.
//! A picker says for each call: this connection, wait, or fail. Nothing blocks on it. So say gRPC's
//! guide [Custom load balancing policies] and [load-balancing.md]. Policies are named in the service
//! config, with a config of their own ([gRFC A24]), and so can one's own be.
//!
//! # What tonic 0.14.9 does
//!
//! `Channel::balance_list` and `balance_channel` choose at random, take no other policy, and take a
//! backend that's dead for one that is ready: half of the calls to one live and one dead backend fail.
//!
//! # The policies
//!
//! A channel of the module `channel` runs them. Its service config names the one to use, and the first
//! known one of the list counts; without a list it's `pick_first`:
//!
//! ```json
//! { "loadBalancingConfig": [ { "round_robin": {} } ] }
//! ```
//!
//! | name | a call goes to | config | source |
//! |---|---|---|---|
//! | `pick_first` | the first address that could be reached | `shuffleAddressList`: `false` | [A62], [A61], [A113] |
//! | `round_robin` | the next backend | | [load-balancing.md] |
//! | `static_weights` | the next backend, as often as its [`Weight`] says | | `conform` only |
//! | `weighted_round_robin` | the next backend, as often as its reports say | see below | [A58] |
//! | `least_request_experimental` | the one with the fewest open calls, of `choiceCount` at random | `choiceCount`: 2, at most 10 | [A48] |
//! | `ring_hash_experimental` | the one that this value of the header belongs to | `requestHashHeader`: needed; `minRingSize`: 1024; `maxRingSize`: 4096, and no more | [A42], [A76] |
//! | `outlier_detection_experimental` | where another policy says, unless too many calls have failed there | see below | [A50] |
//!
//! A call waits while a connection is being made. If none can be made it fails at once with
//! UNAVAILABLE and the last error; one that waits for ready waits on. A `retryPolicy` with that code
//! makes it again, as if a server had said so.
//!
//! ## `pick_first`
//!
//! It tries the addresses in the resolver's order, IPv4 and IPv6 in turn, the next one beside those
//! before it after [`CONNECTION_ATTEMPT_DELAY`], or at once after a failure. The first that is READY
//! wins, and the rest is dropped. If all fail, calls fail, the resolver is asked again, and each
//! address is tried again after its own backoff.
//!
//! It stays on its connection while the resolver lists its address. Once that is lost, the next call
//! makes another, from the first address on. It asks nobody for its health: there is no other backend
//! to call.
//!
//! `shuffleAddressList` has many clients of the same list call different backends. The order is by
//! chance, and those with a higher weight are more often among the first.
//!
//! ## `round_robin`
//!
//! It keeps a connection to every backend, and each that is READY gets the same number of calls, in
//! the resolver's order, from a random place on. One that is lost or ill gets no more calls from then
//! on, and is connected again at once, then after its backoff. Only when all have failed do calls
//! fail, until one is READY.
//!
//! Backends with several addresses have one connection: the addresses are tried as `pick_first` does.
//! One that is listed twice counts once.
//!
//! ## `static_weights`
//!
//! As `round_robin`, but a backend of weight 2 gets two calls where one of weight 1 gets one, evenly
//! mixed: after any number of calls each has had its share, give or take three calls. No weight and
//! weight 0 count as 1; one that is listed twice has the sum of its weights.
//!
//! ## `weighted_round_robin`
//!
//! As `round_robin`, but a backend that says it can take twice as much gets two calls where the other
//! gets one: its weight is the calls a second that it serves, divided by the part of itself that they
//! use. See [`orca`](crate::orca).
//!
//! Calls go round evenly until at least two backends have weights. One that has none yet, or none any
//! more, gets the mean of the others. Reports that can't be true are overlooked, and nobody's weight
//! counts for more than ten times the mean, or less than a hundredth of it.
//!
//! | field | default | |
//! |---|---|---|
//! | `enableOobLoadReport` | `false` | backends report out of band; otherwise with each call |
//! | `oobReportingPeriod` | `"10s"` | how often they are asked to; a server may make it longer |
//! | `blackoutPeriod` | `"10s"` | a backend has to report for this long before its weight counts, anew after each connection |
//! | `weightExpirationPeriod` | `"180s"` | without a report for this long it has no weight |
//! | `weightUpdatePeriod` | `"1s"` | how often weights are looked at; less than `"0.1s"` is taken as that |
//! | `errorUtilizationPenalty` | `1` | how much errors count: a backend whose calls all fail looks as if this much more of it were used |
//!
//! ## `least_request_experimental`
//!
//! As `round_robin`, but each call looks at a few backends by chance, and goes to the one that has the
//! fewest open calls of this channel. A stream is open until it ends. With 2 choices slow backends get
//! far fewer calls already; more choices add little.
//!
//! ## `ring_hash_experimental`
//!
//! Calls with the same value of a header go to the same backend, as long as that can be reached, and
//! then to the same other one. When backends come and go, few of the values move. Each backend has
//! places on a ring, by its weight; a value belongs to the next place on it. It's the ring that
//! grpc-go has for the same addresses, so both send a value to the same backend. [`HashKey`] replaces
//! the address.
//!
//! Connections are made as calls need them. A call without the header goes to any backend that is
//! READY.
//!
//! ## `outlier_detection_experimental`
//!
//! It runs another policy, and takes backends out whose calls fail far more often than those of others.
//! At each interval it looks at the calls that have ended since the last one. Who is out gets no calls
//! for half a minute, half a minute longer each time, and keeps its connection meanwhile.
//!
//! ```json
//! { "loadBalancingConfig": [ { "outlier_detection_experimental": {
//!     "failurePercentageEjection": { "threshold": 50, "minimumHosts": 3, "requestVolume": 10 },
//!     "childPolicy": [ { "round_robin": {} } ]
//! } } ] }
//! ```
//!
//! | field | default | |
//! |---|---|---|
//! | `childPolicy` | needed | the other policy, as in `loadBalancingConfig`. `pick_first` has nobody taken out |
//! | `interval` | `"10s"` | less than `"0.1s"` is taken as that |
//! | `baseEjectionTime` | `"30s"` | how long a backend is out the first time |
//! | `maxEjectionTime` | `"300s"` | how long it's out at most |
//! | `maxEjectionPercent` | `10` | once so many of all backends are out, nobody else is |
//! | `failurePercentageEjection` | off | takes out who fails more than `threshold` (`85`) percent of its calls |
//! | `successRateEjection` | off | takes out whose part of calls that succeed is more than `stdevFactor` (`1900`) thousandths of the standard deviation below the mean |
//!
//! Both have three more fields, and **without them a few backends, or a few calls, are never judged**:
//!
//! | field | default | |
//! |---|---|---|
//! | `minimumHosts` | `5` | so many backends have to have had enough calls |
//! | `requestVolume` | `50`; `100` for `successRateEjection` | so many calls of an interval are enough |
//! | `enforcementPercentage` | `100` | how often a judgment is carried out |
//!
//! Every code but OK is a failure, and so is a deadline that has passed. A call that the caller breaks
//! off counts for nothing. A50 speaks of addresses; here all of a backend's addresses are one ([A61]).
//! Where its comments and its algorithm differ, the algorithm holds: exactly `threshold` percent is
//! not too many.
//!
//! # A policy of your own
//!
//! Always the first backend that is READY, in the order given: the machine next door, and the far one
//! only while it is down. You need the crate `serde_json` for its config, and conform's feature
//! `client` for the channel.
//!
//! ```
//! use std::sync::Arc;
//!
//! use conform::balance::testing::FakeChannel;
//! use conform::balance::{
//!     Call, Control, Pick, Policy, PolicyBuilder, PolicyConfig, Registry, Subchannel, SubchannelState,
//! };
//! use conform::channel::{BuildError, Channel};
//! use conform::connectivity::State;
//! use conform::resolver::Backend;
//! use serde_json::{Value, json};
//! use tonic::Status;
//!
//! #[derive(Debug, Default)]
//! struct InOrder {
//!     backends: Vec<(Subchannel, SubchannelState)>,
//! }
//!
//! impl InOrder {
//!     fn publish(&self, control: &mut dyn Control) {
//!         let ready = |(_, state): &&(_, SubchannelState)| state.state() == State::Ready;
//!         match self.backends.iter().find(ready) {
//!             Some((first, _)) => {
//!                 let first = first.clone();
//!                 let picker = move |_: &Call<'_>| Pick::from(first.clone());
//!                 control.publish(State::Ready, Arc::new(picker));
//!             }
//!             None if self.backends.iter().any(is_on_its_way) => {
//!                 control.publish(State::Connecting, Arc::new(|_: &Call<'_>| Pick::Wait));
//!             }
//!             None => {
//!                 let nobody = |_: &Call<'_>| Pick::Fail(Status::unavailable("nobody is there"));
//!                 control.publish(State::TransientFailure, Arc::new(nobody));
//!             }
//!         }
//!     }
//! }
//!
//! fn is_on_its_way((_, state): &(Subchannel, SubchannelState)) -> bool {
//!     !matches!(state, SubchannelState::TransientFailure(_))
//! }
//!
//! impl Policy for InOrder {
//!     fn resolved(&mut self, backends: &[Backend], control: &mut dyn Control) -> Result<(), String> {
//!         self.backends.clear(); // A better one keeps those that stay.
//!         for backend in backends {
//!             let subchannel = control.subchannel(backend, &backend.addresses()[0]);
//!             subchannel.connect();
//!             self.backends.push((subchannel, SubchannelState::Idle));
//!         }
//!         self.publish(control);
//!         match backends {
//!             [] => Err("there are no backends".into()), // The resolver is asked again.
//!             _ => Ok(()),
//!         }
//!     }
//!
//!     fn failed(&mut self, _: &Status, control: &mut dyn Control) {
//!         self.publish(control);
//!     }
//!
//!     fn changed(&mut self, it: &Subchannel, now: &SubchannelState, control: &mut dyn Control) {
//!         if now.state() == State::Idle {
//!             it.connect();
//!         }
//!         if let Some((_, state)) = self.backends.iter_mut().find(|(other, _)| other == it) {
//!             *state = now.clone();
//!         }
//!         self.publish(control);
//!     }
//! }
//!
//! impl PolicyConfig for InOrder {
//!     fn build(&self) -> Box<dyn Policy> {
//!         Box::new(InOrder::default())
//!     }
//! }
//!
//! struct Builder;
//!
//! impl PolicyBuilder for Builder {
//!     fn name(&self) -> &str {
//!         "in_order"
//!     }
//!
//!     fn parse(&self, _: &Value) -> Result<Arc<dyn PolicyConfig>, String> {
//!         Ok(Arc::new(InOrder::default()))
//!     }
//! }
//!
//! // A channel has to know the policy, and its service config has to name it.
//! fn channel() -> Result<Channel, BuildError> {
//!     Channel::builder("dns:///greeter.example.com:50051")
//!         .policy(Builder)
//!         .service_config(r#"{ "loadBalancingConfig": [{ "in_order": {} }] }"#)
//!         .connect_lazy()
//! }
//!
//! // A test needs no network.
//! # fn main() -> Result<(), String> {
//! let registry = Registry::new().with(Builder);
//! let chosen = registry.choose(&json!([{ "in_order": {} }, { "pick_first": {} }]))?;
//! let mut channel = FakeChannel::new(chosen.config().build());
//! let [near, far] = [[10, 0, 0, 1], [10, 9, 9, 9]].map(|ip| Backend::at((ip, 50051).into()));
//! channel.resolved(&[near.clone(), far.clone()])?;
//!
//! let mut picked = |backend: &Backend, state| {
//!     channel.set(&backend.addresses()[0], state);
//!     match channel.pick(&Call::new("/greeter.v1.Greeter/Greet", &Default::default())) {
//!         Pick::Use(picked) => picked.subchannel().address().to_string(),
//!         other => format!("{other:?}"),
//!     }
//! };
//! assert_eq!(picked(&near, SubchannelState::Connecting), "Wait");
//! assert_eq!(picked(&far, SubchannelState::Ready), "10.9.9.9:50051");
//! assert_eq!(picked(&near, SubchannelState::Ready), "10.0.0.1:50051");
//! assert_eq!(picked(&near, SubchannelState::Idle), "10.9.9.9:50051");
//! # Ok(())
//! # }
//! ```
//!
//! [`Subchannel::channel`] is for calls of the policy's own, such as health checks of another kind: in a
//! task that the policy spawns, and looks after when it's woken ([`Control::wake_at`]).
//! When the service config says something else of a policy, [`Policy::reconfigured`] is asked whether it
//! goes on with that; one that doesn't is replaced, with its connections.
//!
//! # What it can't do
//!
//! * No `priority`, no `weighted_target`, nothing of xDS. So `ring_hash_experimental` needs its
//!   header's name, where xDS would bring the hash.
//! * Who is ejected is told to nobody: for channelz and [`Channel::state`] its connection is READY.
//! * A list of more than [`MAX_ADDRESSES`] is refused, and the one before stays. An empty list takes
//!   all backends away, as in gRPC; a resolver that only fails takes nothing away.
//! * A ring has [`MAX_RING_SIZE`] places at most. With many backends, and weights far apart, some have
//!   no place, and get no calls.
//! * A backend with several addresses that is ill is connected through all of them until it has
//!   recovered, and then keeps one. gRPC keeps the first.
//!
//! [`Channel::state`]: crate::channel::Channel::state
//! [`Weight`]: crate::resolver::Weight
//! [Custom load balancing policies]: https://grpc.io/docs/guides/custom-load-balancing/
//! [load-balancing.md]: https://github.com/grpc/grpc/blob/master/doc/load-balancing.md
//! [gRFC A24]: https://github.com/grpc/proposal/blob/master/A24-lb-policy-config.md
//! [A50]: https://github.com/grpc/proposal/blob/master/A50-xds-outlier-detection.md
//! [A42]: https://github.com/grpc/proposal/blob/master/A42-xds-ring-hash-lb-policy.md
//! [A48]: https://github.com/grpc/proposal/blob/master/A48-xds-least-request-lb-policy.md
//! [A58]: https://github.com/grpc/proposal/blob/master/A58-client-side-weighted-round-robin-lb-policy.md
//! [A61]: https://github.com/grpc/proposal/blob/master/A61-IPv4-IPv6-dualstack-backends.md
//! [A62]: https://github.com/grpc/proposal/blob/master/A62-pick-first.md
//! [A76]: https://github.com/grpc/proposal/blob/master/A76-ring-hash-improvements.md
//! [A113]: https://github.com/grpc/proposal/blob/master/A113-pick-first-weighted-shuffling.md

use std::sync::Arc;

mod config;
mod dialer;
mod endpoints;
mod least_request;
#[cfg_attr(not(feature = "channel"), allow(dead_code))]
mod line;
mod outlier_detection;
mod pick_first;
mod picker;
mod policy;
mod registry;
mod ring;
mod ring_hash;
mod round_robin;
mod spread;
mod static_weights;
mod subchannel;
pub mod testing;
#[cfg(test)]
mod tests;
mod weighted_round_robin;

pub use self::dialer::CONNECTION_ATTEMPT_DELAY;
pub use self::endpoints::MAX_ADDRESSES;
#[allow(unused_imports)] // For the channel.
pub(crate) use self::line::{Line, LineEnd, MOST_IN_VAIN, Waiting};
pub use self::picker::{Call, CallEnd, Pick, Picked, Picker};
pub use self::policy::{Control, Policy, PolicyBuilder, PolicyConfig};
pub use self::registry::{Chosen, Registry};
pub use self::ring::MAX_RING_SIZE;
pub use self::ring_hash::HashKey;
#[allow(unused_imports)] // For the channel.
pub(crate) use self::subchannel::{Connection, Shared, WeakSubchannel};
pub use self::subchannel::{Subchannel, SubchannelState};

/// The policies of this module.
fn built_in() -> Vec<Arc<dyn PolicyBuilder>> {
    vec![
        Arc::new(least_request::Builder),
        Arc::new(outlier_detection::Builder),
        Arc::new(pick_first::Builder),
        Arc::new(ring_hash::Builder),
        Arc::new(round_robin::Builder),
        Arc::new(static_weights::Builder),
        Arc::new(weighted_round_robin::Builder),
    ]
}
