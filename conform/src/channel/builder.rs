//! How a channel comes to be.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "metrics")]
use opentelemetry::metrics::Meter;
use tokio::sync::{Notify, watch};
use tonic::codegen::StdError;
use tonic::transport::Endpoint;

use super::Published;
use super::activity::Activity;
use super::calls::Channel;
use super::connect::{Connector, patient};
use super::control::Policies;
use super::run::Run;
use super::shared::Shared;
use super::subchannel::Task;
use super::watch::Watchers;
use crate::balance::{PolicyBuilder, Registry};
#[cfg(feature = "channelz")]
use crate::channelz::Channelz;
#[cfg(feature = "metrics")]
use crate::metrics::ChannelMetrics;
use crate::resolver::{Scheme, Schemes};
use crate::retry::BufferLimits;
use crate::service_config::{Selection, ServiceConfig};

type Configure = Box<dyn FnOnce(Endpoint) -> Result<Endpoint, StdError> + Send>;

/// Why a channel can't be made: one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError(String);

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BuildError {}

/// Makes a [`Channel`]. See [`Channel::builder`].
///
/// The order of the settings doesn't matter.
pub struct ChannelBuilder {
    target: String,
    service_config: Option<String>,
    is_config_from_resolver: bool,
    schemes: Schemes,
    policies: Registry,
    authority: Option<String>,
    is_tls: bool,
    configure: Vec<Configure>,
    buffers: BufferLimits,
    idle_timeout: Option<Duration>,
    #[cfg(feature = "metrics")]
    meters: [Option<Meter>; 2],
    #[cfg(feature = "channelz")]
    channelz: Option<Channelz>,
}

/// How long a channel has no call before it is IDLE again: 30 minutes, as in grpc-go and grpc-java.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

