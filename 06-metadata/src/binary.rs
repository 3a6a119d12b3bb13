//! Reads binary metadata, however many values a peer has joined in one header.

use tonic::Status;
use tonic::codegen::Bytes;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::MetadataMap;

/// All values of `key`, decoded, in the order in which they were sent.
///
/// A peer, or a proxy on the way, may join the values of one name with commas. No comma is part of Base64, so
/// that is where to split (PROTOCOL-HTTP2, section "Requests", *Custom-Metadata*). tonic does not split: it
/// takes them for one value, which it cannot decode.
///
/// # Errors
///
/// INVALID_ARGUMENT if a value is not Base64.
///
/// # Panics
///
/// If `key` does not end in `-bin`: such a name has no binary values.
pub fn values(metadata: &MetadataMap, key: &'static str) -> Result<Vec<Bytes>, Status> {
    assert!(key.ends_with("-bin"), "{key} does not end in -bin");
    metadata
        .get_all_bin(key)
        .iter()
        .flat_map(|value| value.as_encoded_bytes().split(|&byte| byte == b','))
        .map(|piece| {
            decode(piece.trim_ascii())
                .ok_or_else(|| Status::invalid_argument(format!("a value of {key} is not Base64")))
        })
        .collect()
}

/// Decodes one piece of Base64, with or without padding, the way tonic does.
fn decode(piece: &[u8]) -> Option<Bytes> {
    // tonic decodes only what it finds in a header.
    const NAME: &str = "piece-bin";
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_bytes(piece).ok()?;
    headers.insert(HeaderName::from_static(NAME), value);
    MetadataMap::from_headers(headers)
        .get_bin(NAME)?
        .to_bytes()
        .ok()
}
