//! Writes one line for each call: the method, the status it ended with, and whether it was slow.

use std::time::Duration;

use conform::status::{OnEnd, escape};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, BoxFuture, Bytes, Context, Poll, Service, StdError};
use tower::Layer;

/// A slow call takes this long, from the request to the status.
pub const SLOW: Duration = Duration::from_secs(1);

/// The layer: gives each service that it is put on a [`Log`] around it.
#[derive(Clone)]
pub struct LogLayer<W> {
    write: W,
}

impl<W: Fn(String)> LogLayer<W> {
    /// Calls `write` with a line when a call is over.
    pub fn new(write: W) -> Self {
        Self { write }
    }
}

impl<S, W: Clone> Layer<S> for LogLayer<W> {
    type Service = Log<S, W>;

    fn layer(&self, inner: S) -> Self::Service {
        let write = self.write.clone();
        Log { inner, write }
    }
}

/// The service: a log around `inner`, on a server or on a channel.
#[derive(Clone)]
pub struct Log<S, W> {
    inner: S,
    write: W,
}

impl<S, W, B> Service<Request<Body>> for Log<S, W>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    W: Fn(String) + Clone + Send + 'static,
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
        // On the way in: what is known of the request.
        let method = escape(request.uri().path());
        let (begin, write) = (Instant::now(), self.write.clone());
        let on_end = OnEnd::new(move |code| {
            let end = code.map_or("broken off".to_owned(), |code| format!("{code:?}"));
            let slow = if begin.elapsed() < SLOW { "" } else { ", slow" };
            write(format!("{method}: {end}{slow}"));
        });
        let response = self.inner.call(request);
        // On the way out: the headers are here, but the call isn't over.
        Box::pin(async move { Ok(on_end.watch(response.await?)) })
    }
}
