//! What a download promises, and the exercises.

use std::fs::{self, File};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Channel;

use super::*;
use crate::download::{Download, Received};
use crate::files::archive_client::ArchiveClient;
use crate::screen::Quarters;
use crate::windows::{AHEAD, endpoint};

mod broken;
mod copying;
mod garbage;
mod names;
mod slow;
mod small;
mod throughput;

type Stub = ArchiveClient<Channel>;

/// An archive with a folder of its own, which is removed with it.
struct Served {
    folder: TempDir,
    url: String,
    lines: UnboundedReceiver<String>,
}

impl Served {
    /// Serves on a free port.
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (journal, lines) = mpsc::unbounded_channel();
        tokio::spawn(serve(listener, Shelf::new(&folder).unwrap(), journal));
        Self { folder, url, lines }
    }

    /// As `start`, with one file of zeros in the folder. It takes no room on most disks.
    async fn with(name: &str, size: u64) -> (Self, Stub) {
        let served = Self::start().await;
        let file = File::create(served.folder.path().join(name)).unwrap();
        file.set_len(size).unwrap();
        let stub = served.stub().await;
        (served, stub)
    }

    /// A stub with a connection of its own.
    async fn stub(&self) -> Stub {
        Stub::new(endpoint(&self.url).unwrap().connect().await.unwrap())
    }
}

/// Waits for what should come at once. The time is a guard against waiting for ever, not a measure.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.unwrap()
}

async fn begin(stub: &mut Stub, name: &str, received: &Received) -> Result<Download, Status> {
    Download::begin(stub, name, received.clone()).await
}

/// Reads to the end, and returns all that came.
async fn read_all(download: &mut Download) -> Result<Vec<u8>, Status> {
    let mut all = Vec::new();
    while let Some(data) = soon(download.chunk()).await? {
        all.extend(data);
    }
    Ok(all)
}

async fn refusal(stub: &mut Stub, name: &str, offset: u64) -> Status {
    let name = name.to_owned();
    let refused = stub.download(DownloadRequest { name, offset }).await;
    refused.unwrap_err()
}

#[tokio::test]
async fn a_download_is_the_file_and_its_checksum() {
    let mut served = Served::start().await;
    let mut stub = served.stub().await;
    film::store(&served.folder).unwrap();
    let film = fs::read(served.folder.path().join(film::NAME)).unwrap();
    let inside = |size: usize| film[..size].to_vec();
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, film.len()] {
        fs::write(served.folder.path().join("some"), inside(size)).unwrap();
        let mut download = begin(&mut stub, "some", &Received::default())
            .await
            .unwrap();
        assert_eq!(download.size(), size as u64);
        assert_eq!(read_all(&mut download).await.unwrap(), inside(size));
        assert_eq!(
            download.received().checksum(),
            crc32fast::hash(&film[..size])
        );
        assert_eq!(
            soon(served.lines.recv()).await.unwrap(),
            "some from 0: handed over"
        );
    }
}

#[tokio::test]
async fn a_download_goes_on_at_an_offset_and_the_checksum_is_that_of_the_whole() {
    let served = Served::start().await;
    let mut stub = served.stub().await;
    film::store(&served.folder).unwrap();
    let film = fs::read(served.folder.path().join(film::NAME)).unwrap();
    for at in [1, CHUNK - 1, CHUNK, film.len() / 2 + 1, film.len()] {
        let mut received = Received::default();
        received.add(&film[..at]);
        let mut rest = begin(&mut stub, film::NAME, &received).await.unwrap();
        assert_eq!(read_all(&mut rest).await.unwrap(), film[at..]);
        // Another first half does not go with this rest.
        let mut received = Received::default();
        received.add(&vec![0; at]);
        let mut rest = begin(&mut stub, film::NAME, &received).await.unwrap();
        assert_eq!(
            read_all(&mut rest).await.unwrap_err().code(),
            Code::DataLoss
        );
    }
}

#[tokio::test]
async fn an_offset_past_the_end_is_out_of_range() {
    let (_served, mut stub) = Served::with("short", 10).await;
    let status = refusal(&mut stub, "short", 11).await;
    assert_eq!(status.code(), Code::OutOfRange);
    let status = refusal(&mut stub, "short", u64::MAX).await;
    assert_eq!(status.code(), Code::OutOfRange);
}

#[test]
fn a_screen_that_is_no_terminal_tells_each_quarter_once() {
    let mut quarters = Quarters::new(1000, 0);
    let told: Vec<_> = (1..=1000).flat_map(|at| quarters.reach(at)).collect();
    assert_eq!(told, [25, 50, 75, 100]);
    assert_eq!(Quarters::new(1000, 500).reach(1000), [75, 100]);
    assert_eq!(Quarters::new(u64::MAX, 0).reach(u64::MAX / 2 + 1), [25, 50]);
    assert_eq!(Quarters::new(0, 0).reach(0), [] as [u64; 0]);
}

#[tokio::test]
#[ignore = "exercise 1: no more than eight downloads at a time"]
async fn exercise_1_refuses_a_ninth_download() {
    let (served, mut stub) = Served::with("large", 64 << 20).await;
    // Nobody reads them: each keeps a file open, and a thread.
    let mut open = Vec::new();
    for _ in 0..8 {
        // On connections of their own: eight windows are more than one connection has.
        let mut stub = served.stub().await;
        let film = begin(&mut stub, "large", &Received::default()).await;
        open.push(film.unwrap());
    }
    let status = soon(refusal(&mut stub, "large", 0)).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    let last = open.pop().unwrap();
    soon(last.hang_up(&mut stub)).await.unwrap();
    let ninth = async {
        loop {
            match begin(&mut stub, "large", &Received::default()).await {
                Ok(film) => return film,
                Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
            }
        }
    };
    let mut ninth = soon(ninth).await;
    soon(ninth.chunk()).await.unwrap().unwrap();
}

#[tokio::test]
#[ignore = "exercise 2: an upload of any size"]
async fn exercise_2_inspects_an_upload_and_keeps_none_of_it() {
    let served = Served::start().await;
    let mut stub = served.stub().await;
    for chunks in [0, 1, 200] {
        let upload = (0..chunks).map(|number| vec![number; CHUNK]);
        let all = upload.clone().collect::<Vec<_>>().concat();
        let chunks = upload.map(|data| Chunk { data });
        let receipt = stub.inspect(futures::stream::iter(chunks)).await.unwrap();
        let Receipt { bytes, checksum } = receipt.into_inner();
        assert_eq!(bytes, all.len() as u64);
        assert_eq!(checksum, crc32fast::hash(&all));
    }
    // A chunk may be empty, and is a chunk all the same.
    let chunks = [&b"har"[..], b"", b"bour"].map(|data| Chunk {
        data: data.to_vec(),
    });
    let receipt = stub.inspect(futures::stream::iter(chunks)).await.unwrap();
    assert_eq!(receipt.into_inner().checksum, crc32fast::hash(b"harbour"));
}
