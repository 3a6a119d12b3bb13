//! Reads binary metadata, however many values a peer has joined in one header.

use tonic::Status;
use tonic::codegen::Bytes;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::{KeyAndValueRef, MetadataMap};

/// All values of `key`, decoded, in the order in which they were sent.
///
/// A peer, or a proxy on the way, may join the values of one name with commas. No comma is part
/// of Base64, so that is where to split (PROTOCOL-HTTP2, *Custom-Metadata*). tonic doesn't
/// split: it takes them for one value, which it can't decode.
///
/// A `key` that doesn't end in `-bin` has no binary values.
///
/// ```
/// use conform::metadata::get_all_bin;
/// use tonic::codegen::http::{HeaderMap, HeaderValue};
/// use tonic::metadata::MetadataMap;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("image-bin", HeaderValue::from_static("AP8=,AQ=="));
/// let metadata = MetadataMap::from_headers(headers);
/// assert_eq!(get_all_bin(&metadata, "image-bin")?, [&[0, 255][..], &[1]]);
/// # Ok::<_, tonic::Status>(())
/// ```
///
/// # Errors
///
/// INVALID_ARGUMENT if a value isn't Base64.
pub fn get_all_bin(metadata: &MetadataMap, key: &str) -> Result<Vec<Bytes>, Status> {
    let mut values = Vec::new();
    for entry in metadata.iter() {
        let KeyAndValueRef::Binary(name, value) = entry else {
            continue;
        };
        if !name.as_str().eq_ignore_ascii_case(key) {
            continue;
        }
        for piece in value.as_encoded_bytes().split(|&byte| byte == b',') {
            let Some(value) = decode(piece.trim_ascii()) else {
                let message = format!("a value of {name} isn't Base64");
                return Err(Status::invalid_argument(message));
            };
            values.push(value);
        }
    }
    Ok(values)
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
