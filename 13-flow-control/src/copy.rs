//! Two writers: one that gets stuck, and one that doesn't.

use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::flow_windows::Client;
use crate::proto::Chunk;

/// How many bytes one message carries.
pub const CHUNK: usize = 64 * 1024;

/// Writes all chunks, and then reads all copies. Returns how many bytes came back.
pub async fn write_then_read(files: &mut Client, chunks: usize) -> Result<usize, Status> {
    let (sender, copies) = begin(files).await?;
    write(sender, chunks).await;
    read(copies).await
}

/// Writes and reads at the same time, so that neither waits for the other.
pub async fn write_and_read(files: &mut Client, chunks: usize) -> Result<usize, Status> {
    let (sender, copies) = begin(files).await?;
    let ((), copied) = tokio::join!(write(sender, chunks), read(copies));
    copied
}

/// Never has more than `ahead` chunks under way that haven't come back.
pub async fn write_ahead(_: &mut Client, _chunks: usize, _ahead: usize) -> Result<usize, Status> {
    Err(Status::unimplemented("exercise 2"))
}

async fn begin(files: &mut Client) -> Result<(Sender<Chunk>, Streaming<Chunk>), Status> {
    let (sender, requests) = mpsc::channel(1);
    // Some servers send nothing, not even headers, before they have a message.
    let _ = sender.try_send(Chunk::default());
    let copies = files.copy(ReceiverStream::new(requests)).await?;
    Ok((sender, copies.into_inner()))
}

async fn write(sender: Sender<Chunk>, chunks: usize) {
    for _ in 0..chunks {
        let data = vec![0; CHUNK];
        if sender.send(Chunk { data }).await.is_err() {
            return;
        }
    }
}

async fn read(mut copies: Streaming<Chunk>) -> Result<usize, Status> {
    let mut bytes = 0;
    while let Some(Chunk { data }) = copies.message().await? {
        bytes += data.len();
    }
    Ok(bytes)
}
