//! A request's body that can be sent a second time from its beginning.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::Request;
use tonic::codegen::http::request::Parts;
use tonic::metadata::MetadataMap;

use super::call::append;

/// How many bytes of a request are kept. A call that has sent more when the server refuses it isn't
/// made again.
pub(super) const KEPT: usize = 64 * 1024;

/// Keeps what the first attempt has sent, for the second one.
#[derive(Clone)]
pub(super) struct Replay(Arc<Mutex<Source>>);

struct Source {
    body: Body,
    has_ended: bool,
    kept: VecDeque<Bytes>,
    size: usize,
    is_possible: bool,
    attempts: u32,
    /// Of the newest attempt.
    waker: Option<Waker>,
}

impl Replay {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Source {
            body,
            has_ended: false,
            kept: VecDeque::new(),
            size: 0,
            is_possible: true,
            attempts: 0,
            waker: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        // A lock is poisoned if the body has panicked. Its reader saw the panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request with this metadata, and a body that begins at the beginning. The body of the
    /// request before it ends with an error.
    pub(super) fn request(&self, head: &Parts, metadata: &MetadataMap) -> Request<Body> {
        let mut request = Request::from_parts(head.clone(), self.attempt());
        append(request.headers_mut(), metadata.clone().into_headers());
        request
    }

    fn attempt(&self) -> Body {
        let mut source = self.lock();
        source.attempts += 1;
        // There is no third.
        source.is_possible &= source.attempts == 1;
        if let Some(waker) = source.waker.take() {
            waker.wake();
        }
        let number = source.attempts;
        drop(source);
        let replay = self.clone();
        Body::new(Attempt { replay, number })
    }

    /// Whether all that was sent so far can be sent again.
    pub(super) fn is_possible(&self) -> bool {
        self.lock().is_possible
    }

    /// There won't be a second attempt: nothing needs to be kept.
    pub(super) fn settle(&self) {
        let mut source = self.lock();
        source.is_possible = false;
        source.kept.clear();
    }
}

struct Attempt {
    replay: Replay,
    number: u32,
}

impl HttpBody for Attempt {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let source = &mut *self.replay.lock();
        if source.attempts != self.number {
            return Poll::Ready(Some(Err(Status::cancelled("the call is made again"))));
        }
        if self.number > 1
            && let Some(bytes) = source.kept.pop_front()
        {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if source.has_ended {
            return Poll::Ready(None);
        }
        source.waker = Some(cx.waker().clone());
        let frame = ready!(Pin::new(&mut source.body).poll_frame(cx));
        source.waker = None;
        match &frame {
            None => source.has_ended = true,
            Some(Ok(frame)) => source.keep(frame.data_ref()),
            Some(Err(_)) => source.is_possible = false,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let source = self.replay.lock();
        let is_sent = self.number == 1 || source.kept.is_empty();
        is_sent && (source.has_ended || source.body.is_end_stream())
    }
}

impl Source {
    fn keep(&mut self, bytes: Option<&Bytes>) {
        let length = bytes.map_or(usize::MAX, Bytes::len);
        self.size = self.size.saturating_add(length);
        self.is_possible &= self.size <= KEPT;
        match bytes {
            Some(bytes) if self.is_possible => self.kept.push_back(bytes.clone()),
            // The second attempt has sent what was kept, before anything else comes.
            _ => self.kept.clear(),
        }
    }
}
