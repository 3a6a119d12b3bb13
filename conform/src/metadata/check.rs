//! Refuses metadata that gRPC doesn't allow, before it is sent: reserved names and illegal
//! characters.

use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::{Request, Status};

/// What tonic writes into the same map before an interceptor sees it.
const WRITTEN_BY_TONIC: [&str; 5] = [
    "content-type",
    "grpc-accept-encoding",
    "grpc-encoding",
    TIMEOUT,
    "te",
];

/// [`Request::set_timeout`] writes this one, right into the metadata of the application.
const TIMEOUT: &str = "grpc-timeout";

/// Names that HTTP/2 forbids (RFC 9113, section 8.2.2), or that would say something untrue.
const HTTPS_OWN: [&str; 7] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// Whether `name` belongs to gRPC or HTTP itself and isn't for an application: `grpc-…`,
/// `content-type`, `te` (PROTOCOL-HTTP2, *Requests*), `connection` and what else describes a
/// connection (RFC 9113, section 8.2.2).
pub fn is_reserved(name: &str) -> bool {
    name.starts_with("grpc-") || name == "content-type" || name == "te" || HTTPS_OWN.contains(&name)
}

/// Checks the metadata of one request where the application has written it.
///
/// Only here can reserved names be told from those that tonic adds. `grpc-timeout` may be there:
/// [`Request::set_timeout`] writes it.
///
/// # Errors
///
/// INVALID_ARGUMENT, naming what is wrong.
pub fn check_request<T>(request: &Request<T>) -> Result<(), Status> {
    check_map(request.metadata(), &[TIMEOUT])
}

/// Checks the metadata of every call of a stub: an interceptor, which can't be forgotten.
///
/// It comes after tonic and lets pass the names that tonic writes, whoever wrote them. tonic has
/// removed `grpc-status` and `grpc-message` by then, without a word.
///
/// # Errors
///
/// INVALID_ARGUMENT, naming what is wrong.
pub fn check_interceptor(request: Request<()>) -> Result<Request<()>, Status> {
    check_map(request.metadata(), &WRITTEN_BY_TONIC)?;
    Ok(request)
}

fn check_map(metadata: &MetadataMap, allowed: &[&str]) -> Result<(), Status> {
    for entry in metadata.iter() {
        let (name, is_text) = match entry {
            KeyAndValueRef::Ascii(name, value) => {
                let bytes = value.as_encoded_bytes();
                (name.as_str(), bytes.iter().copied().all(is_printable))
            }
            KeyAndValueRef::Binary(name, _) => (name.as_str(), true),
        };
        let fault = if !name.bytes().all(is_for_names) {
            "isn't a name for metadata: use a-z, 0-9, and any of _-."
        } else if is_reserved(name) && !allowed.contains(&name) {
            "is a name that gRPC and HTTP keep for themselves"
        } else if !is_text {
            "has a value that isn't printable ASCII: encode it, or use a name that ends in -bin"
        } else {
            continue;
        };
        return Err(Status::invalid_argument(format!("{name} {fault}")));
    }
    Ok(())
}

fn is_printable(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

fn is_for_names(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte)
}
