//! A call waits for its server, if it's told to; and nobody is flooded with attempts to connect.
//!
//! # The promise
//!
//! While a client can't connect, its calls fail at once. A call that *waits for ready* waits instead,
//! until there is a connection; its deadline still ends it. While a connection is being made the
//! first time, or after a wait, all calls wait for it. So say gRPC's guide [Wait-for-ready] and
//! [wait-for-ready.md]. Between two attempts to connect lie the waits of the [connection backoff
//! protocol]: 1 s from the beginning of one to that of the next, 1.6 times as much after each failure,
//! up to 120 s, each give or take a fifth. A success begins them anew.
//!
//! # What tonic 0.14.9 does
//!
//! Each call to a server that isn't there is an attempt to connect, and fails when that has failed. No
//! call can wait, and there is no pause between attempts, however many calls there are.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use conform::deadline::ClientDeadlineLayer;
//! use conform::wait_for_ready::{WaitForReady, WaitForReadyLayer};
//! use greeter::Name;
//! use greeter::greeter_client::GreeterClient;
//! use tonic::transport::Endpoint;
//! use tonic::{Code, Request};
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // `connect` fails if there is no server yet; `connect_lazy` doesn't.
//! let nobody = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
//! let channel = ServiceBuilder::new()
//!     .layer(ClientDeadlineLayer::new())
//!     .layer(WaitForReadyLayer::new())
//!     .service(nobody);
//! let mut stub = GreeterClient::new(channel);
//!
//! let status = stub.greet(Name::default()).await.unwrap_err();
//! assert_eq!(status.code(), Code::Unavailable);
//!
//! let mut request = Request::new(Name::default());
//! request.set_timeout(Duration::from_secs(5));
//! request.extensions_mut().insert(WaitForReady(true));
//! let status = stub.greet(request).await.unwrap_err();
//! assert_eq!(status.code(), Code::DeadlineExceeded);
//! assert!(status.message().contains("waited for a connection: "), "{status}");
//! # Ok(())
//! # }
//! ```
//!
//! # How it waits
//!
//! Clones of the service share what they know of the connection:
//!
//! | the connection | a call that waits for ready | any other call |
//! |---|---|---|
//! | not tried yet, or the wait is over | tries | tries |
//! | being tried by another call | waits for what comes of it | waits for what comes of it |
//! | has failed, and the wait isn't over | waits | fails with UNAVAILABLE, and why the attempt has failed |
//! | made | is sent | is sent |
//!
//! So at one time one call tries, on behalf of all. An attempt is a call that goes to the channel;
//! there is a connection as soon as something reads the call's body, or there is an answer. A call that
//! is dropped while it tries leaves that to the next one; one that is held without being polled keeps
//! the others for 20 s at most, the protocol's MIN_CONNECT_TIMEOUT.
//!
//! Only a call that never left this side waits: there was no connection ([`tonic::ConnectError`]), or
//! it closed before it took the call, and nothing has read the call's body. All else ends the call as it
//! ended before. So nothing is sent twice.
//!
//! The deadline is that of the module `deadline`, or what `grpc-timeout` says, counted from the
//! call. The call ends with DEADLINE_EXCEEDED and the reason why there is no connection. A call that
//! has waited tells its server the time that is left.
//!
//! # Its place
//!
//! Right above tonic's channel, below all that repeats calls. It makes a status of its own from a
//! [`tonic::ConnectError`], which is still one of the status's sources.
//!
//! A channel of the module `channel` waits by itself, without this layer: there it's [`WaitForReady`]
//! in a request's extensions, or `"waitForReady": true` in the service config.
//!
//! # What it can't do
//!
//! * What looks permanent is waited for too, as in gRPC's other clients: a name that doesn't exist, a
//!   certificate that isn't valid. Set a deadline; its message says why.
//! * A connection that was accepted and closed at once looks like a success: tonic doesn't tell when
//!   the server's SETTINGS have come. The module `channel` knows.
//! * When a connection is lost, the calls of that moment each try once to make a new one.
//! * tonic's channel tries as long as the system does. Set [`Endpoint::connect_timeout`] to 20 s.
//!
//! [Wait-for-ready]: https://grpc.io/docs/guides/wait-for-ready/
//! [wait-for-ready.md]: https://github.com/grpc/grpc/blob/master/doc/wait-for-ready.md
//! [connection backoff protocol]: https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md
//! [`Endpoint::connect_timeout`]: tonic::transport::Endpoint::connect_timeout

use std::error::Error;
use std::iter;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::timeout_at;
use tonic::body::Body;
use tonic::codegen::http::request::Parts;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, BoxFuture, Bytes, Service, StdError};
use tonic::{ConnectError, Status};
use tower::{Layer, ServiceExt};

mod gate;
mod lent;
#[cfg(test)]
mod tests;

use self::gate::{Failure, Gate, Pass};
use self::lent::Home;
use crate::deadline::Deadline;
use crate::status::explain;

