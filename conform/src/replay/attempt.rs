//! The body of one attempt.

use std::pin::Pin;
use std::sync::{Arc, MutexGuard, TryLockError};
use std::task::{Context, Poll, Waker, ready};

use http_body::{Body as HttpBody, Frame};
use tonic::body::Body;
use tonic::codegen::{Bytes, StdError};

use super::Shared;
use super::state::{Next, stopped};

pub(super) struct Attempt {
    shared: Arc<Shared>,
    number: u64,
}

impl Attempt {
    pub(super) fn new(shared: Arc<Shared>, number: u64) -> Self {
        Self { shared, number }
    }

    /// What comes next if the caller needn't be asked.
    fn known(&self, context: &Context<'_>) -> Option<Option<Result<Frame<Bytes>, StdError>>> {
        match self.shared.state().next(self.number, context.waker()) {
            Next::Frame(bytes) => Some(Some(Ok(Frame::data(bytes)))),
            Next::Failed(error) => Some(Some(Err(error))),
            Next::End => Some(None),
            Next::Ask => None,
        }
    }

    /// The caller's body; `None` if another attempt asks it, which wakes this one when it has the
    /// answer.
    fn ask(&self) -> Option<MutexGuard<'_, Body>> {
        match self.shared.body.try_lock() {
            Ok(body) => Some(body),
            // It has panicked. Its reader saw the panic.
            Err(TryLockError::Poisoned(body)) => Some(body.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.shared.wake(|state| state.leave(self.number));
    }
}

impl HttpBody for Attempt {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if let Some(frame) = self.known(context) {
            return Poll::Ready(frame);
        }
        let Some(mut body) = self.ask() else {
            return Poll::Pending;
        };
        // Another attempt may have been faster.
        if let Some(frame) = self.known(context) {
            return Poll::Ready(frame);
        }
        let frame = ready!(Pin::new(&mut *body).poll_frame(context));
        let has_ended = frame.is_none() || body.is_end_stream();
        let mut is_sent = true;
        let wakers = {
            let mut state = self.shared.state();
            state.has_ended = has_ended;
            if let Some(reader) = state.reader(self.number) {
                reader.waker = None;
            }
            if let Some(frame) = &frame {
                is_sent = state.receive(self.number, frame, &self.shared.memory);
            }
            state.wakers()
        };
        drop(body);
        wakers.into_iter().flatten().for_each(Waker::wake);
        Poll::Ready(if is_sent {
            frame.map(|frame| frame.map_err(Into::into))
        } else {
            Some(Err(stopped()))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.shared.state().has_read_all(self.number)
    }
}
