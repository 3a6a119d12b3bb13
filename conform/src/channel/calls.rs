//! What a call passes on its way.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::task::coop::{Coop, cooperative};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Service, StdError};
use tower::Layer;

use super::builder::ChannelBuilder;
use super::late::Late;
use super::pick::Picks;
use super::shared::Shared;
use super::states::States;
use crate::deadline::{ClientDeadline, ClientDeadlineFuture, ClientDeadlineLayer};
use crate::hedging::{Hedging, HedgingLayer};
use crate::message_limit::{ClientMessageLimit, ClientMessageLimitLayer};
use crate::retry::{BufferLimits, Retry, RetryLayer};

type Stack = ClientDeadline<Late<Configured>>;
type Configured = ClientMessageLimit<Hedging<Retry<Picks>>>;

/// A channel to a target: see the [module](super). Give it to a stub in place of tonic's.
///
/// Clones are the same channel.
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
    stack: Stack,
}

impl Channel {
    /// A channel to `target`, such as `dns:///greeter.example.com:50051`, `ipv4:10.0.0.1:50051`,
    /// `unix:/run/greeter.sock` or `localhost:50051`. See [`Target`](crate::resolver::Target).
    pub fn builder(target: &str) -> ChannelBuilder {
        ChannelBuilder::new(target)
    }

    pub(super) fn new(shared: Arc<Shared>, buffers: BufferLimits) -> Self {
        let picks = Picks::new(shared.clone());
        let retry = RetryLayer::new().buffer(buffers).layer(picks);
        let hedging = HedgingLayer::new().buffer(buffers).layer(retry);
        // The service config's limits are each call's own.
        let limited = ClientMessageLimitLayer::new(usize::MAX).layer(hedging);
        let late = Late::new(shared.clone(), limited);
        let stack = ClientDeadlineLayer::new().layer(late);
        Self { shared, stack }
    }

    /// Leaves IDLE without a call: resolves, and connects as the policy has it.
    pub fn connect(&self) {
        self.shared.connect();
    }

    /// What state the channel is in, to show or to wait for.
    pub fn state(&self) -> States {
        States::new(self.shared.published())
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("state", &self.state().get())
            .finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = ChannelFuture;

    /// Always ready. Waiting belongs to the call, where its deadline covers it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> ChannelFuture {
        self.shared.settle(&mut request);
        ChannelFuture {
            response: cooperative(self.stack.call(request)),
        }
    }
}

pin_project! {
    /// The response of a [`Channel`].
    pub struct ChannelFuture {
        // One that fails at once has waited for nothing: a caller that tries again and again would
        // keep its thread from the task that connects.
        #[pin]
        response: Coop<ClientDeadlineFuture<Late<Configured>>>,
    }
}

impl Future for ChannelFuture {
    type Output = Result<Response<Body>, StdError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().response.poll(cx)
    }
}

impl fmt::Debug for ChannelFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelFuture").finish_non_exhaustive()
    }
}
