//! What to make of an answer that comes from no gRPC server: the table in `http-grpc-status-mapping.md`.

use tonic::codegen::http::header::CONTENT_TYPE;
use tonic::codegen::http::{HeaderMap, Response, StatusCode};
use tonic::{Code, Status};

/// The code for an HTTP status that came without a gRPC status.
pub fn code_from_http(status: StatusCode) -> Code {
    match status.as_u16() {
        400 | 431 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// The status of a call whose answer isn't gRPC's, or `None` if the answer is.
///
/// A gRPC status that is there counts, whatever stands around it.
pub(super) fn synthesized<B>(response: &Response<B>) -> Option<Status> {
    let headers = response.headers();
    let status = response.status();
    let is_grpc = headers.contains_key(Status::GRPC_STATUS)
        || status == StatusCode::OK && has_grpc_content_type(headers);
    (!is_grpc).then(|| {
        let code = code_from_http(status);
        Status::new(code, format!("HTTP {status}, and no gRPC status"))
    })
}

/// `application/grpc`, alone or followed by `+` or `;`: PROTOCOL-HTTP2, "Responses", *Content-Type*.
fn has_grpc_content_type(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}
