//! Panics become errors: the caller gets INTERNAL, the journal gets the message, the connection goes on.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::{FutureExt, Stream, StreamExt};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Context, Poll, Service};

use crate::error::SignupError;
use crate::journal::Journal;
use crate::language::Language;

/// A service whose handlers may panic before they answer.
///
/// What a handler has left half changed stays so. Locks that it held are poisoned, as always in Rust.
#[derive(Debug, Clone)]
pub struct CatchPanics<S> {
    inner: S,
    journal: Journal,
}

impl<S> CatchPanics<S> {
    /// Catches the panics of `inner`, and writes their messages to `journal`.
    pub fn new(inner: S, journal: Journal) -> Self {
        Self { inner, journal }
    }
}

impl<S> Service<Request<Body>> for CatchPanics<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<S::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let language = Language::of(request.headers());
        let journal = self.journal.clone();
        let answer = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        Box::pin(async move {
            answer.await.unwrap_or_else(|panic| {
                let error = SignupError::Panic(message(&*panic));
                Ok(error.into_status(language, &journal).into_http())
            })
        })
    }
}

/// A stream that ends with an error where `stream` panics.
///
/// A handler that returns a stream is done: the layer does not see what happens later. What the stream has
/// sent before, tonic still has to deliver, so the panic must not get as far as tonic.
pub fn caught<T>(
    stream: impl Stream<Item = Result<T, SignupError>>,
) -> impl Stream<Item = Result<T, SignupError>> {
    AssertUnwindSafe(stream)
        .catch_unwind()
        .map(|item| item.unwrap_or_else(|panic| Err(SignupError::Panic(message(&*panic)))))
}

/// What was written between the brackets of `panic!`.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
        .to_owned()
}
