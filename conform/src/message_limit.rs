//! Messages that are too large end their call with RESOURCE_EXHAUSTED, on both sides and in both
//! directions.
//!
//! # The promise
//!
//! "Sent or received message was larger than configured limit" is RESOURCE_EXHAUSTED, "Both":
//! [statuscodes.md].
//!
//! # What tonic 0.14.9 does
//!
//! | limit of a stub or a service | tonic | with these layers |
//! |---|---|---|
//! | `max_decoding_message_size`, 4 MiB unless set | OUT_OF_RANGE | RESOURCE_EXHAUSTED |
//! | `max_encoding_message_size` of a service | OUT_OF_RANGE | RESOURCE_EXHAUSTED |
//! | `max_encoding_message_size` of a stub | INTERNAL "h2 protocol error" | see below |
//!
//! A stub's own limit is met before the layer sees the message, so that INTERNAL stays. It is
//! RESOURCE_EXHAUSTED with [`outgoing`](ClientMessageLimitLayer::outgoing) in place of it.
//!
//! # Example
//!
//! ```
//! use conform::message_limit::{ClientMessageLimitLayer, ServerMessageLimitLayer};
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use tonic::transport::{Channel, Server};
//! use tower::Layer;
//!
//! const LIMIT: usize = 1024 * 1024;
//!
//! async fn serve(greeter: impl Greeter) -> Result<(), Box<dyn std::error::Error>> {
//!     Server::builder()
//!         .layer(ServerMessageLimitLayer::new(LIMIT))
//!         .add_service(GreeterServer::new(greeter))
//!         .serve("[::1]:50051".parse()?)
//!         .await?;
//!     Ok(())
//! }
//!
//! fn client(channel: Channel) {
//!     let channel = ClientMessageLimitLayer::new(LIMIT).outgoing(LIMIT).layer(channel);
//!     let greeter = GreeterClient::new(channel);
//! #   drop(greeter);
//! }
//! # let _ = client;
//! ```
//!
//! # Limits above 4 MiB
//!
//! tonic's own limit stands behind the layer's. It must be at least as large, or tonic meets the
//! message first: call `max_decoding_message_size` on the generated client or server with the
//! same number.
//!
//! # What is counted
//!
//! The length of each message as it travels. What a compressed message becomes is checked by
//! tonic against its own limit, and is RESOURCE_EXHAUSTED in tonic too. Nothing is held back or
//! copied: messages before the one that is too large arrive, and that one isn't read.
//!
//! [statuscodes.md]: https://grpc.github.io/grpc/core/md_doc_statuscodes.html

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tower::Layer;

mod body;
#[cfg(test)]
mod tests;

use self::body::{End, LimitedBody};
use crate::per_call::PerCall;

#[derive(Clone, Copy, Debug)]
struct Limits {
    incoming: usize,
    outgoing: Option<usize>,
}

/// Makes [`ServerMessageLimit`].
#[derive(Clone, Copy, Debug)]
pub struct ServerMessageLimitLayer {
    limits: Limits,
}

impl ServerMessageLimitLayer {
    /// Takes request messages of up to `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        let limits = Limits {
            incoming: bytes,
            outgoing: None,
        };
        Self { limits }
    }

    /// Sends reply messages of up to `bytes` bytes. Without a limit unless set.
    pub fn outgoing(mut self, bytes: usize) -> Self {
        self.limits.outgoing = Some(bytes);
        self
    }
}

impl<S> Layer<S> for ServerMessageLimitLayer {
    type Service = ServerMessageLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let limits = self.limits;
        ServerMessageLimit { inner, limits }
    }
}

/// Services that neither take nor send messages above a limit.
#[derive(Clone, Copy, Debug)]
pub struct ServerMessageLimit<S> {
    inner: S,
    limits: Limits,
}

inner_service!(ServerMessageLimit<S>);

impl<S, B> Service<Request<Body>> for ServerMessageLimit<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = MessageLimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let limit = self.limits.incoming;
        let request = request.map(|body| LimitedBody::limit(body, limit, End::Error));
        MessageLimitFuture {
            inner: self.inner.call(request),
            limit: self.limits.outgoing,
            end: End::Trailers,
        }
    }
}

/// In a request's extensions: limits of this one call, for [`ClientMessageLimit`]. One counts if
/// it's smaller than the layer's, or if the layer has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallLimits {
    /// The largest reply message, in bytes.
    pub incoming: Option<usize>,
    /// The largest request message, in bytes.
    pub outgoing: Option<usize>,
}

impl CallLimits {
    /// The smaller limit of each pair.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            incoming: smaller(self.incoming, other.incoming),
            outgoing: smaller(self.outgoing, other.outgoing),
        }
    }
}

fn smaller(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Makes [`ClientMessageLimit`].
#[derive(Clone, Copy, Debug)]
pub struct ClientMessageLimitLayer {
    limits: Limits,
}

impl ClientMessageLimitLayer {
    /// Takes reply messages of up to `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        let limits = Limits {
            incoming: bytes,
            outgoing: None,
        };
        Self { limits }
    }

    /// Sends request messages of up to `bytes` bytes. Without a limit unless set.
    pub fn outgoing(mut self, bytes: usize) -> Self {
        self.limits.outgoing = Some(bytes);
        self
    }
}

impl<S> Layer<S> for ClientMessageLimitLayer {
    type Service = ClientMessageLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let limits = self.limits;
        ClientMessageLimit { inner, limits }
    }
}

/// A channel that neither takes nor sends messages above a limit.
#[derive(Clone, Copy, Debug)]
pub struct ClientMessageLimit<S> {
    inner: S,
    limits: Limits,
}

inner_service!(ClientMessageLimit<S>);

impl<S, B> Service<Request<Body>> for ClientMessageLimit<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = MessageLimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let own: CallLimits = request.extensions().get().copied().unwrap_or_default();
        let configured = PerCall::of(request.extensions()).map(|call| call.limits);
        let own = own.and(configured.unwrap_or_default());
        let limits = own.and(CallLimits {
            incoming: Some(self.limits.incoming),
            outgoing: self.limits.outgoing,
        });
        let mut end = End::Error;
        let request = match limits.outgoing {
            Some(limit) => request.map(|body| {
                end = End::Told(Refused::default());
                LimitedBody::limit(body, limit, end.clone())
            }),
            None => request,
        };
        // The response has to tell too why the request has ended. Else there may be nothing to look
        // for: no message is longer than its prefix can say.
        let is_limited = |limit: &usize| limits.outgoing.is_some() || *limit < u32::MAX as usize;
        MessageLimitFuture {
            inner: self.inner.call(request),
            limit: limits.incoming.filter(is_limited),
            end,
        }
    }
}

/// Where a client's request says why it stopped. Its transport makes a reset of it, and the
/// reset makes an error of the response, in which nothing is left of the reason.
type Refused = Arc<OnceLock<Status>>;

pin_project! {
    /// The response of a [`ServerMessageLimit`] or a [`ClientMessageLimit`].
    pub struct MessageLimitFuture<F> {
        #[pin]
        inner: F,
        limit: Option<usize>,
        end: End,
    }
}

impl<F, B, E> Future for MessageLimitFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = match ready!(this.inner.poll(cx)) {
            Ok(response) => response,
            Err(error) => {
                let refused = this.end.refused().cloned();
                return Poll::Ready(refused.map(Status::into_http).ok_or(error));
            }
        };
        Poll::Ready(Ok(response.map(|body| match *this.limit {
            Some(limit) => LimitedBody::limit(Body::new(body), limit, this.end.clone()),
            None => Body::new(body),
        })))
    }
}
