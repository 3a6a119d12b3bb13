//! Replies from blocking work: the stream ends with OK only if the work says so.
//!
//! # The promise
//!
//! A stream of replies ends with the status of the call, and OK means that all replies have come
//! ([gRPC over HTTP/2], *Responses*; gRPC's guide [Status Codes]). A server sends no faster than
//! its client reads ([Flow Control]), and stops when the call is over ([Cancellation]). A handler
//! that panics ends its call with UNKNOWN.
//!
//! # What tonic 0.14.9 does
//!
//! The usual way is a channel, with `spawn_blocking` on one end and a `ReceiverStream` on the
//! other. A receiver ends when its sender is gone, for whatever reason: work that panics half-way,
//! or returns early by a forgotten branch, looks like success. And each reader that stalls holds a
//! thread: tokio has 512 for all blocking work of the process, so that 512 stalled readers stop
//! every file from being opened.
//!
//! # Example
//!
//! ```
//! use conform::stream;
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use tonic::codegen::BoxStream;
//! use tonic::{Code, Request, Response, Status};
//!
//! struct Counting;
//!
//! #[tonic::async_trait]
//! impl Greeter for Counting {
//!     async fn greet_often(
//!         &self,
//!         request: Request<Name>,
//!     ) -> Result<Response<BoxStream<Greeting>>, Status> {
//!         let Name { name } = request.into_inner();
//!         let greetings = stream::blocking(move |replies| {
//!             for number in 1..=3 {
//!                 // Blocks until there is room. Fails when the call is over: `?` ends the work.
//!                 let text = format!("Hello {name}, for the {number}. time!");
//!                 replies.send(Greeting { text })?;
//!             }
//!             Err(Status::out_of_range("it counts to three"))
//!         });
//!         Ok(Response::new(Box::pin(greetings)))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut stub = GreeterClient::new(GreeterServer::new(Counting));
//! let name = "Ann".to_owned();
//! let mut replies = stub.greet_often(Name { name }).await?.into_inner();
//! for _ in 1..=3 {
//!     assert!(replies.message().await?.is_some());
//! }
//! assert_eq!(replies.message().await.unwrap_err().code(), Code::OutOfRange);
//! # Ok(())
//! # }
//! ```
//!
//! # How far the work runs ahead
//!
//! Between the work and the *stream* there is room for one reply, or for as many as
//! [`blocking_with`] is told. Between the stream and the *reader* there is more, all of it measured
//! in bytes: tonic gathers 32 KiB into one frame, hyper holds 400 KiB that wait to be sent, and the
//! client takes what its window allows before anybody has read it, which in tonic is 2 MiB for a
//! stream. So a client that reads one small reply and then sleeps may let the work go on for tens
//! of thousands of replies; large ones stop it after a few.
//!
//! The window is the client's to choose (`Endpoint::initial_stream_window_size`). A server that
//! needs a bound in replies has to be told of what was read: with a bidirectional stream whose
//! requests ask for more.
//!
//! # How many works run at once
//!
//! At most [`MAX_RUNNING`] for all calls of [`blocking()`] together, or as many as a [`Workers`] of
//! your own lets run. A call past that ends at once with RESOURCE_EXHAUSTED: it never waits for a
//! reader that stalls. To bound how long one reader may hold a thread, give calls a deadline with
//! the module `deadline`.
//!
//! A runtime that shuts down waits for blocking work, and this work ends when its call does: drop
//! the server first, or use
//! [`Runtime::shutdown_timeout`](tokio::runtime::Runtime::shutdown_timeout).
//!
//! [gRPC over HTTP/2]: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses
//! [Status Codes]: https://grpc.io/docs/guides/status-codes/
//! [Flow Control]: https://grpc.io/docs/guides/flow-control/
//! [Cancellation]: https://grpc.io/docs/guides/cancellation/

use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use futures::Stream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{self, JoinHandle};
use tonic::Status;

#[cfg(test)]
mod tests;

/// How many works of [`blocking`] and [`blocking_with`] run at once: 256, half of the 512 threads
/// that tokio has for blocking work unless it is told otherwise.
pub const MAX_RUNNING: usize = 256;

