//! What happens when one side stops reading: the other stops writing, and goes on when reading does.

use std::sync::atomic::AtomicU64;

use futures::stream;
use tokio::sync::Notify;

use super::*;
use crate::copy::write_and_read;
use crate::windows::{CONNECTION_WINDOW, WINDOW};

/// Waits until much lies unread, and then looks a hundred times more.
async fn assert_stays_within_the_window(stub: &mut Stub, film: &Download) {
    // A reader tells that there is room again when half of the window is free, and not before.
    let much = u64::from(WINDOW) / 2 - CHUNK as u64;
    soon(async { while film.ahead(stub).await.unwrap() < much {} }).await;
    for _ in 0..100 {
        let ahead = film.ahead(stub).await.unwrap();
        assert!(ahead <= AHEAD, "ahead by {ahead} bytes");
    }
}

#[tokio::test]
async fn a_server_stops_sending_when_its_client_stops_reading() {
    let (_served, mut stub) = Served::with("large", 1 << 30).await;
    let film = begin(&mut stub, "large", &Received::default())
        .await
        .unwrap();
    assert_stays_within_the_window(&mut stub, &film).await;
}

#[tokio::test]
async fn all_goes_on_when_reading_does() {
    let (_served, mut stub) = Served::with("large", 8 << 20).await;
    let mut film = begin(&mut stub, "large", &Received::default())
        .await
        .unwrap();
    for pause in 1..=6 {
        while film.received().bytes() < pause << 20 {
            soon(film.chunk()).await.unwrap().unwrap();
        }
        assert_stays_within_the_window(&mut stub, &film).await;
    }
    // The end comes with a checksum.
    let rest = read_all(&mut film).await.unwrap();
    assert!(rest.len() <= 2 << 20);
    assert_eq!(film.received().bytes(), 8 << 20);
}

#[tokio::test]
async fn a_slow_reader_slows_down_nobody_else() {
    let (_served, mut stub) = Served::with("large", 8 << 20).await;
    let slow = begin(&mut stub, "large", &Received::default())
        .await
        .unwrap();
    assert_stays_within_the_window(&mut stub, &slow).await;
    // The same connection.
    let mut fast = begin(&mut stub, "large", &Received::default())
        .await
        .unwrap();
    assert_eq!(read_all(&mut fast).await.unwrap().len(), 8 << 20);
}

#[tokio::test]
async fn unread_downloads_hold_up_every_call_of_their_connection() {
    let (served, mut stub) = Served::with("large", 8 << 20).await;
    let mut open = Vec::new();
    for _ in 0..=CONNECTION_WINDOW / WINDOW {
        let (name, offset) = ("large".to_owned(), 0);
        open.push(
            stub.download(DownloadRequest { name, offset })
                .await
                .unwrap(),
        );
    }
    // Together they fill the window of the connection, and an answer has no room any more.
    let first = Ticket { number: 1 };
    let full = async {
        while timeout(Duration::from_secs(1), stub.progress(first))
            .await
            .is_ok()
        {}
    };
    soon(full).await;
    // The server is well: another connection has room.
    let mut other = served.stub().await;
    soon(other.progress(first)).await.unwrap();
    // Here, room comes from reading, or from hanging up.
    open.truncate(2);
    soon(stub.progress(first)).await.unwrap();
}

/// An archive that reads the requests of `Copy` only when it is told to, and counts them.
struct Late {
    go: Arc<Notify>,
    read: Arc<AtomicU64>,
}

#[tonic::async_trait]
impl Archive for Late {
    async fn copy(
        &self,
        request: Request<Streaming<Chunk>>,
    ) -> Result<Response<BoxStream<Chunk>>, Status> {
        let (go, read) = (self.go.clone(), self.read.clone());
        let requests = stream::once(async move {
            go.notified().await;
            request.into_inner()
        });
        let requests = requests.flatten().inspect(move |_| {
            read.fetch_add(1, Ordering::SeqCst);
        });
        Ok(Response::new(Box::pin(requests)))
    }
}

#[tokio::test]
async fn a_client_stops_sending_when_its_server_stops_reading() {
    let (go, read) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
    let late = Late {
        go: go.clone(),
        read: read.clone(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_service(ArchiveServer::new(late));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let mut stub = Stub::new(endpoint(&url).unwrap().connect().await.unwrap());

    let (written, mut other) = (Arc::new(AtomicU64::new(0)), stub.clone());
    let count = written.clone();
    let copy = tokio::spawn(async move { write_and_read(&mut other, 128, &count).await });
    let full = u64::from(WINDOW) - CHUNK as u64;
    // Each call goes to the server and back, and lets the others get on.
    let look = async || {
        stub.clone().progress(Ticket::default()).await.unwrap_err();
        written.load(Ordering::SeqCst)
    };
    soon(async { while look().await < full {} }).await;
    for _ in 0..100 {
        let ahead = look().await;
        assert!(ahead <= AHEAD, "ahead by {ahead} bytes");
    }
    // All these writes have returned, and the server has read none of them.
    assert_eq!(read.load(Ordering::SeqCst), 0);

    go.notify_one();
    assert_eq!(soon(copy).await.unwrap().unwrap(), 128 * CHUNK as u64);
    stub.progress(Ticket::default()).await.unwrap_err();
}

#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "benchmark: prints how much memory a download of a GiB takes, with pauses"]
async fn benchmark_memory_stays_bounded_however_large_the_file() {
    /// The most memory that this process has had so far, in KiB.
    fn peak() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|it| it.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
    for mib in [16, 1024] {
        let (_served, mut stub) = Served::with("large", mib << 20).await;
        let before = peak();
        let mut film = begin(&mut stub, "large", &Received::default())
            .await
            .unwrap();
        for quarter in 0..4 {
            while film.received().bytes() < (quarter * mib) << 18 {
                soon(film.chunk()).await.unwrap().unwrap();
            }
            assert_stays_within_the_window(&mut stub, &film).await;
        }
        while soon(film.chunk()).await.unwrap().is_some() {}
        let more = peak() - before;
        println!("{mib} MiB, read with pauses: {more} KiB of memory more than before");
        assert!(more < 32 * 1024);
    }
}
