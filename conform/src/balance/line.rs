//! What a connection of a subchannel is held open by.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tonic::transport::Channel;

use super::Shared;

/// So many calls one after another that were given up without an answer, and the connection is
/// given up too.
///
/// A server that lets no stream begin (SETTINGS_MAX_CONCURRENT_STREAMS of 0: RFC 9113, section
/// 6.5.2) has calls wait inside of the connection, and those that were given up stay there.
pub(crate) const MOST_IN_VAIN: u32 = 4096;

/// How long a connection has to end by itself, once nobody needs it: to say what it has to say.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// One connection. It's closed when nobody has this any more: neither its subchannel, nor a call.
#[derive(Debug)]
pub(crate) struct Line {
    in_vain: AtomicU32,
    _open: oneshot::Sender<()>,
}

/// Ends [`LINGER`] after nobody has the [`Line`] any more.
pub(crate) enum LineEnd {
    Open(oneshot::Receiver<()>),
    Lingers(Pin<Box<Sleep>>),
}

impl Line {
    pub(crate) fn new() -> (Arc<Self>, LineEnd) {
        let (open, end) = oneshot::channel();
        let line = Self {
            in_vain: AtomicU32::new(0),
            _open: open,
        };
        (Arc::new(line), LineEnd::Open(end))
    }
}

impl LineEnd {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Open(end) = self {
            // Nobody sends: it ends when the other end is dropped.
            let _ = ready!(Pin::new(end).poll(cx));
            *self = Self::Lingers(Box::pin(sleep(LINGER)));
        }
        match self {
            Self::Open(_) => Poll::Pending,
            Self::Lingers(end) => end.as_mut().poll(cx),
        }
    }
}

/// A call that waits for its answer over a connection. Dropped before, it was given up.
pub(crate) struct Waiting {
    /// Which connection it is, and whose: that one hears of it if it takes no more calls.
    number: u64,
    subchannel: Arc<Shared>,
    line: Arc<Line>,
    is_over: bool,
}

impl Waiting {
    pub(crate) fn new(number: u64, subchannel: Arc<Shared>, line: Arc<Line>) -> Self {
        Self {
            number,
            subchannel,
            line,
            is_over: false,
        }
    }

    /// The handle that was lent.
    pub(crate) fn give_back(&self, channel: Channel) {
        self.subchannel.give_back(self.number, channel);
    }

    /// The answer is here. What is returned keeps the connection open.
    pub(crate) fn answered(mut self) -> Arc<Line> {
        self.is_over = true;
        self.line.in_vain.store(0, Ordering::Relaxed);
        self.subchannel.answered(self.number);
        self.line.clone()
    }

    /// It has failed; `was_refused` if the connection takes no more calls.
    pub(crate) fn failed(mut self, was_refused: bool) {
        self.is_over = true;
        if was_refused {
            self.subchannel.refused(self.number);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let before = self.line.in_vain.fetch_add(1, Ordering::Relaxed);
        if before + 1 == MOST_IN_VAIN {
            self.subchannel.refused(self.number);
        }
    }
}
