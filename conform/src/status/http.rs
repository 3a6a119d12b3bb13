//! What to make of an answer that comes from no gRPC server: the table in
//! `http-grpc-status-mapping.md`.

use tonic::codegen::http::header::CONTENT_TYPE;
use tonic::codegen::http::{HeaderMap, Response, StatusCode};
use tonic::{Code, Status};

/// The code for an HTTP status that came without a gRPC status: the table in
/// [http-grpc-status-mapping.md](https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
///
/// ```
/// use conform::status::code_from_http;
/// use tonic::Code;
/// use tonic::codegen::http::StatusCode;
///
/// assert_eq!(code_from_http(StatusCode::BAD_GATEWAY), Code::Unavailable);
/// assert_eq!(code_from_http(StatusCode::IM_A_TEAPOT), Code::Unknown);
/// ```
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
/// A gRPC status in the headers counts, whatever stands around it.
pub(super) fn status_of<B>(response: &Response<B>) -> Option<Status> {
    let status = response.status();
    let headers = response.headers();
    if headers.contains_key(Status::GRPC_STATUS) {
        return None;
    }
    let fault = if status != StatusCode::OK {
        "without a gRPC status"
    } else if !has_grpc_content_type(headers) {
        "with a content-type that isn't gRPC's"
    } else {
        return None;
    };
    let message = format!("the server answered HTTP {status} {fault}");
    Some(Status::new(code_from_http(status), message))
}

/// `application/grpc`, alone or followed by `+` or `;`: PROTOCOL-HTTP2, "Responses",
/// *Content-Type*.
fn has_grpc_content_type(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}
