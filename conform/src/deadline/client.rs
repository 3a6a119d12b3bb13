//! The client's half.

use std::error::Error;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tonic::{Status, TimeoutExpired};
use tower::Layer;

use super::body::{self, Side, is_cancelled};
use super::held::Held;
use super::timeout;
use super::{Deadline, exceeded};
use crate::per_call::PerCall;

/// Holds every call of a channel to its deadline. See the [module](super).
///
/// # Panics
///
/// A call with a deadline panics without a tokio runtime that has its timer on.
///
/// # Other layers around it
///
/// It clones the service below for each call (`S: Clone`) and is always ready itself: a
/// `load_shed` above it never sheds.
///
/// Its error is [`StdError`], and `option_layer` wants the error of the service below to be the
/// same. A [`Channel`](tonic::transport::Channel) has one of its own, to be mapped:
///
/// ```
/// use conform::deadline::ClientDeadlineLayer;
/// use greeter::greeter_client::GreeterClient;
/// use tonic::codegen::StdError;
/// use tonic::transport::Channel;
/// use tower::ServiceBuilder;
///
/// # #[allow(unused_variables)]
/// fn connect(channel: Channel, holds_deadlines: bool) {
///     let layer = holds_deadlines.then(ClientDeadlineLayer::new);
///     let channel = ServiceBuilder::new()
///         .option_layer(layer)
///         .map_err(Into::<StdError>::into)
///         .service(channel);
///     let stub = GreeterClient::new(channel);
/// }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientDeadlineLayer {
    default_timeout: Option<Duration>,
}

impl ClientDeadlineLayer {
    /// A layer that holds calls to the deadline that [`tonic::Request::set_timeout`] gives them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives calls without a deadline of their own this one, counted from the call.
    ///
    /// Without it such calls have no deadline, as gRPC's guide has it.
    pub fn default_timeout(self, timeout: Duration) -> Self {
        Self {
            default_timeout: Some(timeout),
        }
    }
}

impl<S> Layer<S> for ClientDeadlineLayer {
    type Service = ClientDeadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientDeadline {
            inner,
            default: self.default_timeout,
        }
    }
}

/// A channel whose calls end when their deadline passes. Give it to a stub as if it were the
/// channel.
#[derive(Debug, Clone)]
pub struct ClientDeadline<S> {
    inner: S,
    default: Option<Duration>,
}

inner_service!(ClientDeadline<S>);

impl<S, B> Service<Request<Body>> for ClientDeadline<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = StdError;
    type Future = ClientDeadlineFuture<S>;

    /// Always ready. A channel's waiting belongs to the call, where the deadline covers it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let own = match timeout::read(request.headers()) {
            Err(malformed) => return ClientDeadlineFuture::refuse(malformed),
            Ok(timeout) => timeout,
        };
        let timeout = own.or(self.default);
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return ClientDeadlineFuture::refuse(exceeded());
        }
        let deadline = timeout.and_then(Deadline::after);
        if let Some(deadline) = deadline.filter(|_| own.is_none()) {
            timeout::write(deadline.remaining(), request.headers_mut());
        }
        ClientDeadlineFuture {
            state: State::Waiting {
                inner: self.inner.clone(),
                request: Some(request),
                waited: false,
            },
            expired: deadline.map(|deadline| sleep_until(deadline.instant())),
            deadline,
            held: None,
        }
    }
}

