//! What to make of an answer that comes from no gRPC server: the table in `http-grpc-status-mapping.md`.

use tonic::codegen::http::header::CONTENT_TYPE;
use tonic::codegen::http::{Response, StatusCode};
use tonic::{Code, Status};

/// The code for an HTTP status that came without a gRPC status.
pub fn code(status: StatusCode) -> Code {
    match status.as_u16() {
        400 | 431 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// The status of a call whose answer is not gRPC's, or `None` if the answer is.
///
/// A gRPC status that is there counts, whatever stands around it.
pub fn synthesized<B>(response: &Response<B>) -> Option<Status> {
    let headers = response.headers();
    let is_grpc = headers.contains_key(Status::GRPC_STATUS)
        || headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let status = response.status();
    (!is_grpc).then(|| Status::new(code(status), format!("HTTP {status}, and no gRPC status")))
}
