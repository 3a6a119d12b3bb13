//! The server's half.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tower::Layer;

use super::body::{Side, bound};
use super::{Deadline, exceeded, timeout};

/// Holds every call to the deadline that its caller sets, and to the server's own limit. See the
/// [module](super).
///
/// # Panics
///
/// A call with a deadline panics without a tokio runtime that has its timer on.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerDeadlineLayer {
    limit: Option<Duration>,
    minimum: Duration,
}

impl ServerDeadlineLayer {
    /// A layer that holds calls to the deadlines that their callers set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets no call take longer than `limit`, whatever its caller allows. The smaller one counts.
    pub fn limit(self, limit: Duration) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// Refuses at once, with DEADLINE_EXCEEDED, a call whose caller gives it less time than
    /// `minimum`: less than it takes to do anything useful.
    pub fn minimum(self, minimum: Duration) -> Self {
        Self { minimum, ..self }
    }

    /// The deadline of a call with these headers.
    fn deadline(&self, headers: &HeaderMap) -> Result<Option<Deadline>, Status> {
        let timeout = timeout::read(headers)?;
        if timeout.is_some_and(|timeout| timeout.is_zero() || timeout < self.minimum) {
            return Err(Status::deadline_exceeded(
                "too little time is left to begin",
            ));
        }
        let timeout = timeout.into_iter().chain(self.limit).min();
        Ok(timeout.and_then(Deadline::after))
    }
}

impl<S> Layer<S> for ServerDeadlineLayer {
    type Service = ServerDeadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerDeadline {
            inner,
            settings: *self,
        }
    }
}

/// Services whose calls end when their deadline passes.
#[derive(Debug, Clone)]
pub struct ServerDeadline<S> {
    inner: S,
    settings: ServerDeadlineLayer,
}

inner_service!(ServerDeadline<S>);

impl<S, B> Service<Request<Body>> for ServerDeadline<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ServerDeadlineFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.settings.deadline(request.headers()) {
            Err(status) => ServerDeadlineFuture {
                state: State::Refused {
                    status: Some(status),
                },
            },
            Ok(None) => ServerDeadlineFuture {
                state: State::Free {
                    response: self.inner.call(request),
                },
            },
            Ok(Some(deadline)) => {
                request.extensions_mut().insert(deadline);
                ServerDeadlineFuture {
                    state: State::Bound {
                        response: self.inner.call(request),
                        expired: sleep_until(deadline.instant()),
                        deadline,
                    },
                }
            }
        }
    }
}

pin_project! {
    /// The response of [`ServerDeadline`].
    pub struct ServerDeadlineFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Free { #[pin] response: F },
        Bound { #[pin] response: F, #[pin] expired: Sleep, deadline: Deadline },
        Refused { status: Option<Status> },
        // What was there is dropped: that is what stops the work.
        Over,
    }
}

impl<F, B, E> Future for ServerDeadlineFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let result = match state.as_mut().project() {
            StateProj::Free { response } => {
                ready!(response.poll(context)).map(|response| response.map(Body::new))
            }
            StateProj::Bound {
                response,
                expired,
                deadline,
            } => match expired.poll(context) {
                // The clock first: a handler must not take an upload that the deadline has cut
                // short for a finished one.
                Poll::Ready(()) => Ok(exceeded().into_http()),
                Poll::Pending => {
                    let result = ready!(response.poll(context));
                    result.map(|response| bound(response, *deadline, Side::Server))
                }
            },
            StateProj::Refused { status } => match status.take() {
                Some(status) => Ok(status.into_http()),
                None => return Poll::Pending,
            },
            StateProj::Over => return Poll::Pending,
        };
        state.set(State::Over);
        Poll::Ready(result)
    }
}
