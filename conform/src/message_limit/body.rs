//! A body that ends at a message larger than the limit, before anyone reads that message.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::HeaderMap;

use super::Refused;
use crate::framing::MessageScanner;

/// How a body ends that holds a message too large.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// With an error, for who reads it on this side.
    Error,
    /// With a status for the peer.
    Trailers,
    /// With an error, which is kept for the other direction of the same call.
    Told(Refused),
}

impl End {
    /// Why the other direction of the call has ended, if it has.
    pub(super) fn refused(&self) -> Option<&Status> {
        match self {
            Self::Told(refused) => refused.get(),
            Self::Error | Self::Trailers => None,
        }
    }
}

pub(super) struct LimitedBody {
    /// `None` once the body has ended, which tells the peer to stop.
    inner: Option<Body>,
    limit: usize,
    end: End,
    scanner: MessageScanner,
    /// Comes after the messages before the one that is too large.
    pending: Option<Status>,
}

impl LimitedBody {
    pub(super) fn limit(inner: Body, limit: usize, end: End) -> Body {
        Body::new(Self::new(inner, limit, end))
    }

    pub(super) fn new(inner: Body, limit: usize, end: End) -> Self {
        Self {
            inner: Some(inner),
            limit,
            end,
            scanner: MessageScanner::new(),
            pending: None,
        }
    }

    /// How much of `data` stands before a message that is too large; `None` if there is no such
    /// message.
    fn allowed(&mut self, data: &[u8]) -> Option<usize> {
        let mut rest = data;
        while let Some(prefix) = self.scanner.next_prefix(&mut rest) {
            if prefix.length as usize > self.limit {
                self.pending = Some(Status::resource_exhausted(format!(
                    "a message of {} bytes is too large: the limit is {}",
                    prefix.length, self.limit
                )));
                return Some((data.len() - rest.len()).saturating_sub(MessageScanner::PREFIX));
            }
        }
        None
    }

    fn refuse(&self, status: Status) -> Result<Frame<Bytes>, Status> {
        match &self.end {
            End::Error => Err(status),
            End::Trailers => {
                let mut trailers = HeaderMap::new();
                status.add_header(&mut trailers)?;
                Ok(Frame::trailers(trailers))
            }
            End::Told(refused) => Err(refused.get_or_init(|| status).clone()),
        }
    }
}

impl HttpBody for LimitedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Some(status) = this.pending.take() {
            return Poll::Ready(Some(this.refuse(status)));
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let frame = match ready!(Pin::new(inner).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            end => {
                this.inner = None;
                let refused = this.end.refused().cloned();
                return Poll::Ready(refused.map(Err).or(end));
            }
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
        };
        let Some(allowed) = this.allowed(&data) else {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        };
        this.inner = None;
        Poll::Ready(Some(match this.pending.take_if(|_| allowed == 0) {
            Some(status) => this.refuse(status),
            None => Ok(Frame::data(data.slice(..allowed))),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.pending.is_none() && self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
