//! Tells a picker how the call has ended that it has sent somewhere.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Response};
use tonic::codegen::{Body as HttpBody, Bytes};
use tonic::{Code, Status};

use super::activity::Open;
use crate::balance::{CallEnd, Line, Shared};
#[cfg(feature = "channelz")]
use crate::channelz::SubchannelEntry;
use crate::deadline::Deadline;
use crate::error_details::sanitize_map;
use crate::status::code_in;

type OnEnd = Box<dyn FnOnce(&CallEnd<'_>) + Send>;

/// Whom to tell, once. Whoever drops it has broken the call off.
#[derive(Default)]
pub(super) struct Ending {
    on_end: Option<OnEnd>,
    deadline: Option<Deadline>,
    /// The call is open as long as this is here.
    open: Option<Open>,
    #[cfg(feature = "channelz")]
    entry: Option<SubchannelEntry>,
}

impl Ending {
    /// A call over `subchannel` begins.
    pub(super) fn new(
        on_end: Option<OnEnd>,
        deadline: Option<Deadline>,
        open: Open,
        subchannel: &Shared,
    ) -> Self {
        let _ = subchannel;
        Self {
            on_end,
            deadline,
            open: Some(open),
            #[cfg(feature = "channelz")]
            entry: subchannel.entry().map(SubchannelEntry::call_started),
        }
    }

    /// Of a call that had no connection.
    pub(super) fn of_none(on_end: Option<OnEnd>) -> Self {
        Self {
            on_end,
            deadline: None,
            open: None,
            #[cfg(feature = "channelz")]
            entry: None,
        }
    }

    /// Waits for the call's end in its response. Details of an error that are malformed, with which a
    /// stub would panic, are taken away.
    pub(super) fn watch(
        mut self,
        mut response: Response<Body>,
        line: Option<Arc<Line>>,
    ) -> Response<WithEnd> {
        sanitize_map(response.headers_mut());
        if code_in(response.headers()).is_some() {
            self.trailers(response.headers());
        }
        response.map(|body| WithEnd {
            body,
            ending: self,
            _line: line,
        })
    }

    /// The connection failed before there was a response.
    pub(super) fn failed(mut self) {
        self.tell(&CallEnd::new(Some(Code::Unavailable), None));
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        let code = code_in(trailers).unwrap_or(Code::Unknown);
        self.tell(&CallEnd::new(Some(code), Some(trailers)));
    }

    fn tell(&mut self, end: &CallEnd<'_>) {
        if let Some(tell) = self.on_end.take() {
            // It's a policy's, and a policy that panics ends no call.
            let _ = catch_unwind(AssertUnwindSafe(|| tell(end)));
        }
        #[cfg(feature = "channelz")]
        if let Some(entry) = self.entry.take() {
            entry.call_ended(end.code);
        }
        self.open = None;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.on_end.is_none() && self.open.is_none() {
            return;
        }
        // What is dropped at its deadline was dropped by it.
        let has_passed = self.deadline.is_some_and(Deadline::has_passed);
        let code = has_passed.then_some(Code::DeadlineExceeded);
        self.tell(&CallEnd::new(code, None));
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").finish_non_exhaustive()
    }
}

/// A response's body whose end is told.
#[derive(Debug)]
pub(super) struct WithEnd {
    body: Body,
    ending: Ending,
    /// Keeps the connection open. After the body, which resets its stream when it's dropped.
    _line: Option<Arc<Line>>,
}

impl HttpBody for WithEnd {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &mut frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    sanitize_map(trailers);
                    self.ending.trailers(trailers);
                }
            }
            Some(Err(status)) => {
                let end = CallEnd::new(Some(status.code()), None);
                self.ending.tell(&end);
            }
            None => self.ending.tell(&CallEnd::new(Some(Code::Unknown), None)),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
