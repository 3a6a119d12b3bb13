//! Panics become INTERNAL, in the handler and in the stream that it returned. tower-http catches the first.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::StreamExt;
use http_body::Frame;
use http_body_util::{BodyStream, StreamBody};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Response};
use tonic::codegen::{Body as HttpBody, Bytes, StdError};

/// What the caller gets for a handler that panicked. To be given to tower-http's `CatchPanicLayer`.
///
/// The panic's own words stay here: they may be nothing for strangers. Rust has written them to stderr.
pub fn in_handler(_: Box<dyn Any + Send>) -> Response<Body> {
    broken().into_http()
}

/// Ends `body` with INTERNAL where it panics.
///
/// The handler has returned by then, and tower-http's layer is done with the call. Messages that tonic has
/// collected and not sent yet are lost: who needs them catches the panic inside, around the stream.
pub fn in_stream<B>(body: B) -> Body
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    // Unwind safe: a stream that has panicked is not asked again.
    let frames = AssertUnwindSafe(BodyStream::new(Body::new(body))).catch_unwind();
    Body::new(StreamBody::new(frames.map(|frame| {
        frame.unwrap_or_else(|_panic| {
            let mut trailers = HeaderMap::new();
            broken().add_header(&mut trailers)?;
            Ok(Frame::trailers(trailers))
        })
    })))
}

fn broken() -> Status {
    Status::internal("the calculator broke down")
}
