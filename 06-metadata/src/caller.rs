//! The caller's side: what a request says of its sender, and what an answer says of its price.

use tonic::Request;
use tonic::metadata::{AsciiMetadataValue, BinaryMetadataValue, MetadataMap};

use crate::binary;

/// The trace that Ann sends with every request: three bytes that are no text.
pub const TRACE: [u8; 3] = [0, 255, 7];

/// `message` from Ann, about her homework, which is urgent.
pub fn from_ann<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("caller", AsciiMetadataValue::from_static("Ann"));
    // `insert` would replace the first tag by the second.
    for tag in ["homework", "urgent"] {
        metadata.append("tag", AsciiMetadataValue::from_static(tag));
    }
    metadata.insert_bin("trace-bin", BinaryMetadataValue::from_bytes(&TRACE));
    request
}

/// What the server's metadata say, in one line: only its own names, not those of gRPC and HTTP.
pub fn said(metadata: &MetadataMap) -> String {
    let mut words = Vec::new();
    for key in ["served-by", "asked-by", "tag", "cost"] {
        for value in metadata.get_all(key) {
            let value = String::from_utf8_lossy(value.as_bytes());
            words.push(format!("{key} {value}"));
        }
    }
    for trace in binary::values(metadata, "trace-bin").unwrap_or_default() {
        let bytes: Vec<_> = trace.iter().map(|byte| format!("{byte:02x}")).collect();
        words.push(format!("trace-bin {}", bytes.join(" ")));
    }
    if words.is_empty() {
        return "nothing".to_owned();
    }
    words.join(", ")
}
