//! What a whole channel records: its calls, and below whatever repeats them, their attempts.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame, SizeHint};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service, StdError};

use super::call::{Instruments, Measurement, ResponseFuture};
use super::client::{attempt, call_duration};
use super::methods::Methods;
use super::tally::{RetryInstruments, Tally};

/// What a channel's calls are measured with.
#[derive(Debug)]
pub(crate) struct ChannelMetrics {
    calls: Arc<Instruments>,
    attempts: Arc<Instruments>,
    retries: Option<Arc<RetryInstruments>>,
    target: KeyValue,
    methods: Methods,
}

impl ChannelMetrics {
    /// Records what A66 says with `calls`, what A96 says with `retries`, as made to `target`, a
    /// target in its canonical form. `None` if there's nothing to record with.
    pub(crate) fn new(
        calls: Option<&Meter>,
        retries: Option<&Meter>,
        target: String,
    ) -> Option<Arc<Self>> {
        if calls.is_none() && retries.is_none() {
            return None;
        }
        let instruments = calls.map(|meter| Instruments {
            durations: vec![call_duration(meter)],
            ..Instruments::default()
        });
        Some(Arc::new(Self {
            calls: Arc::new(instruments.unwrap_or_default()),
            attempts: Arc::new(calls.map(attempt).unwrap_or_default()),
            retries: retries.map(RetryInstruments::new),
            target: KeyValue::new("grpc.target", Arc::<str>::from(target)),
            methods: Methods::new(),
        }))
    }

    /// A call begins.
    pub(crate) fn call(&self, mut request: Request<Body>) -> (Measurement, Request<Body>) {
        let tally = self.retries.as_ref().map(|instruments| {
            let tally = Arc::new(Tally::default());
            request.extensions_mut().insert(tally.clone());
            (tally, instruments.clone())
        });
        let (mut call, request) = self.begin(&self.calls, request);
        call.tally = tally;
        (call, request)
    }

    /// One of its attempts does.
    fn attempt(&self, mut request: Request<Body>) -> (Measurement, Request<Body>) {
        let tally = request.extensions_mut().remove::<Arc<Tally>>();
        let running = tally.map(|tally| tally.attempt(&request));
        let (mut attempt, request) = self.begin(&self.attempts, request);
        attempt.running = running;
        (attempt, request)
    }

    fn begin(
        &self,
        instruments: &Arc<Instruments>,
        request: Request<Body>,
    ) -> (Measurement, Request<Body>) {
        let mut attributes = Vec::with_capacity(3);
        attributes.push(self.methods.of_client(&request));
        attributes.push(self.target.clone());
        Measurement::begin(instruments, attributes, request)
    }
}

/// Measures the attempts of a channel's calls, if it has something to do that with.
#[derive(Clone, Debug)]
pub(crate) struct Attempts<S> {
    inner: S,
    metrics: Option<Arc<ChannelMetrics>>,
}

impl<S> Attempts<S> {
    pub(crate) fn new(inner: S, metrics: Option<Arc<ChannelMetrics>>) -> Self {
        Self { inner, metrics }
    }
}

impl<S, B> Service<Request<Body>> for Attempts<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = StdError>,
    B: HttpBody<Data = Bytes, Error = Status> + Send + 'static,
{
    type Response = Response<AttemptBody<B>>;
    type Error = StdError;
    type Future = AttemptFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(metrics) = &self.metrics else {
            let response = self.inner.call(request);
            return AttemptFuture::Plain { response };
        };
        let (measurement, request) = metrics.attempt(request);
        let response = ResponseFuture::new(self.inner.call(request), measurement);
        AttemptFuture::Measured { response }
    }
}

pin_project! {
    /// The response of [`Attempts`].
    #[project = AttemptFutureProj]
    pub enum AttemptFuture<F> {
        Plain { #[pin] response: F },
        Measured { #[pin] response: ResponseFuture<F> },
    }
}

impl<F, B> Future for AttemptFuture<F>
where
    F: Future<Output = Result<Response<B>, StdError>>,
    B: HttpBody<Data = Bytes, Error = Status> + Send + 'static,
{
    type Output = Result<Response<AttemptBody<B>>, StdError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project() {
            AttemptFutureProj::Plain { response } => {
                let response = ready!(response.poll(context))?;
                Ok(response.map(|body| AttemptBody::Plain { body }))
            }
            AttemptFutureProj::Measured { response } => {
                let response = ready!(response.poll(context))?;
                Ok(response.map(|body| AttemptBody::Measured { body }))
            }
        })
    }
}

pin_project! {
    /// The replies of an attempt. Those that nobody measures are in no box.
    #[project = AttemptBodyProj]
    pub enum AttemptBody<B> {
        Plain { #[pin] body: B },
        Measured { #[pin] body: Body },
    }
}

impl<B> HttpBody for AttemptBody<B>
where
    B: HttpBody<Data = Bytes, Error = Status>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.project() {
            AttemptBodyProj::Plain { body } => body.poll_frame(context),
            AttemptBodyProj::Measured { body } => body.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain { body } => body.is_end_stream(),
            Self::Measured { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain { body } => body.size_hint(),
            Self::Measured { body } => body.size_hint(),
        }
    }
}
