//! What flow control promises, what a download promises, and the exercises.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;
use tonic::{Code, Streaming};
use wire::testing::soon;

use super::*;
use crate::copy::CHUNK;
use crate::download::read_download;
use crate::flow_windows::{Client, connect};
use crate::proto::part::Content;
use crate::root_dir::FILM;

mod broken;
mod copying;
mod exercises;
mod limits;
mod names;
mod slow;
mod small;
mod throughput;

const MIB: u64 = 1 << 20;

/// A server with a folder of its own, which is removed with it.
struct Served {
    folder: TempDir,
    url: String,
    lines: Receiver<String>,
}

impl Served {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (log, lines) = mpsc::channel(1024);
        tokio::spawn(serve(listener, RootDir::new(&folder).unwrap(), log));
        Self { folder, url, lines }
    }

    /// With one file of zeros, which takes no room on most disks.
    async fn with_file(name: &str, size: u64) -> (Self, Client) {
        let served = Self::start().await;
        let file = File::create(served.folder.path().join(name)).unwrap();
        file.set_len(size).unwrap();
        let client = served.client().await;
        (served, client)
    }

    /// A client with a connection of its own.
    async fn client(&self) -> Client {
        connect(self.url.clone()).await.unwrap()
    }

    async fn next_line(&mut self) -> String {
        soon("a line of the log", self.lines.recv()).await.unwrap()
    }

    /// Until the window of "large" is full. On a slow machine a download may wait before, too.
    async fn until_it_waits(&mut self) {
        while self.next_line().await != "large: waits for its reader at 1 MiB" {}
    }
}

#[allow(clippy::needless_update, reason = "an exercise adds a field")]
fn request(name: &str) -> DownloadRequest {
    DownloadRequest {
        name: name.to_owned(),
        ..DownloadRequest::default()
    }
}

async fn download(files: &mut Client, name: &str) -> Result<Streaming<Part>, Status> {
    let begun = files.download(request(name));
    Ok(soon("a download to begin", begun).await?.into_inner())
}

/// Reads to the end as the client does. Returns how many bytes came.
async fn read_all(parts: Streaming<Part>) -> Result<u64, Status> {
    let mut all = 0;
    let read = read_download(parts, |received, _| all = received);
    soon("a download to end", read).await?;
    Ok(all)
}
