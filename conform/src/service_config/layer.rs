//! Puts what a config says of a method on its calls.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;
use tonic::codegen::Service;
use tonic::codegen::http::{Extensions, Request};
use tower::Layer;

use super::{Attempts, MethodConfig, ServiceConfig};
use crate::hedging::HedgingPolicy;
use crate::message_limit::CallLimits;
#[cfg(feature = "channel")]
use crate::per_call::PerCall;
use crate::retry::RetryPolicy;
use crate::wait_for_ready::WaitForReady;

/// Makes [`ConfiguredChannel`]. Put it outside of the layers that do what the config says. See the
/// [module](super).
#[derive(Clone, Debug)]
pub struct ServiceConfigLayer {
    config: watch::Receiver<ServiceConfig>,
}

impl ServiceConfigLayer {
    /// For this config.
    pub fn new(config: ServiceConfig) -> Self {
        // Nobody changes it any more.
        let (_, config) = watch::channel(config);
        Self { config }
    }

    /// For the newest config of a channel of tokio. A call has the one that there is when it begins.
    pub fn following(config: watch::Receiver<ServiceConfig>) -> Self {
        Self { config }
    }
}

impl<S> Layer<S> for ServiceConfigLayer {
    type Service = ConfiguredChannel<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let config = self.config.clone();
        ConfiguredChannel { inner, config }
    }
}

/// A channel whose calls have what a config says of their method.
#[derive(Clone, Debug)]
pub struct ConfiguredChannel<S> {
    inner: S,
    config: watch::Receiver<ServiceConfig>,
}

inner_service!(ConfiguredChannel<S>);

impl<S, B> Service<Request<B>> for ConfiguredChannel<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        self.config.borrow().apply(&mut request);
        self.inner.call(request)
    }
}

impl ServiceConfig {
    /// Gives a call what this config says of its method, and what it hasn't been given by its caller.
    pub(crate) fn apply<B>(&self, request: &mut Request<B>) {
        if let Some(throttle) = self.throttle() {
            insert_new(request.extensions_mut(), || throttle.clone());
        }
        if let Some(method) = self.method(request.uri().path()).cloned() {
            method.apply(request);
        }
    }
}

impl ServiceConfig {
    /// The same for a call on a channel, whose layers look for it in one place.
    #[cfg(feature = "channel")]
    pub(crate) fn per_call<B>(&self, request: &mut Request<B>) -> PerCall {
        let method = self.method(request.uri().path());
        if let Some(timeout) = method.and_then(|method| method.timeout.as_ref()) {
            timeout.shorten(request.headers_mut());
        }
        let method = method.map(|method| &**method);
        let attempts = method.and_then(|method| method.attempts.as_ref());
        let attempts = attempts.filter(|_| !has_own_policy(request.extensions()));
        let (retry, hedging) = match attempts {
            Some(Attempts::Retry(policy)) => (Some(policy.clone()), None),
            Some(Attempts::Hedging(policy)) => (None, Some(policy.clone())),
            None => (None, None),
        };
        PerCall {
            waits_for_ready: method.and_then(MethodConfig::wait_for_ready) == Some(true),
            limits: method.map(MethodConfig::limits).unwrap_or_default(),
            retry,
            hedging,
            throttle: self.throttle().cloned(),
            ..PerCall::default()
        }
    }
}

impl MethodConfig {
    fn apply<B>(&self, request: &mut Request<B>) {
        if let Some(timeout) = &self.timeout {
            timeout.shorten(request.headers_mut());
        }
        let extensions = request.extensions_mut();
        if let Some(wait) = self.wait_for_ready {
            insert_new(extensions, || WaitForReady(wait));
        }
        if self.max_request.is_some() || self.max_response.is_some() {
            let own = extensions.get().copied().unwrap_or_default();
            extensions.insert(self.limits().and(own));
        }
        if let Some(attempts) = &self.attempts {
            attempts.apply(extensions);
        }
    }

    fn limits(&self) -> CallLimits {
        CallLimits {
            incoming: self.max_response,
            outgoing: self.max_request,
        }
    }
}

impl Attempts {
    fn apply(&self, extensions: &mut Extensions) {
        if has_own_policy(extensions) {
            return;
        }
        match self {
            Self::Retry(policy) => extensions.insert(policy.clone()).map(drop),
            Self::Hedging(policy) => extensions.insert(policy.clone()).map(drop),
        };
    }
}

/// Whether the caller says how the call is made more than once.
fn has_own_policy(extensions: &Extensions) -> bool {
    extensions.get::<Arc<RetryPolicy>>().is_some()
        || extensions.get::<Arc<HedgingPolicy>>().is_some()
}

fn insert_new<T: Clone + Send + Sync + 'static>(
    extensions: &mut Extensions,
    value: impl FnOnce() -> T,
) {
    if extensions.get::<T>().is_none() {
        extensions.insert(value());
    }
}
