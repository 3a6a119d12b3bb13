//! A stream of replies that blocking work produces: it ends with OK only if the work says so.

use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use futures::Stream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{self, JoinHandle};
use tonic::Status;

#[cfg(test)]
mod tests;

/// How many works of [`blocking`] and [`blocking_with`] run at once: 256, half of the 512 threads that
/// tokio has for blocking work unless it is told otherwise.
pub const MAX_RUNNING: usize = 256;

static SHARED: LazyLock<Workers> = LazyLock::new(|| Workers::new(MAX_RUNNING));

/// Runs `work` on a thread where it may block, and streams what it sends.
///
/// As [`blocking_with`] with room for one reply.
pub fn blocking<T, W>(work: W) -> BlockingStream<T>
where
    T: Send + 'static,
    W: FnOnce(&Replies<T>) -> Result<(), Status> + Send + 'static,
{
    blocking_with(1, work)
}

/// Runs `work` on a thread where it may block, and streams what it sends.
///
/// Between the work and the stream there is room for `capacity` replies, and for at least one.
pub fn blocking_with<T, W>(capacity: usize, work: W) -> BlockingStream<T>
where
    T: Send + 'static,
    W: FnOnce(&Replies<T>) -> Result<(), Status> + Send + 'static,
{
    SHARED.blocking_with(capacity, work)
}

/// A limit of one's own on how many works run at once.
#[derive(Debug, Clone)]
pub struct Workers(Arc<Semaphore>);

impl Workers {
    /// Lets `limit` works run at once.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))))
    }

    /// As [`blocking()`], within this limit.
    pub fn blocking<T, W>(&self, work: W) -> BlockingStream<T>
    where
        T: Send + 'static,
        W: FnOnce(&Replies<T>) -> Result<(), Status> + Send + 'static,
    {
        self.blocking_with(1, work)
    }

    /// As [`blocking_with()`], within this limit.
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
        // A receiver ends when its sender is gone, for whatever reason. Only the result tells the reason.
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
