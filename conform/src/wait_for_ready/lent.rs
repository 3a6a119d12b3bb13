//! A body that comes back if nobody has read it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

use super::gate::{Gate, Pass};

/// Where a call's body is while it isn't on its way.
#[derive(Clone)]
pub(super) struct Home(Arc<Mutex<Option<Body>>>);

impl Home {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    /// The body, for one attempt; `None` while another one has it, or has read it.
    pub(super) fn lend(&self, pass: &Pass) -> Option<Lent> {
        let body = self.lock().take()?;
        Some(Lent {
            body: Some(body),
            unread: Some((self.clone(), pass.gate().clone())),
        })
    }

    pub(super) fn is_back(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Body>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body on its way. Who reads it has a connection.
pub(super) struct Lent {
    /// `None` only while this is dropped.
    body: Option<Body>,
    unread: Option<(Home, Arc<Gate>)>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some((_, gate)) = self.unread.take() {
            gate.connected();
        }
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some((home, _)) = self.unread.take() {
            *home.lock() = self.body.take();
        }
    }
}