pin_project! {
    /// The response of [`ClientDeadline`].
    pub struct ClientDeadlineFuture<S>
    where
        S: Service<Request<Body>>,
    {
        #[pin]
        state: State<S, S::Future>,
        #[pin]
        expired: Option<Sleep>,
        deadline: Option<Deadline>,
        // The request's body, if there is one.
        held: Option<Arc<Held>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F> {
        // Until the channel has room for the call.
        Waiting { inner: S, request: Option<Request<Body>>, waited: bool },
        Called { #[pin] response: F },
        Refused { status: Option<Status> },
        // What was there is dropped: that is what cancels the call.
        Over,
    }
}

impl<S> ClientDeadlineFuture<S>
where
    S: Service<Request<Body>>,
{
    fn refuse(status: Status) -> Self {
        Self {
            state: State::Refused {
                status: Some(status),
            },
            expired: None,
            deadline: None,
            held: None,
        }
    }
}

impl<S, B> Future for ClientDeadlineFuture<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, StdError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let result = match poll_call(this.state.as_mut(), *this.deadline, this.held, context) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                let expired = this.expired.as_mut().as_pin_mut();
                ready!(expired.map_or(Poll::Pending, |expired| expired.poll(context)));
                Err(Failure::Status(exceeded()))
            }
        };
        this.state.set(State::Over);
        this.expired.set(None);
        // As late as that, an error or CANCELLED is the deadline's own doing: grpc-go says so too.
        let is_due = this.deadline.is_some_and(Deadline::is_due);
        let held = this.held.take();
        Poll::Ready(match (result, *this.deadline) {
            (Ok(response), _) if is_due && is_cancelled(response.headers()) => {
                Ok(exceeded().into_http())
            }
            (Ok(response), Some(deadline)) => Ok(bound(response, deadline, held)),
            (Ok(response), None) => Ok(response.map(Body::new)),
            (Err(Failure::Status(status)), _) => Ok(status.into_http()),
            (Err(Failure::Error(error)), _) if is_due || is_expiry(&*error) => {
                Ok(exceeded().into_http())
            }
            (Err(Failure::Error(error)), _) => Err(error),
        })
    }
}

/// The response's body is held where the request's is.
fn bound<B>(response: Response<B>, deadline: Deadline, upload: Option<Arc<Held>>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let Some(held) = upload else {
        return body::bound(response, deadline, Side::Client);
    };
    body::held(response, deadline, Side::Client, |body| {
        held.answered(body);
        held
    })
}

/// Why there is no response from below.
enum Failure {
    /// The call ends with this.
    Status(Status),
    Error(StdError),
}

fn poll_call<S>(
    mut state: Pin<&mut State<S, S::Future>>,
    deadline: Option<Deadline>,
    held: &mut Option<Arc<Held>>,
    context: &mut Context<'_>,
) -> Poll<Result<S::Response, Failure>>
where
    S: Service<Request<Body>>,
    S::Error: Into<StdError>,
{
    loop {
        match state.as_mut().project() {
            StateProj::Waiting {
                inner,
                request,
                waited,
            } => {
                let Poll::Ready(ready) = inner.poll_ready(context) else {
                    *waited = true;
                    return Poll::Pending;
                };
                ready.map_err(|error| Failure::Error(error.into()))?;
                let Some(mut request) = request.take() else {
                    return Poll::Pending;
                };
                if let Some(deadline) = deadline {
                    // What travels is the time that is left now, not what there was at first. A
                    // call that didn't wait says what its caller has said.
                    if *waited {
                        timeout::write(deadline.remaining(), request.headers_mut());
                    }
                    PerCall::set_deadline(request.extensions_mut(), deadline);
                    if !request.body().is_end_stream() {
                        request = request.map(|body| {
                            let (upload, body) = Held::upload(body, deadline);
                            *held = Some(upload);
                            body
                        });
                    }
                }
                let response = inner.call(request);
                state.set(State::Called { response });
            }
            StateProj::Called { response } => {
                let result = response.poll(context);
                return result.map_err(|error| Failure::Error(error.into()));
            }
            StateProj::Refused { status } => match status.take() {
                Some(status) => return Poll::Ready(Err(Failure::Status(status))),
                None => return Poll::Pending,
            },
            StateProj::Over => return Poll::Pending,
        }
    }
}

/// Whether the channel's own timer was faster, which tonic reports as CANCELLED.
fn is_expiry(error: &(dyn Error + 'static)) -> bool {
    iter::successors(Some(error), |&error| error.source()).any(|error| error.is::<TimeoutExpired>())
}
