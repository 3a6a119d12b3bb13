//! Sends a file no faster than it's read.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use crc32fast::Hasher;
use tokio::sync::mpsc::Sender;
use tokio::task;
use tokio::time::timeout;
use tonic::Status;

use crate::copy::CHUNK;
use crate::proto::{Part, part::Content};

/// A download: of what, where to, and where to say what becomes of it.
pub struct Sending {
    pub name: String,
    pub parts: Sender<Part>,
    pub log: Sender<String>,
}

impl Sending {
    pub async fn run(self, file: File, size: u64) -> Result<(), Status> {
        let result = self.send_file(file, size).await;
        let end = result.as_ref().err().map_or("handed over", Status::message);
        self.say(end);
        result
    }

    /// Sends `size` bytes, a chunk at a time: one is in memory, however large the file is.
    async fn send_file(&self, file: File, size: u64) -> Result<(), Status> {
        let (file, mut sent, mut hasher) = (Arc::new(file), 0, Hasher::new());
        self.send(Content::Size(size), sent).await?;
        while sent < size {
            let mut data = vec![0; CHUNK.min((size - sent) as usize)];
            let mut file = file.clone();
            // Reading a file blocks its thread.
            let read = task::spawn_blocking(move || file.read_exact(&mut data).map(|()| data));
            let data = read.await.map_err(Into::into).and_then(|read| read);
            let data = data.map_err(|error: std::io::Error| {
                self.say(&format!("can't be read: {error}"));
                Status::internal("the file can't be read to its end")
            })?;
            hasher.update(&data);
            sent += data.len() as u64;
            self.send(Content::Data(data), sent).await?;
        }
        self.send(Content::Checksum(hasher.finalize()), sent).await
    }

    /// Sends a part when there's room for it.
    async fn send(&self, content: Content, sent: u64) -> Result<(), Status> {
        let content = Some(content);
        let gone = |_| Status::cancelled("the client went away");
        let room = match timeout(Duration::from_secs(1), self.parts.reserve()).await {
            Ok(room) => room,
            Err(_) => {
                self.say(&format!("waits for its reader at {} MiB", sent >> 20));
                let room = timeout(Duration::from_secs(60), self.parts.reserve()).await;
                room.map_err(|_| Status::aborted("nobody has read for a minute"))?
            }
        };
        room.map_err(gone)?.send(Part { content });
        Ok(())
    }

    fn say(&self, what: &str) {
        let _ = self.log.try_send(format!("{}: {what}", self.name));
    }
}
