//! Tells an upload that broke off from one that is finished.

use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use tonic::body::Body;
use tonic::codegen::Body as _;
use tonic::codegen::http::Request;
use tonic::{Code, Status};

/// Makes a request that breaks off end with an error, where tonic would see an ordinary end.
///
/// # Errors
///
/// The request's messages end with ABORTED if the client resets the call. The client never sees this
/// code: for it the call is over. Other errors, of a lost connection for example, stay as they are.
pub fn watch(request: Request<Body>) -> Request<Body> {
    request.map(|body| {
        Body::new(StreamBody::new(stream::unfold(
            body,
            |mut body| async move {
                let frame = match body.frame().await {
                    // RST_STREAM with CANCEL: tonic's decoder takes CANCELLED for the end.
                    Some(Err(status)) if status.code() == Code::Cancelled => Err(broke_off()),
                    // RST_STREAM with NO_ERROR: hyper takes it for the end. A real end has END_STREAM.
                    None if !body.is_end_stream() => Err(broke_off()),
                    frame => frame?,
                };
                Some((frame, body))
            },
        )))
    })
}

fn broke_off() -> Status {
    Status::aborted("the client broke off its upload")
}
