//! Status codes as the specification has them, and errors as one line of text.
//!
//! # The promise
//!
//! * No connection, a connection that broke, or one that takes no more calls: UNAVAILABLE
//!   ([statuscodes.md]; PROTOCOL-HTTP2, *GOAWAY Frame* and *PING Frame*).
//! * [`Endpoint::timeout`] has passed: DEADLINE_EXCEEDED ([statuscodes.md]).
//! * An answer without a gRPC status, from a proxy for example, or with a `content-type` that
//!   isn't gRPC's: what its HTTP status stands for ([http-grpc-status-mapping.md];
//!   PROTOCOL-HTTP2, *Responses*).
//! * An answer with a status, or a stream that the server has reset: what the server says
//!   (PROTOCOL-HTTP2, *Errors*), also if the message isn't UTF-8 (*Responses*).
//!
//! # What tonic 0.14.9 does
//!
//! A connection that breaks in the middle of a call is UNKNOWN, INTERNAL or CANCELLED, after
//! what part of hyper noticed it first; a retry that looks for UNAVAILABLE, as [gRPC's guide to
//! retries] asks, misses all three. A timeout is CANCELLED. An error page of a proxy is read as
//! a message, and is INTERNAL, "invalid compression flag: 60" (`<`), whatever its HTTP status. A
//! status whose message isn't UTF-8 is UNKNOWN, and the message is lost.
//!
//! # Example
//!
//! ```
//! use conform::status::ClientStatusLayer;
//! use tonic::Code;
//! use tonic::body::Body;
//! use tonic::codegen::http::{Request, Response};
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! // In place of the proxy: `tonic::transport::Channel`. What comes out is a channel for a stub.
//! let mut channel = ServiceBuilder::new()
//!     .layer(ClientStatusLayer::new())
//!     .service_fn(proxy);
//!
//! let response = channel.ready().await?.call(Request::default()).await?;
//! let status = tonic::Status::from_header_map(response.headers()).ok_or("no status")?;
//! assert_eq!(status.code(), Code::Unavailable);
//! # Ok(())
//! # }
//!
//! async fn proxy(_: Request<Body>) -> Result<Response<Body>, tonic::transport::Error> {
//!     let mut page = Response::new(Body::default());
//!     *page.status_mut() = tonic::codegen::http::StatusCode::BAD_GATEWAY;
//!     Ok(page)
//! }
//! ```
//!
//! # Its place
//!
//! Right above the channel and whatever else only observes it, so that all other layers
//! (deadlines, retries) see the corrected codes. A failure on this side is an `Err` that holds a
//! [`Status`] with the cause as its [source](Error::source). An answer without a gRPC status
//! becomes a response with one, without a body.
//!
//! # What stays as it is
//!
//! * A stream reset with NO_ERROR should be INTERNAL. hyper passes it on as the end of the body,
//!   so tonic says UNKNOWN, "missing grpc-status trailer", as for any response that ends without
//!   one.
//! * A `grpc-status` that isn't a number, or is above 16, is UNKNOWN in tonic too.
//!
//! [statuscodes.md]: https://grpc.github.io/grpc/core/md_doc_statuscodes.html
//! [http-grpc-status-mapping.md]: https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
//! [gRPC's guide to retries]: https://grpc.io/docs/guides/retry/
//! [`Endpoint::timeout`]: tonic::transport::Endpoint::timeout

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tower::Layer;

mod connection;
mod corrected;
mod http;
mod message;
mod on_end;
mod text;

#[cfg(test)]
pub(crate) mod tests;

pub use self::connection::{NotSent, never_sent};
#[cfg(feature = "retry")]
pub(crate) use self::connection::{Reach, reach};
pub(crate) use self::corrected::Corrected;
pub use self::http::code_from_http;
pub use self::on_end::OnEnd;
#[cfg(any(feature = "metrics", feature = "retry"))]
pub(crate) use self::on_end::code_in;
#[cfg(feature = "reflection")]
pub(crate) use self::text::is_instruction;
pub use self::text::{escape, explain, may_be_wrong_server};

/// Makes [`ClientStatus`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientStatusLayer {}

impl ClientStatusLayer {
    /// Corrects the status of every call, and has nothing to set.
    pub fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for ClientStatusLayer {
    type Service = ClientStatus<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientStatus::new(inner)
    }
}

/// A channel whose calls end with the status that the specification asks for.
pub struct ClientStatus<S> {
    inner: S,
    /// What `poll_ready` met. It belongs to a call, where a stub can see its code.
    error: Option<StdError>,
}

inner_service!(ClientStatus<S>);

impl<S> ClientStatus<S> {
    /// Corrects the status of every call on `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner, error: None }
    }
}

impl<S: Clone> Clone for ClientStatus<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}

impl<S: fmt::Debug> fmt::Debug for ClientStatus<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStatus")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<Body>> for ClientStatus<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = StdError;
    type Future = ClientStatusFuture<S::Future>;

    /// Never fails: a stub would make UNKNOWN, "Service was not ready", of it. The next call
    /// fails instead.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.error.is_none() {
            self.error = ready!(self.inner.poll_ready(cx)).err().map(Into::into);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let state = match self.error.take() {
            Some(error) => State::Failed { error: Some(error) },
            None => State::Called {
                response: self.inner.call(request),
            },
        };
        ClientStatusFuture { state }
    }
}

pin_project! {
    /// The response of a [`ClientStatus`].
    pub struct ClientStatusFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Called { #[pin] response: F },
        Failed { error: Option<StdError> },
    }
}

impl<F, B, E> Future for ClientStatusFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, StdError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().state.project() {
            StateProj::Called { response } => {
                let answer = correct(ready!(response.poll(cx)));
                answer.map(|response| response.map(Body::new))
            }
            StateProj::Failed { error } => match error.take() {
                Some(error) => Err(corrected(error)),
                None => return Poll::Pending,
            },
        })
    }
}

/// What a call is answered, corrected.
pub(crate) fn correct<B, E>(
    answer: Result<Response<B>, E>,
) -> Result<Response<Corrected<B>>, StdError>
where
    E: Into<StdError>,
{
    let mut response = answer.map_err(|error| corrected(error.into()))?;
    Ok(match http::status_of(&response) {
        Some(status) => status.into_http(),
        None => {
            message::make_readable(response.headers_mut());
            response.map(Corrected::new)
        }
    })
}

fn corrected(error: StdError) -> StdError {
    match connection::verdict(&*error) {
        Some(status) => caused(status, Arc::from(error)).into(),
        None => error,
    }
}

fn caused(mut status: Status, cause: Arc<dyn Error + Send + Sync>) -> Status {
    status.set_source(cause);
    status
}
