//! What a config says, once it's read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::json::InvalidServiceConfig;
use super::parse;
use crate::balance::{Chosen, Registry};
use crate::deadline::Timeout;
use crate::hedging::HedgingPolicy;
use crate::retry::{RetryPolicy, Throttle};

/// A service config that is in order. Clones share it.
///
/// Two are equal if they say the same, whatever their texts look like. Tokens that a throttle has lost
/// don't count.
#[derive(Clone, Debug, Default)]
pub struct ServiceConfig {
    pub(super) said: Arc<Said>,
    /// Made of `said`. All clones take tokens from the same one.
    throttle: Option<Throttle>,
}

/// What a config says, without what has become of it since.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) methods: Methods,
    pub(super) throttling: Option<Throttling>,
    pub(super) health_check_service: Option<String>,
    pub(super) load_balancing: Option<Chosen>,
}

/// `/service/method`, `/service/` for all methods of one service, and nothing for all methods.
pub(super) type Methods = HashMap<String, Arc<MethodConfig>>;

/// `retryThrottling`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Throttling {
    pub(super) max_tokens: u32,
    pub(super) ratio_thousandths: u32,
}

impl ServiceConfig {
    /// Reads a config, which may name the policies that `conform` has.
    ///
    /// # Errors
    ///
    /// The table of the [module](super).
    pub fn parse(json: &str) -> Result<Self, InvalidServiceConfig> {
        Self::parse_with(json, &Registry::new())
    }

    /// Reads a config, which may name the policies of `registry`.
    ///
    /// # Errors
    ///
    /// The table of the [module](super).
    pub fn parse_with(json: &str, registry: &Registry) -> Result<Self, InvalidServiceConfig> {
        parse::parse(json, registry)
    }

    pub(super) fn new(said: Said, throttle: Option<Throttle>) -> Self {
        let said = Arc::new(said);
        Self { said, throttle }
    }

    /// The config of the method with this path: `/package.Service/Method`.
    ///
    /// That of its own name; or of its service; or of all methods. Only one of them counts: a field
    /// that it leaves out isn't looked for in the others.
    pub fn method(&self, path: &str) -> Option<&Arc<MethodConfig>> {
        let methods = &self.said.methods;
        let service = path.rfind('/').and_then(|end| path.get(..=end));
        let of_service = || service.and_then(|service| methods.get(service));
        let method = methods.get(path).or_else(of_service);
        method.or_else(|| methods.get(""))
    }

    /// The tokens of `retryThrottling`.
    pub fn throttle(&self) -> Option<&Throttle> {
        self.throttle.as_ref()
    }

    /// What the backends are asked for, to learn how they do: `healthCheckConfig.serviceName`. Without
    /// it they aren't asked. The empty name stands for the server as a whole.
    pub fn health_check_service(&self) -> Option<&str> {
        self.said.health_check_service.as_deref()
    }

    /// The first policy of `loadBalancingConfig` that is known, or the one of `loadBalancingPolicy`.
    /// Without either it's `pick_first`.
    pub fn load_balancing(&self) -> Option<&Chosen> {
        self.said.load_balancing.as_ref()
    }

    /// Goes on with the tokens of `old`, if they are counted in the same way: the servers are the
    /// same.
    pub(super) fn with_tokens_of(mut self, old: &Self) -> Self {
        if self.said.throttling == old.said.throttling {
            self.throttle = old.throttle.clone();
        }
        self
    }
}

impl PartialEq for ServiceConfig {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

/// What a config says of a method.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MethodConfig {
    pub(super) timeout: Option<Timeout>,
    pub(super) wait_for_ready: Option<bool>,
    pub(super) max_request: Option<usize>,
    pub(super) max_response: Option<usize>,
    pub(super) attempts: Option<Attempts>,
}

impl MethodConfig {
    /// How long a call may take. One that its caller gives less time has less.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.as_ref().map(Timeout::duration)
    }

    /// Whether a call waits for a connection, unless its caller says.
    pub fn wait_for_ready(&self) -> Option<bool> {
        self.wait_for_ready
    }

    /// The largest request message, in bytes.
    pub fn max_request(&self) -> Option<usize> {
        self.max_request
    }

    /// The largest reply message, in bytes.
    pub fn max_response(&self) -> Option<usize> {
        self.max_response
    }

    /// How a call is made more than once.
    pub fn attempts(&self) -> Option<&Attempts> {
        self.attempts.as_ref()
    }
}

/// How a call is made more than once: one way or the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Attempts {
    /// Again after it has failed.
    Retry(Arc<RetryPolicy>),
    /// Again before it has failed.
    Hedging(Arc<HedgingPolicy>),
}
