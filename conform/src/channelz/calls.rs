//! Counts calls, on a channel or on a server: the layer is the same.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tower::Layer;

use super::moment::Moment;
use crate::status::OnEnd;

/// How many calls there were, and how they ended.
#[derive(Debug, Default)]
pub(super) struct Calls {
    started: AtomicI64,
    succeeded: AtomicI64,
    failed: AtomicI64,
    pub(super) last_started: Moment,
}

impl Calls {
    pub(super) fn start(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.last_started.set();
    }

    /// A call that was broken off has no code. It has failed too.
    pub(super) fn end(&self, code: Option<Code>) {
        let counter = match code {
            Some(Code::Ok) => &self.succeeded,
            _ => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Started, succeeded, failed. Ends are read first: there are never more of them than starts.
    pub(super) fn read(&self) -> (i64, i64, i64) {
        let succeeded = self.succeeded.load(Ordering::Acquire);
        let failed = self.failed.load(Ordering::Acquire);
        (self.started.load(Ordering::Acquire), succeeded, failed)
    }
}

/// What calls are counted for.
pub(super) trait HasCalls: fmt::Debug + Send + Sync {
    fn calls(&self) -> &Calls;
}

/// Makes [`CountCalls`]. From [`ServerEntry::layer`](super::ServerEntry::layer),
/// [`ChannelEntry::layer`](super::ChannelEntry::layer) or
/// [`SubchannelEntry::layer`](super::SubchannelEntry::layer), whose entry stays as long as this.
#[derive(Clone, Debug)]
pub struct CountCallsLayer {
    owner: Arc<dyn HasCalls>,
}

impl CountCallsLayer {
    pub(super) fn new(owner: Arc<dyn HasCalls>) -> Self {
        Self { owner }
    }
}

impl<S> Layer<S> for CountCallsLayer {
    type Service = CountCalls<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CountCalls {
            inner,
            owner: self.owner.clone(),
        }
    }
}

/// A server's services, or a channel, whose calls are counted.
#[derive(Clone, Debug)]
pub struct CountCalls<S> {
    inner: S,
    owner: Arc<dyn HasCalls>,
}

inner_service!(CountCalls<S>);

impl<S, B> Service<Request<Body>> for CountCalls<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = CountCallsFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.owner.calls().start();
        let owner = self.owner.clone();
        CountCallsFuture {
            on_end: Some(OnEnd::new(move |code| owner.calls().end(code))),
            response: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The response of [`CountCalls`].
    pub struct CountCallsFuture<F> {
        #[pin]
        response: F,
        // Tells of a call that is dropped before it has a response, or that has none.
        on_end: Option<OnEnd>,
    }
}

impl<F, B, E> Future for CountCallsFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.response.poll(context));
        let on_end = this.on_end.take();
        Poll::Ready(response.map(|response| match on_end {
            Some(on_end) => on_end.watch(response),
            None => response.map(Body::new),
        }))
    }
}
