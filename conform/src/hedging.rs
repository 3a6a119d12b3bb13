//! A call is sent again before it has failed, and the first answer counts.
//!
//! # The promise
//!
//! * A call that has no answer after `hedging_delay` is sent once more, and so on, until
//!   `max_attempts` (at most 5) were sent. A delay of zero sends them all at once.
//! * The first response headers win: the other attempts are cancelled, and their handlers stop.
//! * A code that isn't fatal has the next attempt sent at once; any other ends the call.
//! * A server that says when the next attempt may come (`grpc-retry-pushback-ms`), or that none may, is
//!   obeyed. A [`Throttle`] ends hedging while too many calls fail.
//!
//! So say gRPC's guide [Request hedging] and [gRFC A6]. Each attempt may be carried out: hedge only
//! methods that do no harm when they are called several times at once.
//!
//! # What tonic 0.14.9 does
//!
//! It sends each call once.
//!
//! # Example
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::time::Duration;
//!
//! use conform::hedging::{HedgingLayer, HedgingPolicy};
//! use conform::status::ClientStatusLayer;
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use tokio::net::TcpListener;
//! use tonic::transport::server::TcpIncoming;
//! use tonic::transport::{Endpoint, Server};
//! use tonic::{Code, Request, Response, Status};
//! use tower::ServiceBuilder;
//!
//! #[derive(Default)]
//! struct SlowAtFirst(AtomicU32);
//!
//! #[tonic::async_trait]
//! impl Greeter for SlowAtFirst {
//!     async fn greet(&self, _: Request<Name>) -> Result<Response<Greeting>, Status> {
//!         if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
//!             // Dropped when the second attempt has answered.
//!             std::future::pending::<()>().await;
//!         }
//!         Ok(Response::new(Greeting::default()))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
//! tokio::spawn(
//!     Server::builder()
//!         .add_service(GreeterServer::new(SlowAtFirst::default()))
//!         .serve_with_incoming(TcpIncoming::from(listener)),
//! );
//!
//! let policy = HedgingPolicy::new(3, Duration::from_millis(20), [Code::Unavailable])?;
//! let channel = ServiceBuilder::new()
//!     .layer(HedgingLayer::new().policy(policy))
//!     .layer(ClientStatusLayer::new())
//!     .service(endpoint.connect_lazy());
//! GreeterClient::new(channel).greet(Name::default()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Its place
//!
//! Below `deadline`, so that one deadline covers all attempts, and above `status`. What stands below
//! sees each attempt as a call of its own, with the time that is left in its `grpc-timeout` and, from
//! the second on, its number in `grpc-previous-rpc-attempts`.
//!
//! Hedging pays where the attempts go to several servers. The module `channel` does that, and has this
//! layer in it: put a `hedgingPolicy` into its service config, with a policy such as `round_robin`.
//!
//! A call without a policy passes as it is. Put `retry` right below for those: it lets attempts of
//! hedged calls pass in turn. An attempt that no server has seen is sent again as there.
//!
//! A request's extensions may have an `Arc<HedgingPolicy>` and a `Throttle` of their own. They stand
//! in for those of the layer.
//!
//! # What is kept of a request
//!
//! The same as in `retry`, and each attempt reads it at its own pace. When it is more than the
//! [`BufferLimits`] have room for, the call is committed to the attempt that has sent the most; the
//! others are cancelled, and none is begun.
//!
//! # Where gRFC A6 leaves a choice
//!
//! * If all attempts fail, the call ends with the answer that came last.
//! * A throttle that is closed when an attempt is due, or after a failure, ends the hedging of this
//!   call; attempts that run go on. grpc-java ends the call with a failure that finds it closed.
//! * If two attempts fail, the later answer decides when the next one is sent.
//! * A pushback doesn't make a fatal code harmless.
//!
//! [Request hedging]: https://grpc.io/docs/guides/request-hedging/
//! [gRFC A6]: https://github.com/grpc/proposal/blob/master/A6-client-retries.md

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tower::Layer;

use crate::attempts::{Codes, MOST_ATTEMPTS, Policy, Settings};
use crate::per_call::PerCall;

mod attempt;
mod future;
mod hedged;

#[cfg(test)]
mod tests;

pub use self::future::HedgingFuture;
pub use crate::attempts::{InvalidPolicy, NoRetry, Throttle};
pub use crate::replay::BufferLimits;

/// How often a call is sent before it has an answer, and when: gRFC A6, "Hedging Policy".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HedgingPolicy {
    max_attempts: u32,
    delay: Duration,
    non_fatal: Codes,
}

impl HedgingPolicy {
    /// At most `max_attempts` attempts, one after each `hedging_delay`; zero sends all at once, as
    /// does a service config without it. More than 5 are taken as 5.
    ///
    /// An attempt that fails with one of `non_fatal` leaves the call to the others.
    ///
    /// # Errors
    ///
    /// gRFC A6, "Validation of hedgingPolicy": if `max_attempts` is less than 2.
    pub fn new(
        max_attempts: u32,
        hedging_delay: Duration,
        non_fatal: impl IntoIterator<Item = Code>,
    ) -> Result<Self, InvalidPolicy> {
        if max_attempts < 2 {
            return Err(InvalidPolicy("maxAttempts must be at least 2"));
        }
        Ok(Self {
            max_attempts: max_attempts.min(MOST_ATTEMPTS),
            delay: hedging_delay,
            non_fatal: non_fatal.into_iter().collect(),
        })
    }

    /// How many attempts there may be, from 2 to 5.
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// The time from one attempt to the next.
    pub fn hedging_delay(&self) -> Duration {
        self.delay
    }

    /// Whether an attempt that fails with `code` leaves the call to the others.
    pub fn is_non_fatal(&self, code: Code) -> bool {
        self.non_fatal.contains(code)
    }
}

impl Policy for HedgingPolicy {
    fn configured(call: &PerCall) -> Option<Arc<Self>> {
        call.hedging.clone()
    }
}

/// Makes [`Hedging`]. Without a policy every call is sent once.
#[derive(Clone, Debug, Default)]
pub struct HedgingLayer {
    policy: Option<Arc<HedgingPolicy>>,
    throttle: Option<Throttle>,
    limits: BufferLimits,
}

impl HedgingLayer {
    /// A layer without a policy and a throttle.
    pub fn new() -> Self {
        Self::default()
    }

    /// The policy of requests that have none of their own in their extensions.
    pub fn policy(mut self, policy: impl Into<Arc<HedgingPolicy>>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// The throttle of hedged requests that have none of their own in their extensions.
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = Some(throttle);
        self
    }

    /// How much is kept of requests.
    pub fn buffer(mut self, limits: BufferLimits) -> Self {
        self.limits = limits;
        self
    }
}

impl<S> Layer<S> for HedgingLayer {
    type Service = Hedging<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let (policy, throttle) = (self.policy.clone(), self.throttle.clone());
        Hedging {
            inner,
            settings: Settings::new(policy, throttle, self.limits, None),
        }
    }
}

/// A channel whose calls are hedged. Give it to a stub as if it were the channel. Its clones share
/// the buffer and the throttle.
///
/// # Panics
///
/// A hedged call panics without a tokio runtime that has its timer on.
#[derive(Clone, Debug)]
pub struct Hedging<S> {
    inner: S,
    settings: Arc<Settings<HedgingPolicy>>,
}

inner_service!(Hedging<S>);

impl<S, B> Service<Request<Body>> for Hedging<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = StdError;
    type Future = HedgingFuture<S>;

    /// Always ready: each attempt waits for the service below by itself.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        HedgingFuture::new(self.inner.clone(), request, &self.settings)
    }
}
