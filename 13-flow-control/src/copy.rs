//! Two ways to call `Copy`: one that never ends, and one that does.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::CHUNK;
use crate::files::Chunk;
use crate::files::archive_client::ArchiveClient;

/// Writes all chunks before it reads the first copy, and counts the bytes in `written`.
///
/// **A deadlock**, if there are more bytes than the windows of both directions hold: the server cannot send,
/// so it does not read, so the client cannot send, so it does not come to reading.
///
/// # Errors
///
/// What the server answers.
pub async fn write_then_read(
    archive: &mut ArchiveClient<Channel>,
    chunks: u64,
    written: &AtomicU64,
) -> Result<u64, Status> {
    let (sender, requests) = mpsc::channel(1);
    let replies = archive.copy(ReceiverStream::new(requests)).await?;
    let replies = Replies::new(replies.into_inner());
    write(sender, chunks, written).await;
    read(replies).await
}

/// Writes and reads at the same time, so that neither waits for the other. Returns how many bytes came back.
///
/// # Errors
///
/// What the server answers.
pub async fn write_and_read(
    archive: &mut ArchiveClient<Channel>,
    chunks: u64,
    written: &AtomicU64,
) -> Result<u64, Status> {
    let (sender, requests) = mpsc::channel(1);
    let replies = archive.copy(ReceiverStream::new(requests)).await?;
    let replies = Replies::new(replies.into_inner());
    let ((), copied) = tokio::join!(write(sender, chunks, written), read(replies));
    copied
}

/// Hands over one chunk after the other. The sender is dropped at the end, which ends the upload.
async fn write(sender: Sender<Chunk>, chunks: u64, written: &AtomicU64) {
    for _ in 0..chunks {
        let data = vec![0; CHUNK];
        // If nobody takes it, the call is over, and whoever reads learns why.
        if sender.send(Chunk { data }).await.is_err() {
            return;
        }
        written.fetch_add(CHUNK as u64, Ordering::SeqCst);
    }
}

/// Replies that are read to their end, if need be after the caller has given up.
///
/// tonic does not cancel a call that is dropped while its upload waits for room: the call would stay open, and
/// keep its windows and its connection. The room comes from reading. By then the upload's sender is dropped
/// as well, so what is left to read is what lay in the windows.
struct Replies(Option<Streaming<Chunk>>);

impl Replies {
    fn new(replies: Streaming<Chunk>) -> Self {
        Self(Some(replies))
    }

    async fn next(&mut self) -> Result<Option<Chunk>, Status> {
        match &mut self.0 {
            Some(replies) => replies.message().await,
            None => Ok(None),
        }
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        if let (Some(mut replies), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move { while let Ok(Some(_)) = replies.message().await {} });
        }
    }
}

async fn read(mut copies: Replies) -> Result<u64, Status> {
    let mut bytes = 0;
    while let Some(Chunk { data }) = copies.next().await? {
        bytes += data.len() as u64;
    }
    Ok(bytes)
}