static SHARED: LazyLock<Workers> = LazyLock::new(|| Workers::new(MAX_RUNNING));

/// Runs `work` on a thread where it may block, and streams what it sends.
///
/// The stream ends as the work does: with OK if it returns `Ok`, with its error if it returns one,
/// with UNKNOWN if it panics. If too many works run already, `work` isn't begun and the stream
/// holds RESOURCE_EXHAUSTED. Between the work and the stream there is room for one reply.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn blocking<T, W>(work: W) -> BlockingStream<T>
where
    T: Send + 'static,
    W: FnOnce(&Replies<T>) -> Result<(), Status> + Send + 'static,
{
    blocking_with(1, work)
}

/// As [`blocking()`], with room for `capacity` replies between the work and the stream, and for at
/// least one.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn blocking_with<T, W>(capacity: usize, work: W) -> BlockingStream<T>
where
    T: Send + 'static,
    W: FnOnce(&Replies<T>) -> Result<(), Status> + Send + 'static,
{
    SHARED.blocking_with(capacity, work)
}

/// A limit of one's own on how many works run at once: one for downloads, say, and another for
/// searches.
///
/// Clones share the limit.
#[derive(Debug, Clone)]
pub struct Workers(Arc<Semaphore>);

impl Workers {
    /// Lets `limit` works run at once.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))))
    }

    /// As [`blocking()`], within this limit.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn blocking<T, W>(&self, work: W) -> BlockingStream<T>
    where
        T: Send + 'static,
        W: FnOnce(&Replies<T>) -> Result<(), Status> + Send + 'static,
    {
        self.blocking_with(1, work)
    }

    /// As [`blocking_with()`], within this limit.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn blocking_with<T, W>(&self, capacity: usize, work: W) -> BlockingStream<T>
    where
        T: Send + 'static,
        W: FnOnce(&Replies<T>) -> Result<(), Status> + Send + 'static,
    {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        let (sender, replies) = mpsc::channel(capacity);
        let end = match Arc::clone(&self.0).try_acquire_owned() {
            Err(_) => End::Refused,
            Ok(permit) => End::Work(task::spawn_blocking(move || {
                let result = work(&Replies(sender));
                drop(permit);
                result
            })),
        };
        BlockingStream { replies, end }
    }
}

/// Where the work hands over its replies.
#[derive(Debug)]
pub struct Replies<T>(mpsc::Sender<T>);

impl<T> Replies<T> {
    /// Hands over one reply. Blocks until there is room for it.
    ///
    /// # Errors
    ///
    /// CANCELLED if the call is over.
    pub fn send(&self, reply: T) -> Result<(), Status> {
        self.0.blocking_send(reply).map_err(|_| over())
    }

    /// To be asked now and then by work that has found nothing to send for a while.
    ///
    /// # Errors
    ///
    /// CANCELLED if the call is over.
    pub fn check(&self) -> Result<(), Status> {
        if self.0.is_closed() {
            Err(over())
        } else {
            Ok(())
        }
    }
}

fn over() -> Status {
    Status::cancelled("the call is over")
}

/// The replies of blocking work, and how it ends. See [`blocking()`].
#[derive(Debug)]
pub struct BlockingStream<T> {
    replies: mpsc::Receiver<T>,
    end: End,
}

#[derive(Debug)]
enum End {
    Refused,
    Work(JoinHandle<Result<(), Status>>),
    Over,
}

impl<T> Stream for BlockingStream<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(reply) = ready!(self.replies.poll_recv(context)) {
            return Poll::Ready(Some(Ok(reply)));
        }
        // A receiver ends when its sender is gone, for whatever reason. Only the result tells the
        // reason.
        let result = match &mut self.end {
            End::Over => return Poll::Ready(None),
            End::Refused => Err(Status::resource_exhausted("too many calls like this one")),
            End::Work(work) => match ready!(Pin::new(work).poll(context)) {
                Ok(result) => result,
                Err(error) if error.is_panic() => Err(Status::unknown("the work panicked")),
                Err(_) => Err(Status::unavailable("the server is shutting down")),
            },
        };
        self.end = End::Over;
        Poll::Ready(result.err().map(Err))
    }
}
