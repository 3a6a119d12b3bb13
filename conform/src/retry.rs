//! A call that fails is made again, as its policy says; one that no server has seen, in any case.
//!
//! # The promise
//!
//! * **Transparent retry.** A call that never left this side, since its connection was gone, goes to
//!   another one. A call that the server has refused unprocessed, with REFUSED_STREAM or above the
//!   last stream of a GOAWAY, is made again once.
//! * **Configured retry.** A call that fails with a code of its [`RetryPolicy`] is made again after
//!   a pause that grows, until `max_attempts` (at most 5) were made.
//! * A server that says when (`grpc-retry-pushback-ms`), or not at all, is obeyed. A [`Throttle`]
//!   ends retries while too many calls fail.
//! * Once response headers are there the caller may have seen them: such a call isn't made again.
//!   An error without them (*Trailers-Only*) is none.
//!
//! So say gRPC's guide [Retry] and [gRFC A6].
//!
//! # What tonic 0.14.9 does
//!
//! It makes no call again. A call that is put on a connection just as that goes away fails with
//! CANCELLED, though no server has seen it.
//!
//! # Example
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::time::Duration;
//!
//! use conform::retry::{RetryLayer, RetryPolicy, Throttle};
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
//! struct Moody(AtomicU32);
//!
//! #[tonic::async_trait]
//! impl Greeter for Moody {
//!     async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
//!         if self.0.fetch_add(1, Ordering::Relaxed) < 2 {
//!             return Err(Status::unavailable("not now"));
//!         }
//!         // The server knows which attempt this is.
//!         assert_eq!(request.metadata().get("grpc-previous-rpc-attempts").unwrap(), "2");
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
//!         .add_service(GreeterServer::new(Moody::default()))
//!         .serve_with_incoming(TcpIncoming::from(listener)),
//! );
//!
//! let pause = Duration::from_millis(10);
//! let policy = RetryPolicy::new(4, pause, Duration::from_secs(1), 2.0, [Code::Unavailable])?;
//! let channel = ServiceBuilder::new()
//!     .layer(RetryLayer::new().policy(policy).throttle(Throttle::new(10, 100)?))
//!     .layer(ClientStatusLayer::new())
//!     .service(endpoint.connect_lazy());
//! GreeterClient::new(channel).greet(Name::default()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Its place
//!
//! Below `deadline`, so that one deadline covers all attempts and their pauses, and above `status`,
//! so that a lost connection is UNAVAILABLE. What stands below sees each attempt as a call of its
//! own, with the time that is left in its `grpc-timeout`.
//!
//! A request's extensions may have an `Arc<RetryPolicy>` and a `Throttle` of their own. They stand
//! in for those of the layer.
//!
//! The module `channel` has this layer in it: put a `retryPolicy` and a `retryThrottling` into its
//! service config instead.
//!
//! # What is kept of a request
//!
//! The frames that the attempts have sent, as they are, until the call is committed: at its
//! response's headers, or when they are more than the [`BufferLimits`] have room for. The attempt
//! that runs then goes on and is the last one; if it fails, that is the answer. An upload is made
//! again from its beginning, and goes on with what the caller sends.
//!
//! # Where gRFC A6 leaves a choice
//!
//! * A call that has waited for the next attempt until its deadline ends with DEADLINE_EXCEEDED then,
//!   as in grpc-go, rather than with the last failure at once.
//! * A call that never left this side is put on at most 32 other connections. A6 has no limit but
//!   the deadline; grpc-go neither. Refused calls are made again once for each call, whichever
//!   attempt it was; in grpc-go, only if it was the first. grpcio counts that as an attempt,
//!   against A6, *Transparent Retries*.
//! * A call counts as a success when it ends with OK, and as a failure also if it fails after its
//!   headers, with a code of its policy, or a pushback that says stop, as in grpcio. grpc-go and
//!   grpc-js count no failures after headers. A6, *Throttling Retry Attempts and Hedged RPCs*.
//! * A pushback with unnecessary zeros, a sign, or twice, is malformed: it says stop. So does one
//!   that is no number, by A6, *Pushback*; grpc-js overlooks it, and grpcio makes INTERNAL of it.
//!
//! # What it can't do
//!
//! A connection that ends with a GOAWAY for a fault of the client's fails all of its calls alike: hyper
//! doesn't tell which of them the server has seen, so none is made again without a policy. Nor does
//! anybody tell whether a call has been carried out whose connection broke: list UNAVAILABLE only
//! where carrying it out twice does no harm.
//!
//! [Retry]: https://grpc.io/docs/guides/retry/
//! [gRFC A6]: https://github.com/grpc/proposal/blob/master/A6-client-retries.md

use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tower::Layer;

use crate::attempts::Settings;

mod future;
mod policy;

#[cfg(test)]
mod tests;

pub use self::future::RetryFuture;
pub use self::policy::RetryPolicy;
pub use crate::attempts::{InvalidPolicy, NoRetry, Throttle};
pub use crate::replay::BufferLimits;

/// Makes [`Retry`]. Without a policy only calls that no server has seen are made again.
#[derive(Clone, Debug, Default)]
pub struct RetryLayer {
    policy: Option<Arc<RetryPolicy>>,
    throttle: Option<Throttle>,
    limits: BufferLimits,
    seed: Option<u64>,
}

impl RetryLayer {
    /// A layer without a policy and a throttle.
    pub fn new() -> Self {
        Self::default()
    }

    /// The policy of requests that have none of their own in their extensions.
    pub fn policy(mut self, policy: impl Into<Arc<RetryPolicy>>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// The throttle of requests that have none of their own in their extensions.
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = Some(throttle);
        self
    }

    /// How much is kept of requests.
    pub fn buffer(mut self, limits: BufferLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Makes the jitter of the pauses the same each time, for tests.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let (policy, throttle) = (self.policy.clone(), self.throttle.clone());
        Retry {
            inner,
            settings: Settings::new(policy, throttle, self.limits, self.seed),
        }
    }
}

/// A channel whose calls are made again. Give it to a stub as if it were the channel. Its clones
/// share the buffer and the throttle.
///
/// # Panics
///
/// A call panics without a tokio runtime that has its timer on, if it has to pause.
#[derive(Clone, Debug)]
pub struct Retry<S> {
    inner: S,
    settings: Arc<Settings<RetryPolicy>>,
}

inner_service!(Retry<S>);

impl<S, B> Service<Request<Body>> for Retry<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = StdError;
    type Future = RetryFuture<S>;

    /// Always ready: each attempt waits for the service below by itself.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        RetryFuture::new(self.inner.clone(), request, self.settings.clone())
    }
}
