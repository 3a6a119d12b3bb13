//! One call from its beginning to its end, on either side.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::Body as HttpBody;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, StatusCode};
use tonic::codegen::{Bytes, StdError};
use tonic::{Code, Status};

use super::body::{self, Measured, MessageBytes};
#[cfg(feature = "channel")]
use super::tally::{RetryInstruments, Tally};
use super::{LATENCY_BOUNDS, SIZE_BOUNDS};
use crate::deadline::parse_timeout;
use crate::status::{code_from_http, code_in};

/// What is recorded of a call. A client's call may be one without attempts, or the reverse.
#[derive(Clone, Debug, Default)]
pub(super) struct Instruments {
    pub(super) started: Option<Counter<u64>>,
    pub(super) durations: Vec<Histogram<f64>>,
    pub(super) request_size: Option<Histogram<u64>>,
    pub(super) response_size: Option<Histogram<u64>>,
}

pub(super) fn duration(
    meter: &Meter,
    name: &'static str,
    description: &'static str,
) -> Histogram<f64> {
    let histogram = meter.f64_histogram(name).with_unit("s");
    let histogram = histogram.with_boundaries(LATENCY_BOUNDS.to_vec());
    histogram.with_description(description).build()
}

pub(super) fn size(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<u64> {
    let histogram = meter.u64_histogram(name).with_unit("By");
    let histogram = histogram.with_boundaries(SIZE_BOUNDS.to_vec());
    histogram.with_description(description).build()
}

/// A call that is measured. It's recorded once: when it ends, or when it's dropped.
pub(crate) struct Measurement {
    instruments: Arc<Instruments>,
    /// The method, on a client the target, and at the end the status.
    attributes: Vec<KeyValue>,
    begin: Instant,
    timeout: Option<Duration>,
    request_bytes: Option<Arc<AtomicU64>>,
    pub(super) response_bytes: u64,
    /// What the response's HTTP status stands for.
    without_status: Code,
    recorded: bool,
    /// Of an attempt: it runs.
    #[cfg(feature = "channel")]
    pub(super) running: Option<super::tally::Attempt>,
    /// Of a whole call: what is recorded of its attempts.
    #[cfg(feature = "channel")]
    pub(super) tally: Option<(Arc<Tally>, Arc<RetryInstruments>)>,
}

impl Measurement {
    /// Begins a call, and counts the messages of `request`.
    pub(super) fn begin(
        instruments: &Arc<Instruments>,
        attributes: Vec<KeyValue>,
        request: Request<Body>,
    ) -> (Self, Request<Body>) {
        if let Some(started) = &instruments.started {
            started.add(1, &attributes);
        }
        let (head, body) = request.into_parts();
        let timeout = head.headers.get("grpc-timeout");
        let timeout = timeout.and_then(|value| parse_timeout(value.as_bytes()));
        let (body, request_bytes) = match instruments.request_size {
            Some(_) => {
                let (body, bytes) = body::counted(body);
                (body, Some(bytes))
            }
            None => (body, None),
        };
        let measurement = Self {
            instruments: instruments.clone(),
            attributes,
            begin: Instant::now(),
            timeout,
            request_bytes,
            response_bytes: 0,
            without_status: Code::Unknown,
            recorded: false,
            #[cfg(feature = "channel")]
            running: None,
            #[cfg(feature = "channel")]
            tally: None,
        };
        (measurement, Request::from_parts(head, body))
    }

    /// Ends with `code`, or with what a response without a status stands for.
    pub(super) fn end(mut self, code: Option<Code>) {
        self.record(code.unwrap_or(self.without_status));
    }

    /// Looks for the call's end in `response`.
    fn watch<B>(mut self, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        if response.status() != StatusCode::OK {
            self.without_status = code_from_http(response.status());
        }
        let code = code_in(response.headers());
        if code.is_some() || response.body().is_end_stream() {
            self.end(code);
            return response.map(Body::new);
        }
        response.map(|body| {
            Body::new(Measured {
                inner: Body::new(body),
                bytes: MessageBytes::default(),
                measurement: Some(self),
            })
        })
    }

    /// Takes the answer: the call ends with it, or with its body.
    pub(crate) fn finish<B, E>(
        self,
        answer: Result<Response<B>, E>,
    ) -> Result<Response<Body>, StdError>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
        E: Into<StdError>,
    {
        match answer {
            Ok(response) => Ok(self.watch(response)),
            // As a stub would see it.
            Err(error) => match Status::try_from_error(error.into()) {
                Ok(status) => {
                    self.end(Some(status.code()));
                    Err(status.into())
                }
                Err(error) => {
                    self.end(Some(Code::Unknown));
                    Err(error)
                }
            },
        }
    }

    fn record(&mut self, code: Code) {
        self.recorded = true;
        #[cfg(feature = "channel")]
        if let Some((tally, instruments)) = &self.tally {
            tally.record(instruments, &self.attributes);
        }
        self.attributes
            .push(KeyValue::new("grpc.status", code_name(code)));
        let seconds = self.begin.elapsed().as_secs_f64();
        for duration in &self.instruments.durations {
            duration.record(seconds, &self.attributes);
        }
        if let (Some(size), Some(bytes)) = (&self.instruments.request_size, &self.request_bytes) {
            size.record(bytes.load(Ordering::Relaxed), &self.attributes);
        }
        if let Some(size) = &self.instruments.response_size {
            size.record(self.response_bytes, &self.attributes);
        }
    }
}

/// Nobody waits for the call any more.
impl Drop for Measurement {
    fn drop(&mut self) {
        if self.recorded {
            return;
        }
        let code = match self.timeout {
            Some(timeout) if self.begin.elapsed() + slack(timeout) >= timeout => {
                Code::DeadlineExceeded
            }
            _ => Code::Cancelled,
        };
        self.record(code);
    }
}

/// A server's clock begins when it has the headers, later than its client's.
fn slack(timeout: Duration) -> Duration {
    (timeout / 10).clamp(Duration::from_millis(1), Duration::from_millis(100))
}

pin_project! {
    /// The response of a call that is measured.
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        measurement: Option<Measurement>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: F, measurement: Measurement) -> Self {
        Self {
            inner,
            measurement: Some(measurement),
        }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
    E: Into<StdError>,
{
    type Output = Result<Response<Body>, StdError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let Some(measurement) = this.measurement.take() else {
            return Poll::Ready(Err("polled after the response".into()));
        };
        Poll::Ready(measurement.finish(result))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// The name of a code as the specification writes it: `DEADLINE_EXCEEDED`.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
