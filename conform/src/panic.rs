//! A panic ends one call with a status, and nothing else.
//!
//! # The promise
//!
//! "Server side application throws an exception (or does something other than returning a Status
//! code to terminate an RPC)" is UNKNOWN: [statuscodes.md].
//!
//! # What tonic 0.14.9 does
//!
//! A panic ends the task of the call. hyper resets the stream, and the caller sees CANCELLED "h2
//! protocol error", which no caller can tell from its own cancelling. `tower_http::catch_panic`
//! answers with HTTP's 500, and doesn't see a panic in a stream of replies.
//!
//! # Example
//!
//! ```
//! use conform::panic::CatchPanicLayer;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use tonic::transport::Server;
//!
//! async fn serve(greeter: impl Greeter) -> Result<(), Box<dyn std::error::Error>> {
//!     Server::builder()
//!         .layer(CatchPanicLayer::new())
//!         .add_service(GreeterServer::new(greeter))
//!         .serve("[::1]:50051".parse()?)
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! An application that has other rules, or a log of its own, gives the status itself, from
//! whatever panicked:
//!
//! ```
//! use conform::panic::{self, CatchPanicLayer};
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use tonic::Status;
//! use tonic::transport::Server;
//!
//! async fn serve(greeter: impl Greeter) -> Result<(), Box<dyn std::error::Error>> {
//!     let layer = CatchPanicLayer::custom(|cause| {
//!         eprintln!("a handler panicked: {}", panic::message(cause));
//!         Status::internal("this call has met a fault of ours")
//!     });
//!     Server::builder()
//!         .layer(layer)
//!         .add_service(GreeterServer::new(greeter))
//!         .serve("[::1]:50051".parse()?)
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! # Its place
//!
//! Outermost on the server, so that panics of other layers end as well.
//!
//! # What it doesn't do
//!
//! * What a handler has left half changed stays so, and locks that it held are poisoned, as
//!   always in Rust. With `panic = "abort"` nothing can be caught.
//! * Replies that tonic has collected, and not yet sent when the stream panics, are lost: tonic
//!   packs those that are ready at once into one frame.
//! * A panic in a task that the handler has spawned ends that task. If it held the sender of the
//!   replies, the call ends as finished; [`stream`](crate::stream) has a cure.
//!
//! [statuscodes.md]: https://grpc.github.io/grpc/core/md_doc_statuscodes.html

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::future::CatchUnwind;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tower::Layer;

#[cfg(test)]
mod tests;

/// How [`CatchPanicLayer::new`] makes a status of a panic.
type Unknown = fn(&(dyn Any + Send)) -> Status;

/// Makes [`CatchPanic`].
#[derive(Clone, Copy)]
pub struct CatchPanicLayer<F = Unknown> {
    status: F,
}

impl CatchPanicLayer {
    /// A panic is UNKNOWN "the handler failed". What it says itself stays here, where Rust
    /// writes it to stderr: a caller could learn too much.
    pub fn new() -> Self {
        Self { status: unknown }
    }
}

impl<F> CatchPanicLayer<F>
where
    // All that serving needs, so that the compiler speaks of a function that doesn't fit where it
    // is given, and not at `serve`.
    F: Fn(&(dyn Any + Send)) -> Status + Clone + Send + Unpin + 'static,
{
    /// A panic is what `status` makes of its cause; see [`message`].
    pub fn custom(status: F) -> Self {
        Self { status }
    }
}

impl Default for CatchPanicLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> fmt::Debug for CatchPanicLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchPanicLayer").finish_non_exhaustive()
    }
}

impl<S, F: Clone> Layer<S> for CatchPanicLayer<F> {
    type Service = CatchPanic<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        CatchPanic {
            inner,
            status: self.status.clone(),
            panicked: None,
        }
    }
}

/// Services whose handlers, and the streams that these return, may panic.
pub struct CatchPanic<S, F = Unknown> {
    inner: S,
    status: F,
    /// `poll_ready` has panicked. The next call answers for it.
    panicked: Option<Status>,
}

inner_service!(CatchPanic<S, F>);

impl<S: Clone, F: Clone> Clone for CatchPanic<S, F> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            status: self.status.clone(),
            panicked: None,
        }
    }
}

impl<S: fmt::Debug, F> fmt::Debug for CatchPanic<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchPanic")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, B, F> Service<Request<Body>> for CatchPanic<S, F>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
    F: Fn(&(dyn Any + Send)) -> Status + Clone + Send + Unpin + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = CatchPanicFuture<S::Future, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.panicked.is_some() {
            return Poll::Ready(Ok(()));
        }
        // Unwind safe, here and below: nobody looks again into what has panicked, but for a
        // service that says itself, when it is asked the next time, whether it is still ready.
        let ready = catch_unwind(AssertUnwindSafe(|| self.inner.poll_ready(cx)));
        ready.unwrap_or_else(|cause| {
            self.panicked = Some(status_of(&self.status, &*cause));
            Poll::Ready(Ok(()))
        })
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let state = match self.panicked.take() {
            Some(status) => State::Panicked {
                status: Some(status),
            },
            None => match catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) {
                Ok(response) => State::Called {
                    response: AssertUnwindSafe(response).catch_unwind(),
                },
                Err(cause) => State::Panicked {
                    status: Some(status_of(&self.status, &*cause)),
                },
            },
        };
        CatchPanicFuture {
            state,
            status: self.status.clone(),
        }
    }
}

pin_project! {
    /// The response of a [`CatchPanic`].
    pub struct CatchPanicFuture<R, F> {
        #[pin]
        state: State<R>,
        status: F,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<R> {
        Called { #[pin] response: CatchUnwind<AssertUnwindSafe<R>> },
        Panicked { status: Option<Status> },
    }
}

impl<R, B, E, F> Future for CatchPanicFuture<R, F>
where
    R: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
    F: Fn(&(dyn Any + Send)) -> Status + Clone + Send + Unpin + 'static,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(match this.state.project() {
            StateProj::Called { response } => match ready!(response.poll(cx)) {
                Ok(response) => response.map(|response| {
                    response.map(|body| {
                        Body::new(CatchPanicBody {
                            inner: Some(Body::new(body)),
                            status: this.status.clone(),
                        })
                    })
                }),
                Err(cause) => Ok(status_of(this.status, &*cause).into_http()),
            },
            StateProj::Panicked { status } => match status.take() {
                Some(status) => Ok(status.into_http()),
                None => return Poll::Pending,
            },
        })
    }
}

/// The replies of a call, which may panic.
struct CatchPanicBody<F> {
    /// `None` once it has panicked.
    inner: Option<Body>,
    status: F,
}

impl<F> HttpBody for CatchPanicBody<F>
where
    F: Fn(&(dyn Any + Send)) -> Status + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let poll = catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx)));
        poll.unwrap_or_else(|cause| {
            self.inner = None;
            let mut trailers = HeaderMap::new();
            status_of(&self.status, &*cause).add_header(&mut trailers)?;
            Poll::Ready(Some(Ok(Frame::trailers(trailers))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

/// What a panic says: the text between the brackets of [`panic!`].
pub fn message(cause: &(dyn Any + Send)) -> &str {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text")
}

fn unknown(_: &(dyn Any + Send)) -> Status {
    Status::unknown("the handler failed")
}

/// Also when the application's own function panics.
fn status_of<F>(status: &F, cause: &(dyn Any + Send)) -> Status
where
    F: Fn(&(dyn Any + Send)) -> Status,
{
    catch_unwind(AssertUnwindSafe(|| status(cause))).unwrap_or_else(|cause| unknown(&*cause))
}
