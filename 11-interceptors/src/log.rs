//! Writes one line for each call: the method, the messages in both directions, the status.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, BoxFuture, Bytes, Context, Poll, Service, StdError};
use tower::Layer;

use crate::ending::Ending;
use crate::{Note, messages, method};

/// Logs the calls that pass through it, on a server or on a channel.
#[derive(Clone)]
pub struct LogLayer {
    note: Note,
}

impl LogLayer {
    /// Writes to `note`, when a call is over.
    pub fn new(note: Note) -> Self {
        Self { note }
    }
}

impl<S> Layer<S> for LogLayer {
    type Service = Logged<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Logged {
            inner,
            note: self.note.clone(),
        }
    }
}

/// A service with the [`LogLayer`] on it.
#[derive(Clone)]
pub struct Logged<S> {
    inner: S,
    note: Note,
}

impl<S, B> Service<Request<Body>> for Logged<S>
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
        let method = method(request.uri().path()).to_owned();
        let (requests, replies) = (Count::default(), Count::default());
        let ending = Ending::new({
            let (note, requests, replies) = (self.note.clone(), requests.clone(), replies.clone());
            move |code| {
                let (requests, replies, end) = (requests.get(), replies.get(), name(code));
                note(format!(
                    "{method}: requests {requests}, replies {replies}, {end}"
                ));
            }
        });
        let request = request.map(|body| messages::each(body, move || requests.add_one()));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            let response = response.map(|body| messages::each(body, move || replies.add_one()));
            Ok(ending.watch(response))
        })
    }
}

fn name(code: Option<Code>) -> String {
    code.map_or("broken off".to_owned(), |code| format!("{code:?}"))
}

/// A number that the two halves of a call share with the line about it.
#[derive(Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Count {
    fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