/// In a request's extensions: whether the call waits for a connection.
///
/// Without it the method's config decides, and without that the call doesn't wait.
///
/// ```
/// use conform::wait_for_ready::WaitForReady;
///
/// let mut request = tonic::Request::new("a message");
/// request.extensions_mut().insert(WaitForReady(true));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitForReady(pub bool);

/// Makes [`WaitingChannel`].
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitForReadyLayer {
    by_default: WaitForReady,
}

impl WaitForReadyLayer {
    /// Calls wait that have [`WaitForReady`]`(true)` in their extensions.
    pub fn new() -> Self {
        Self::default()
    }

    /// What calls do that have no [`WaitForReady`].
    pub fn by_default(self, wait: WaitForReady) -> Self {
        Self { by_default: wait }
    }
}

impl<S> Layer<S> for WaitForReadyLayer {
    type Service = WaitingChannel<S>;

    /// The channel below it, and what is known of its connection: nothing yet. What should share
    /// that has to be a clone of this service.
    fn layer(&self, inner: S) -> Self::Service {
        WaitingChannel {
            inner,
            by_default: self.by_default,
            gate: Arc::default(),
        }
    }
}

/// A channel whose calls can wait until there is a connection.
#[derive(Clone, Debug)]
pub struct WaitingChannel<S> {
    inner: S,
    by_default: WaitForReady,
    gate: Arc<Gate>,
}

inner_service!(WaitingChannel<S>);

impl<S, B> Service<Request<Body>> for WaitingChannel<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<StdError>>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: HttpBody<Data = Bytes, Error: Into<StdError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Response<Body>, StdError>;

    /// Always ready. A channel's waiting belongs to the call, where the deadline covers it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (head, body) = request.into_parts();
        let wait = head.extensions.get().copied().unwrap_or(self.by_default);
        let call = Call {
            channel: self.inner.clone(),
            gate: self.gate.clone(),
            wait: wait.0,
            deadline: Deadline::of_call(&head.headers, &head.extensions),
            body: Home::new(body),
        };
        Box::pin(call.run(head))
    }
}

struct Call<S> {
    channel: S,
    gate: Arc<Gate>,
    wait: bool,
    deadline: Option<Deadline>,
    body: Home,
}

impl<S, B> Call<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<StdError>> + Clone,
    B: HttpBody<Data = Bytes, Error: Into<StdError>> + Send + 'static,
{
    async fn run(self, mut head: Parts) -> Result<Response<Body>, StdError> {
        let Self {
            channel,
            gate,
            wait,
            deadline,
            body,
        } = self;
        loop {
            let pass = match enter(&gate, wait, deadline).await {
                Entry::Pass(pass) => pass,
                Entry::Failed(failure) => return Err(failed(failure).into()),
                Entry::Late => return Ok(late(gate.last_failure()).into_http()),
            };
            if let Some(deadline) = deadline.filter(|_| pass.has_waited()) {
                deadline.write(&mut head.headers);
            }
            let Some(lent) = body.lend(&pass) else {
                // Not reached: there is a next attempt only with the body back.
                return Err(Status::internal("the request's body is gone").into());
            };
            let request = Request::from_parts(head.clone(), Body::new(lent));
            let error = match channel.clone().oneshot(request).await {
                Ok(response) => {
                    pass.connected();
                    return Ok(response.map(Body::new));
                }
                Err(error) => error.into(),
            };
            if !is_unconnected(&*error) || !body.is_back() {
                pass.connected();
                return Err(error);
            }
            let failure: Failure = Arc::from(error);
            pass.failed(failure.clone());
            if !wait {
                return Err(failed(failure).into());
            }
        }
    }
}

/// What comes of waiting.
enum Entry {
    Pass(Pass),
    Failed(Failure),
    /// The deadline has passed.
    Late,
}

/// Waits until the call may try, no longer than its deadline.
async fn enter(gate: &Arc<Gate>, wait: bool, deadline: Option<Deadline>) -> Entry {
    let entered = gate.enter(wait);
    let entered = match deadline {
        None => entered.await,
        Some(deadline) => match timeout_at(deadline.instant(), entered).await {
            Ok(entered) => entered,
            Err(_) => return Entry::Late,
        },
    };
    entered.map_or_else(Entry::Failed, Entry::Pass)
}

/// How a call ends whose deadline has passed.
fn late(failure: Option<Failure>) -> Status {
    let Some(failure) = failure else {
        return Status::deadline_exceeded("the deadline has passed before there was a connection");
    };
    let mut status = Status::deadline_exceeded(format!(
        "the deadline has passed while the call waited for a connection: {}",
        explain(&*failure)
    ));
    status.set_source(failure);
    status
}

/// How a call ends that doesn't wait.
fn failed(failure: Failure) -> Status {
    let mut status = Status::unavailable(format!("no connection: {}", explain(&*failure)));
    status.set_source(failure);
    status
}

/// Whether there was no connection, or it closed before it took the call.
fn is_unconnected(error: &(dyn Error + 'static)) -> bool {
    iter::successors(Some(error), |&error| error.source()).any(|error| {
        let hyper = error.downcast_ref::<hyper::Error>();
        error.is::<ConnectError>() || hyper.is_some_and(hyper::Error::is_canceled)
    })
}
