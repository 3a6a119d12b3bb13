//! Refuses metadata that gRPC does not allow, before it is sent: reserved names and illegal characters.
//!
//! The rules are those of PROTOCOL-HTTP2, section "Requests": *Custom-Metadata*, *Header-Name* and
//! *ASCII-Value*. tonic keeps to those of HTTP, which allow more.

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

/// Whether `name` belongs to gRPC itself and is not for an application.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with("grpc-") || name == "content-type" || name == "te"
}

/// Checks the metadata of one request where the application has written it.
///
/// Only here can reserved names be told from those that tonic adds.
///
/// # Errors
///
/// INVALID_ARGUMENT, naming what is wrong.
pub fn check<T>(request: &Request<T>) -> Result<(), Status> {
    check_map(request.metadata(), &[TIMEOUT])
}

/// Checks the metadata of every call of a stub: an interceptor, which can't be forgotten.
///
/// It comes after tonic and lets pass the names that tonic writes, whoever wrote them. tonic has removed
/// `grpc-status` and `grpc-message` by then, without a word.
///
/// # Errors
///
/// INVALID_ARGUMENT, naming what is wrong.
pub fn check_metadata(request: Request<()>) -> Result<Request<()>, Status> {
    check_map(request.metadata(), &WRITTEN_BY_TONIC)?;
    Ok(request)
}

fn check_map(metadata: &MetadataMap, allowed: &[&str]) -> Result<(), Status> {
    for entry in metadata.iter() {
        let name = match entry {
            KeyAndValueRef::Ascii(key, value) => {
                if !value.as_bytes().iter().all(|&byte| is_printable(byte)) {
                    return Err(Status::invalid_argument(format!(
                        "the value of {key} is not printable ASCII"
                    )));
                }
                key.as_str()
            }
            KeyAndValueRef::Binary(key, _) => key.as_str(),
        };
        if is_reserved(name) && !allowed.contains(&name) {
            return Err(Status::invalid_argument(format!(
                "{name} is a name that gRPC keeps for itself"
            )));
        }
        if !name.bytes().all(is_for_names) {
            return Err(Status::invalid_argument(format!(
                "{name} isn't a name for metadata: use a-z, 0-9, and any of _-."
            )));
        }
    }
    Ok(())
}

fn is_printable(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

fn is_for_names(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte)
}
