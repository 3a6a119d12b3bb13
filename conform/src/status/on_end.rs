//! How a call ends: the status, which may be in the headers or in the trailers, or never come.

use http_body_util::BodyExt;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Response};
use tonic::codegen::{Body as HttpBody, Bytes, StdError};

/// Tells once how a call ended: its status code, or `None` if it was broken off before it had one.
pub struct OnEnd(Option<Box<dyn FnOnce(Option<Code>) + Send>>);

impl OnEnd {
    /// Will call `tell` when the call is over, at the latest when this value is dropped.
    pub fn new(tell: impl FnOnce(Option<Code>) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    /// Looks for the status in `response`, where PROTOCOL-HTTP2, section "Responses", puts it: in the
    /// headers, if there are no messages (*Trailers-Only*), and else in the trailers.
    pub fn watch<B>(mut self, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        let (head, body) = response.into_parts();
        if let Some(code) = code_in(&head.headers) {
            self.tell(Some(code));
            return Response::from_parts(head, Body::new(body));
        }
        // Whoever drops the body before its end drops `self` with it.
        let body = body.map_frame(move |frame| {
            if let Some(trailers) = frame.trailers_ref() {
                self.tell(code_in(trailers));
            }
            frame
        });
        Response::from_parts(head, Body::new(body))
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

fn code_in(headers: &HeaderMap) -> Option<Code> {
    let status = headers.get("grpc-status")?;
    Some(Code::from_bytes(status.as_bytes()))
}
