//! How a handler learns that its server is about to stop.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Request, Status};

/// Whether the server has told its clients to go elsewhere. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Draining(CancellationToken);

impl Draining {
    pub(super) fn new(token: CancellationToken) -> Self {
        Self(token)
    }

    /// That of the server that serves this call. Without the [`DrainLayer`](super::DrainLayer) it
    /// never begins.
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// Comes true when GOAWAY is sent.
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until GOAWAY is sent.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }

    /// Ends `replies` with UNAVAILABLE when draining begins, between two of them. The client may then
    /// go on elsewhere, after the last that it has got.
    pub fn end<S>(&self, replies: S) -> DrainingStream<S> {
        DrainingStream {
            replies: Some(replies),
            begun: Box::pin(self.0.clone().cancelled_owned()),
        }
    }
}

/// The error of calls that end because their server does.
pub(super) fn going() -> Status {
    Status::unavailable("the server is shutting down")
}

pin_project! {
    /// The replies of [`Draining::end`].
    #[derive(Debug)]
    pub struct DrainingStream<S> {
        #[pin]
        replies: Option<S>,
        begun: Pin<Box<WaitForCancellationFutureOwned>>,
    }
}

impl<S, T> Stream for DrainingStream<S>
where
    S: Stream<Item = Result<T, Status>>,
{
    type Item = Result<T, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        let Some(replies) = this.replies.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        if this.begun.as_mut().poll(context).is_ready() {
            this.replies.set(None);
            return Poll::Ready(Some(Err(going())));
        }
        replies.poll_next(context)
    }
}
