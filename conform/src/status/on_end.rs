//! How a call ends: the status, which may be in the headers or in the trailers, or never come.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Response};
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::{Code, Status};

/// Tells once how a call ended: its status code, or `None` if it was broken off before it had one.
///
/// For logs, metrics and limits, on either side. On a server `None` means that the caller has
/// gone: it cancelled, its deadline passed, or its connection broke.
///
/// ```
/// use conform::status::OnEnd;
/// use tonic::{Code, Status};
/// use tonic::body::Body;
///
/// let (sender, ended) = std::sync::mpsc::channel();
/// let on_end = OnEnd::new(move |code| drop(sender.send(code)));
///
/// // As a layer does it with the response of the service that it wraps.
/// let response = on_end.watch(Status::not_found("no such book").into_http::<Body>());
/// assert_eq!(ended.recv(), Ok(Some(Code::NotFound)));
/// # drop(response);
/// ```
///
/// Create it before the service is called and move it into the future, so that a call that is
/// dropped before it has a response is told too.
pub struct OnEnd(Option<Box<dyn FnOnce(Option<Code>) + Send>>);

impl OnEnd {
    /// Will call `tell` when the call is over, at the latest when this value is dropped.
    pub fn new(tell: impl FnOnce(Option<Code>) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    /// Looks for the status in `response`, where PROTOCOL-HTTP2, section *Responses*, puts it:
    /// in the headers, if there are no messages (*Trailers-Only*), and else in the trailers.
    ///
    /// A body that fails on this side, as a client's does when the connection is lost, ends the
    /// call with the code of its error. The response itself is passed on as it is.
    pub fn watch<B>(mut self, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        if let Some(code) = code_in(response.headers()) {
            self.tell(Some(code));
            return response.map(Body::new);
        }
        response.map(|body| {
            Body::new(Watched {
                inner: Body::new(body),
                on_end: self,
            })
        })
    }

    /// Tells that the call ended with `code`, for a call that has no response to watch.
    pub fn end(mut self, code: Code) {
        self.tell(Some(code));
    }

    fn tell(&mut self, code: Option<Code>) {
        if let Some(tell) = self.0.take() {
            tell(code);
        }
    }
}

impl Drop for OnEnd {
    fn drop(&mut self) {
        self.tell(None);
    }
}

impl fmt::Debug for OnEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnEnd").finish_non_exhaustive()
    }
}

/// Whoever drops this body before its end drops the [`OnEnd`] with it.
struct Watched {
    inner: Body,
    on_end: OnEnd,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.on_end.tell(code_in(trailers));
                }
            }
            Some(Err(status)) => self.on_end.tell(Some(status.code())),
            None => self.on_end.tell(None),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The status that these headers or trailers hold.
pub(crate) fn code_in(headers: &HeaderMap) -> Option<Code> {
    let status = headers.get(Status::GRPC_STATUS)?;
    Some(Code::from_bytes(status.as_bytes()))
}