impl ChannelBuilder {
    pub(super) fn new(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            service_config: None,
            is_config_from_resolver: true,
            schemes: Schemes::new(),
            policies: Registry::new(),
            authority: None,
            is_tls: false,
            configure: Vec::new(),
            buffers: BufferLimits::default(),
            idle_timeout: Some(IDLE_TIMEOUT),
            #[cfg(feature = "metrics")]
            meters: [None, None],
            #[cfg(feature = "channelz")]
            channelz: None,
        }
    }

    /// The service config, in JSON, where the resolver brings none (gRFC A21).
    pub fn service_config(mut self, json: impl Into<String>) -> Self {
        self.service_config = Some(json.into());
        self
    }

    /// Overlooks service configs that a resolver brings.
    pub fn disable_resolver_config(mut self) -> Self {
        self.is_config_from_resolver = false;
        self
    }

    /// A scheme of one's own for targets.
    pub fn scheme(mut self, scheme: impl Scheme) -> Self {
        self.schemes = self.schemes.with(scheme);
        self
    }

    /// A policy of one's own, which a service config may name.
    pub fn policy(mut self, policy: impl PolicyBuilder) -> Self {
        self.policies = self.policies.with(policy);
        self
    }

    /// What the channel calls the server: `:authority`, and the name that a TLS certificate has to
    /// have. Without it, it's the target's.
    pub fn authority(mut self, authority: impl Into<String>) -> Self {
        self.authority = Some(authority.into());
        self
    }

    /// Changes how each connection is made: pings, windows, the user agent. The endpoint has the
    /// channel's authority as its URI. `timeout`, `concurrency_limit` and `rate_limit` belong to the
    /// channel's calls, not to one connection: leave them as they are. An attempt to connect may take
    /// 20 s, until the server's SETTINGS are here; `connect_timeout` makes that less.
    ///
    /// **Not TLS**: `Endpoint::tls_config` has no effect here, and the channel speaks plain text. Use
    /// `tls`, which needs the feature `credentials`.
    pub fn endpoint(
        mut self,
        configure: impl FnOnce(Endpoint) -> Endpoint + Send + 'static,
    ) -> Self {
        self.configure
            .push(Box::new(|endpoint| Ok(configure(endpoint))));
        self
    }

    /// Speaks TLS on each connection. Plain text otherwise. Needs the feature `credentials`, whose
    /// module makes a config for an authority of one's own. For the public ones use tonic's: its feature
    /// `tls-native-roots`, and `ClientTlsConfig::new().with_enabled_roots()`.
    ///
    /// The certificate has to be for the channel's [`authority`](Self::authority), or for the config's
    /// `domain_name`, if it has one.
    ///
    /// ```
    /// use conform::channel::{BuildError, Channel};
    /// use conform::credentials::client_tls;
    /// use tonic::transport::Certificate;
    ///
    /// fn channel(ca: Certificate) -> Result<Channel, BuildError> {
    ///     Channel::builder("ipv4:10.0.0.1:50051,10.0.0.2:50051")
    ///         .authority("greeter.example.com")
    ///         .tls(client_tls(ca))
    ///         .connect_lazy()
    /// }
    /// ```
    #[cfg(feature = "credentials")]
    pub fn tls(mut self, config: tonic::transport::ClientTlsConfig) -> Self {
        self.is_tls = true;
        self.configure
            .push(Box::new(|endpoint| Ok(endpoint.tls_config(config)?)));
        self
    }

    /// How much of requests is kept for retries and hedging.
    pub fn buffers(mut self, limits: BufferLimits) -> Self {
        self.buffers = limits;
        self
    }

    /// After so long without a call the channel goes back to IDLE: it lets go of its connections and
    /// of its resolver, and the next call begins anew. [`IDLE_TIMEOUT`] if it isn't set; `None` or zero:
    /// never.
    ///
    /// A call counts until its end. What [`connect`](Channel::connect) connects lives as long.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = timeout.into().filter(|timeout| !timeout.is_zero());
        self
    }

    /// Measures the channel's calls and each of their attempts with `meter`: see
    /// [`metrics`](crate::metrics). Needs the feature `metrics`.
    #[cfg(feature = "metrics")]
    pub fn metrics(mut self, meter: &Meter) -> Self {
        self.meters[0] = Some(meter.clone());
        self
    }

    /// Records with `meter` how often calls were made again or hedged: gRFC A96, which has it off
    /// unless it's asked for. See [`metrics`](crate::metrics). Needs the feature `metrics`.
    #[cfg(feature = "metrics")]
    pub fn retry_metrics(mut self, meter: &Meter) -> Self {
        self.meters[1] = Some(meter.clone());
        self
    }

    /// Tells of the channel, its subchannels and their sockets in `channelz`, which has to be served for
    /// somebody to read it: see [`channelz`](crate::channelz). Needs the feature `channelz`.
    #[cfg(feature = "channelz")]
    pub fn channelz(mut self, channelz: &Channelz) -> Self {
        self.channelz = Some(channelz.clone());
        self
    }

    /// The channel. It connects when it's first used.
    ///
    /// # Errors
    ///
    /// The target or the service config is invalid, nobody knows the target's scheme, or the endpoint
    /// can't be made.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn connect_lazy(self) -> Result<Channel, BuildError> {
        let target = self.schemes.target(&self.target).map_err(said)?;
        let resolver = self.schemes.build(&target).map_err(said)?;
        let authority = match self.authority {
            Some(authority) => authority,
            None => self.schemes.authority(&target).map_err(said)?,
        };
        let config = self.service_config.as_deref();
        let config = config.map(|json| ServiceConfig::parse_with(json, &self.policies));
        let config = config
            .transpose()
            .map_err(|why| BuildError(format!("the service config is invalid: {why}")))?;
        let scheme = if self.is_tls { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{authority}"))
            .map_err(|_| BuildError(format!("{authority:?} can't be an authority")))?;
        endpoint = patient(endpoint);
        for configure in self.configure {
            endpoint =
                configure(endpoint).map_err(|error| said(crate::status::explain(&*error)))?;
        }

        let pick_first = self.policies.policy("pick_first", &serde_json::json!({}));
        let mut selection = Selection::new(config.clone(), self.policies);
        if !self.is_config_from_resolver {
            selection = selection.ignoring_resolver();
        }
        let activity = Activity::new();
        #[cfg(feature = "channelz")]
        let entry = self.channelz.map(|all| all.channel(&target.to_string()));
        let watchers = Watchers {
            activity: activity.clone(),
            #[cfg(feature = "metrics")]
            metrics: {
                let [calls, retries] = &self.meters;
                ChannelMetrics::new(calls.as_ref(), retries.as_ref(), target.to_string())
            },
            #[cfg(feature = "channelz")]
            entry: entry.clone(),
        };
        #[cfg_attr(not(feature = "channelz"), allow(unused_mut))]
        let mut policies = Policies::new(Connector::new(endpoint));
        #[cfg(feature = "channelz")]
        policies.show(entry.clone());
        let (published, published_reader) = watch::channel(Published::idle());
        let (settings, settings_reader) = watch::channel(None::<ServiceConfig>);
        let wanted = Arc::new(Notify::new());
        let run = Run {
            wanted: wanted.clone(),
            published,
            settings,
            activity,
            idle_timeout: self.idle_timeout,
            schemes: self.schemes,
            target,
            resolver: Some(resolver),
            policies,
            default: config.clone().unwrap_or_default(),
            selection,
            pick_first: pick_first.map_err(said)?,
            #[cfg(feature = "channelz")]
            entry,
        };
        let shared = Shared {
            published: published_reader,
            settings: settings_reader,
            wanted,
            watchers,
            _task: Task::spawn(run.run()),
        };
        Ok(Channel::new(Arc::new(shared), self.buffers))
    }
}

fn said(error: impl fmt::Display) -> BuildError {
    BuildError(error.to_string())
}

impl fmt::Debug for ChannelBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelBuilder")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
