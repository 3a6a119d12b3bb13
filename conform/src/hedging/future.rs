//! One call, hedged or not.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};

use super::HedgingPolicy;
use super::hedged::Hedged;
use crate::attempts::{Call, IsAttempt, Policy, Settings};
use crate::per_call::PerCall;

pin_project! {
    /// The response of [`Hedging`](super::Hedging).
    pub struct HedgingFuture<S>
    where
        S: Service<Request<Body>>,
    {
        #[pin]
        state: State<S, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F>
    where
        S: Service<Request<Body>>,
    {
        // A call without a policy, until the service below has room.
        Plain { inner: S, request: Option<Request<Body>> },
        Sent { #[pin] response: F },
        Hedged { hedged: Box<Hedged<S>> },
        // What was there is dropped: that is what cancels attempts.
        Over,
    }
}

impl<S> HedgingFuture<S>
where
    S: Service<Request<Body>>,
{
    pub(super) fn new(
        inner: S,
        request: Request<Body>,
        settings: &Settings<HedgingPolicy>,
    ) -> Self {
        let extensions = request.extensions();
        let own = extensions.get::<Arc<HedgingPolicy>>().cloned();
        let policy = own
            .or_else(|| PerCall::of(extensions).and_then(HedgingPolicy::configured))
            .or_else(|| settings.policy.clone());
        let state = match policy {
            Some(policy) if extensions.get::<IsAttempt>().is_none() => {
                let hedged = Box::new(Hedged::new(inner, Call::new(request, settings), policy));
                State::Hedged { hedged }
            }
            _ => {
                let request = Some(request);
                State::Plain { inner, request }
            }
        };
        Self { state }
    }
}

impl<S, B> Future for HedgingFuture<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, StdError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let answer = loop {
            match state.as_mut().project() {
                StateProj::Plain { inner, request } => {
                    if let Err(error) = ready!(inner.poll_ready(context)) {
                        break Err(error.into());
                    }
                    let Some(request) = request.take() else {
                        return Poll::Pending;
                    };
                    let response = inner.call(request);
                    state.set(State::Sent { response });
                }
                StateProj::Sent { response } => {
                    let answer = ready!(response.poll(context));
                    break answer
                        .map(|response| response.map(Body::new))
                        .map_err(Into::into);
                }
                StateProj::Hedged { hedged } => break ready!(hedged.poll(context)),
                StateProj::Over => return Poll::Pending,
            }
        };
        state.set(State::Over);
        Poll::Ready(answer)
    }
}
