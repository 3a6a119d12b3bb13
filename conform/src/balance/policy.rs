//! What a load balancing policy is, to the channel that runs it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;
use tonic::Status;

use super::{Picker, Registry, Subchannel, SubchannelState};
use crate::connectivity::State;
use crate::resolver::{Address, Backend};

/// Decides which connections there are, and for each call which one it takes.
///
/// The channel calls these methods one after another, from one task: a policy needs no locks, and
/// must not block. What happens per call is the [`Picker`]'s. One that panics is taken away: the
/// channel fails its calls until the next config or list of backends.
///
/// A policy lives until the service config names another one, or the channel is IDLE again or closed.
pub trait Policy: Send + 'static {
    /// The resolver has found these backends, in its order. Those that stay should keep their
    /// subchannels.
    ///
    /// # Errors
    ///
    /// What is wrong with them. The resolver is asked again, with backoff. If the list can't be used,
    /// what the policy had before should go on working; an empty one takes all backends away.
    fn resolved(&mut self, backends: &[Backend], control: &mut dyn Control) -> Result<(), String>;

    /// The service config says something else of the policy. `true`: it goes by `config` from now on,
    /// and is told of the backends next. `false`, as by default: the channel makes a new policy, with
    /// connections of its own, in its place.
    fn reconfigured(&mut self, config: &dyn PolicyConfig) -> bool {
        let _ = config;
        false
    }

    /// The resolver has failed. A policy that has backends keeps them; one that has none publishes
    /// TRANSIENT_FAILURE.
    fn failed(&mut self, error: &Status, control: &mut dyn Control);

    /// A subchannel has changed its state. It isn't called for subchannels whose last handle is
    /// dropped.
    fn changed(
        &mut self,
        subchannel: &Subchannel,
        state: &SubchannelState,
        control: &mut dyn Control,
    );

    /// Somebody wants a connection, and the policy has published IDLE. Nothing, by default.
    fn connect(&mut self, control: &mut dyn Control) {
        let _ = control;
    }

    /// The time has come that was asked for by [`Control::wake_at`]. Nothing, by default.
    fn woken(&mut self, control: &mut dyn Control) {
        let _ = control;
    }
}

/// What a policy can do.
pub trait Control {
    /// A new subchannel, IDLE, to one address of a backend. It lives until its last handle is
    /// dropped.
    fn subchannel(&mut self, backend: &Backend, address: &Address) -> Subchannel;

    /// The channel's state from now on, and who says where calls go.
    fn publish(&mut self, state: State, picker: Arc<dyn Picker>);

    /// Asks the resolver for a fresh answer, as a lost connection is a reason to. The resolver
    /// limits how often it really looks.
    fn re_resolve(&mut self);

    /// Asks for [`Policy::woken`] at this time. There is one such time: the newest.
    fn wake_at(&mut self, time: Instant);
}

/// Makes policies of one name from their part of the service config.
pub trait PolicyBuilder: Send + Sync + 'static {
    /// As the config calls it: `round_robin`.
    fn name(&self) -> &str;

    /// Reads the policy's config, a JSON object. Fields that aren't known are to be overlooked.
    ///
    /// # Errors
    ///
    /// What is wrong, with the field's name. The whole service config is invalid then (gRFC A24).
    fn parse(&self, config: &serde_json::Value) -> Result<Arc<dyn PolicyConfig>, String>;

    /// The same, for a policy that has another one inside and chooses it from `registry`, by
    /// [`Registry::choose`].
    ///
    /// # Errors
    ///
    /// Those of [`parse`](Self::parse).
    fn parse_with(
        &self,
        config: &serde_json::Value,
        registry: &Registry,
    ) -> Result<Arc<dyn PolicyConfig>, String> {
        let _ = registry;
        self.parse(config)
    }
}

/// A policy's config that is in order.
pub trait PolicyConfig: Any + fmt::Debug + Send + Sync {
    /// A policy with this config.
    fn build(&self) -> Box<dyn Policy>;

    /// Whether its subchannels are READY only while their backend says that it's SERVING, where the
    /// service config asks for that (gRFC A17): true, by default. A policy that asks them itself, by calls
    /// of its own, says false.
    fn health_checks(&self) -> bool {
        true
    }
}

impl dyn PolicyConfig {
    /// The config as what it is: for [`Policy::reconfigured`].
    pub fn downcast_ref<T: PolicyConfig>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}
