//! One id for a call on its whole way, and in every line of a log that is about it.

use conform::status::escape;
use tonic::Request;
use tonic::codegen::http;
use tracing::{Span, info_span};

/// The header that carries it.
pub const CALL_ID: &str = "call-id";

/// The span of a call: whatever is logged while it is being worked on shows the id.
pub fn span(request: &http::Request<()>) -> Span {
    let id = request.headers().get(CALL_ID);
    let id = id.map_or(&b"none"[..], |id| id.as_bytes());
    info_span!("call", id = %escape(&String::from_utf8_lossy(id)))
}

/// Gives `to`, the call to the next server, the id that `from` has.
pub fn pass_on<T, U>(from: &Request<T>, to: &mut Request<U>) {
    if let Some(id) = from.metadata().get(CALL_ID) {
        to.metadata_mut().insert(CALL_ID, id.clone());
    }
}
