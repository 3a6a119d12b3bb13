//! The client's side of a download: it's complete when its checksum is right.

use crc32fast::Hasher;
use tonic::{Status, Streaming};

use crate::proto::{Part, part::Content};

/// Reads a download to its end. Tells `progress` how many bytes have come, and of how many.
pub async fn read_download(
    mut parts: Streaming<Part>,
    mut progress: impl FnMut(u64, u64),
) -> Result<(), Status> {
    let wrong = || Status::data_loss("what came is not the file");
    let (mut size, mut received, mut checksum, mut promised) = (None, 0, Hasher::new(), None);
    while let Some(part) = parts.message().await? {
        match (part.content, size) {
            (Some(Content::Size(bytes)), None) => size = Some(bytes),
            (Some(Content::Data(data)), Some(size)) if !data.is_empty() => {
                received += data.len() as u64;
                // A server that sends more than it has said could go on for ever.
                if received > size {
                    return Err(wrong());
                }
                checksum.update(&data);
                progress(received, size);
            }
            (Some(Content::Checksum(sum)), _) if promised.is_none() => promised = Some(sum),
            _ => return Err(wrong()),
        }
    }
    // OK says that the call went well. That the file is whole is for its size and checksum to say.
    let is_whole = size == Some(received) && promised == Some(checksum.finalize());
    is_whole.then_some(()).ok_or_else(wrong)
}
