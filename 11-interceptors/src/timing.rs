//! Measures each call from the request to the status, not only to the response's headers.

use std::time::Duration;

use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Arc, Body as HttpBody, BoxFuture, Bytes, Context, Poll, Service, StdError};
use tower::Layer;

use crate::ending::Ending;
use crate::{Note, method};

/// Takes the name of a method, and how long a call of it took.
pub type Report = Arc<dyn Fn(&str, Duration) + Send + Sync>;

/// What a slow call takes at least.
pub const SLOW: Duration = Duration::from_millis(500);

/// Measures the calls that pass through it, on a server or on a channel.
#[derive(Clone)]
pub struct TimingLayer {
    report: Report,
}

impl TimingLayer {
    /// Calls `report` when a call is over, also when it was broken off.
    pub fn new(report: Report) -> Self {
        Self { report }
    }
}

/// Reports calls that are [`SLOW`], and no others.
pub fn slow(note: Note) -> Report {
    Arc::new(move |method, time| {
        if time >= SLOW {
            note(format!("{method}: slow"));
        }
    })
}

impl<S> Layer<S> for TimingLayer {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Timed {
            inner,
            report: self.report.clone(),
        }
    }
}

/// A service with the [`TimingLayer`] on it.
#[derive(Clone)]
pub struct Timed<S> {
    inner: S,
    report: Report,
}

impl<S, B> Service<Request<Body>> for Timed<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Response<Body>, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let begin = Instant::now();
        let method = method(request.uri().path()).to_owned();
        let report = self.report.clone();
        let ending = Ending::new(move |_| report(&method, begin.elapsed()));
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(ending.watch(answer.await?)) })
    }
}
