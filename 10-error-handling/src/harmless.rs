//! The client's guard: details that tonic could not decode are taken away before tonic tries, and panics.

use std::mem;

use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Response};
use tonic::metadata::MetadataMap;
use tower::util::MapResponse;

/// The header, or trailer, in which the details of a status travel, as base64.
pub const DETAILS: &str = "grpc-status-details-bin";

/// A channel whose errors may come with malformed details.
pub type Harmless<S> = MapResponse<S, fn(Response<Body>) -> Response<Body>>;

/// Takes malformed details out of everything that comes back over `channel`. The rest of the error stays.
pub fn harmless<S>(channel: S) -> Harmless<S> {
    MapResponse::new(channel, clean)
}

fn clean(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    // An error without a message before it: the status is in the headers.
    clean_map(&mut head.headers);
    let body = body.map_frame(|mut frame| {
        if let Some(trailers) = frame.trailers_mut() {
            clean_map(trailers);
        }
        frame
    });
    Response::from_parts(head, Body::new(body))
}

fn clean_map(headers: &mut HeaderMap) {
    let mut metadata = MetadataMap::from_headers(mem::take(headers));
    let details = metadata.get_bin(DETAILS);
    // tonic's own decoder is asked, the way in which it does not panic.
    if details.is_some_and(|details| details.to_bytes().is_err()) {
        metadata.remove_bin(DETAILS);
    }
    *headers = metadata.into_headers();
}
