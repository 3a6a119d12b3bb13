//! What happens when one side stops reading: the other stops writing, and goes on when it reads.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt, stream};
use tokio::sync::Notify;
use wire::{Direction, Tap};

use super::*;

/// How many bytes of data have gone to the client.
fn bytes_on_the_wire(tap: &Tap) -> u64 {
    let frames = tap.frames().into_iter();
    let data = frames.filter(|it| it.direction == Direction::ToClient && it.role().is_none());
    data.filter(|it| it.call.is_some())
        .map(|it| u64::from(it.length))
        .sum()
}

#[tokio::test]
async fn a_server_stops_sending_when_its_client_stops_reading() {
    let (mut served, _near) = Served::with_file("large", 8 * MIB).await;
    let tap = Tap::start(&served.url).await.unwrap();
    let mut files = connect(tap.url()).await.unwrap();
    let parts = download(&mut files, "large").await.unwrap();
    // Between the file and the window there's room for a few chunks.
    served.until_it_waits().await;
    let window = u64::from(WINDOW);
    let sent = bytes_on_the_wire(&tap);
    assert!(sent <= window, "{sent} bytes in a window of {window}");
    assert!(sent >= window / 2, "{sent} bytes in a window of {window}");

    assert_eq!(read_all(parts).await.unwrap(), 8 * MIB, "it goes on");
    assert_eq!(served.next_line().await, "large: handed over");
}

#[tokio::test]
async fn a_slow_reader_slows_down_nobody_else() {
    let (mut served, mut files) = Served::with_file("large", 8 * MIB).await;
    let _slow = download(&mut files, "large").await.unwrap();
    served.until_it_waits().await;
    // The same connection.
    let fast = download(&mut files, "large").await.unwrap();
    assert_eq!(read_all(fast).await.unwrap(), 8 * MIB);
}

#[tokio::test]
async fn unread_downloads_hold_up_every_call_of_their_connection() {
    let (served, mut files) = Served::with_file("large", 8 * MIB).await;
    let mut unread = Vec::new();
    for _ in 0..=CONNECTION_WINDOW / WINDOW {
        unread.push(download(&mut files, "large").await.unwrap());
    }
    // Together they fill the connection's window, and no data has room any more.
    soon("a full window", async {
        let mut other = files.clone();
        let second = Duration::from_secs(1);
        while timeout(second, copy::write_and_read(&mut other, 1))
            .await
            .is_ok()
        {}
    })
    .await;
    // The server is well: another connection has room.
    let mut near = served.client().await;
    let copied = soon("a copy elsewhere", copy::write_and_read(&mut near, 1)).await;
    assert_eq!(copied.unwrap(), CHUNK);
    // Here, room comes from reading, or from hanging up.
    unread.truncate(2);
    let copied = soon("a copy here", copy::write_and_read(&mut files, 1)).await;
    assert_eq!(copied.unwrap(), CHUNK);
}

/// Reads the requests of `Copy` only when it's told to, and counts them.
struct Late {
    go: Arc<Notify>,
    read: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Files for Late {
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

/// Serves a stand-in with the lesson's windows.
pub async fn serve_instead(files: impl Files) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = conform::server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_service(FilesServer::new(files));
    tokio::spawn(server.serve_with_incoming(conform::server::incoming(listener)));
    url
}

#[tokio::test]
async fn a_client_stops_sending_when_its_server_stops_reading() {
    let (go, read) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let late = Late {
        go: go.clone(),
        read: read.clone(),
    };
    let mut files = connect(serve_instead(late).await).await.unwrap();
    let (sender, requests) = mpsc::channel(1);
    let copies = files.copy(ReceiverStream::new(requests)).await.unwrap();
    // A write that doesn't come back within a second waits for room.
    let mut written = 0;
    while let Ok(room) = timeout(Duration::from_secs(1), sender.reserve()).await {
        let data = vec![0; CHUNK];
        room.unwrap().send(Chunk { data });
        written += CHUNK;
        tokio::task::yield_now().await;
    }
    let window = WINDOW as usize;
    let few = 4 * CHUNK;
    assert!(
        (window / 2..=window + few).contains(&written),
        "{written} bytes written"
    );
    // All these writes have returned, and the server has read none of them.
    assert_eq!(read.load(Ordering::SeqCst), 0);

    go.notify_one();
    drop(sender);
    let mut copies = copies.into_inner();
    let mut back = 0;
    while let Some(Chunk { data }) = soon("a copy", copies.message()).await.unwrap() {
        back += data.len();
    }
    assert_eq!(back, written);
}
