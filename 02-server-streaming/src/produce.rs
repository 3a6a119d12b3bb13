//! A stream of replies that blocking work produces: it ends with OK only if the work says so.

use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio::task;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Where the work hands over its replies.
#[derive(Debug)]
pub struct Replies<T>(mpsc::Sender<T>);

impl<T> Replies<T> {
    /// Hands over one reply, and blocks until there is room for it.
    ///
    /// # Errors
    ///
    /// CANCELLED if the call is over.
    pub fn send(&self, reply: T) -> Result<(), Status> {
        self.0.blocking_send(reply).map_err(|_| gone())
    }

    /// To be asked now and then by work that has found nothing to send for a while.
    ///
    /// # Errors
    ///
    /// CANCELLED if the call is over.
    pub fn still_wanted(&self) -> Result<(), Status> {
        if self.0.is_closed() {
            Err(gone())
        } else {
            Ok(())
        }
    }
}

fn gone() -> Status {
    Status::cancelled("the client went away")
}

/// Runs `work` on a thread of its own, where it may block, and streams what it sends.
///
/// The work runs ahead of the reader by two replies at most. Its result ends the stream: `Ok` as OK, an
/// error as that error. A panic ends it as INTERNAL.
pub fn produce<T, W>(work: W) -> impl Stream<Item = Result<T, Status>> + Send + 'static
where
    T: Send + 'static,
    W: FnOnce(&Replies<T>) -> Result<(), Status> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(1);
    let result = task::spawn_blocking(move || work(&Replies(sender)));
    // A receiver ends when its sender is gone, for whatever reason. Only the result tells the reason.
    let end = stream::once(result).filter_map(|result| async {
        match result {
            Ok(Ok(())) => None,
            Ok(Err(status)) => Some(Err(status)),
            Err(_panic) => Some(Err(Status::internal("the work broke off"))),
        }
    });
    ReceiverStream::new(receiver).map(Ok).chain(end)
}
