//! Who asks: how a client says it, and how the server reads it.

use conform::status::escape;
use tonic::Request;
use tonic::metadata::{MetadataMap, MetadataValue};

/// `message` from Zoë, about her homework, which is urgent.
pub fn from_zoe<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    // Any bytes may stand in a value whose name ends in `-bin`, so also an ë.
    metadata.insert_bin("caller-bin", MetadataValue::from_bytes("Zoë".as_bytes()));
    // `insert` would replace the first tag by the second.
    metadata.append("tag", MetadataValue::from_static("homework"));
    metadata.append("tag", MetadataValue::from_static("urgent"));
    request
}

/// The caller and its tags, in one line. Whatever a peer has sent, this is no error.
pub(crate) fn describe(metadata: &MetadataMap) -> String {
    let caller = metadata.get_bin("caller-bin");
    let caller = caller.and_then(|name| name.to_bytes().ok());
    let caller = match &caller {
        Some(name) => String::from_utf8_lossy(name),
        None => "somebody".into(),
    };
    let tags = metadata.get_all("tag").iter();
    let tags: Vec<_> = tags
        .map(|tag| String::from_utf8_lossy(tag.as_bytes()))
        .collect();
    escape(&format!("{caller} ({})", tags.join(", ")))
}
