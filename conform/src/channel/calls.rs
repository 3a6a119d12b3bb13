//! What a call passes on its way.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use pin_project_lite::pin_project;
use tokio::task::coop::{Coop, cooperative};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Service, StdError};
use tower::Layer;

use super::builder::ChannelBuilder;
use super::late::Late;
use super::pick::Picks;
use super::shared::Shared;
use super::states::States;
use super::watch::Watched;
use crate::deadline::{ClientDeadline, ClientDeadlineFuture, ClientDeadlineLayer};
use crate::hedging::{Hedging, HedgingLayer};
use crate::message_limit::{ClientMessageLimit, ClientMessageLimitLayer};
use crate::retry::{BufferLimits, NoRetry, Retry, RetryLayer};

type Stack = ClientDeadline<Late<Configured>>;
type Configured = ClientMessageLimit<Hedging<Retry<Attempts>>>;
#[cfg(feature = "metrics")]
type Attempts = crate::metrics::Attempts<Picks>;
#[cfg(not(feature = "metrics"))]
type Attempts = Picks;

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
        #[cfg(feature = "metrics")]
        let picks = Attempts::new(picks, shared.watchers().metrics.clone());
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

    /// Takes no more calls, and lets those that run go on to their end. All clones are closed with it.
    ///
    /// From now on calls fail at once with UNAVAILABLE, and [`state`](Self::state) is SHUTDOWN. The
    /// future, which needn't be awaited, is there when the last call has ended and the channel has
    /// let go of its connections. A stream that nobody reads to its end is a call that runs, and so is
    /// one without a deadline that waits for ready: bound the wait with a timeout.
    ///
    /// It's `shutdown` of grpc-java; `Close` of grpc-go also breaks off what runs, as dropping the calls
    /// does here.
    pub fn close(&self) -> Closing {
        let end = Box::pin(self.shared.close());
        Closing { end }
    }

    /// What state the channel is in, to show or to wait for.
    pub fn state(&self) -> States {
        let activity = self.shared.watchers().activity.clone();
        States::new(self.shared.published(), activity)
    }
}

/// Waits for the end of a channel that was [closed](Channel::close).
pub struct Closing {
    end: BoxFuture<'static, ()>,
}

impl Future for Closing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.end.as_mut().poll(cx)
    }
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing").finish_non_exhaustive()
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
        let answer = match self.shared.watchers().begin(request) {
            Some((watched, request)) => Answer::Comes {
                response: self.stack.call(request),
                watched: Some(watched),
            },
            None => Answer::Closed,
        };
        ChannelFuture {
            answer: cooperative(answer),
        }
    }
}

pin_project! {
    /// The response of a [`Channel`].
    pub struct ChannelFuture {
        // One that fails at once has waited for nothing: a caller that tries again and again would
        // keep its thread from the task that connects.
        #[pin]
        answer: Coop<Answer>,
    }
}

pin_project! {
    #[project = AnswerProj]
    enum Answer {
        Comes {
            #[pin]
            response: ClientDeadlineFuture<Late<Configured>>,
            watched: Option<Watched>,
        },
        Closed,
    }
}

impl Future for ChannelFuture {
    type Output = Result<Response<Body>, StdError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().answer.poll(cx)
    }
}

impl Future for Answer {
    type Output = Result<Response<Body>, StdError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AnswerProj::Comes { response, watched } => {
                let answer = ready!(response.poll(cx));
                Poll::Ready(match watched.take() {
                    Some(watched) => watched.finish(answer),
                    None => answer,
                })
            }
            AnswerProj::Closed => {
                let mut status = Status::unavailable("the channel is closed");
                status.set_source(Arc::new(NoRetry));
                Poll::Ready(Err(status.into()))
            }
        }
    }
}

impl fmt::Debug for ChannelFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelFuture").finish_non_exhaustive()
    }
}
