//! Small messages that nobody reads: the connection is cut, long before a window is full.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::{StreamExt, stream};
use tonic::transport::Server;

use super::*;
use crate::proto::files_client::FilesClient;

/// Answers `Copy` with one chunk after the other, all of a size, without end.
struct Fountain {
    size: usize,
    sent: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

/// Tells when the stream is dropped.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tonic::async_trait]
impl Files for Fountain {
    async fn copy(
        &self,
        _: Request<Streaming<Chunk>>,
    ) -> Result<Response<BoxStream<Chunk>>, Status> {
        let (data, sent) = (vec![0; self.size], self.sent.clone());
        let over = Over(self.is_over.clone());
        let chunks = stream::repeat_with(move || {
            let _over = &over;
            sent.fetch_add(1, Ordering::SeqCst);
            Ok(Chunk { data: data.clone() })
        });
        // One at a time, or tonic would put many small messages into one frame.
        let chunks = chunks.then(async |chunk| {
            task::yield_now().await;
            chunk
        });
        Ok(Response::new(Box::pin(chunks)))
    }
}

/// Reads nothing until the server has sent `unread` messages or is cut off. Then reads on, and says
/// how that ended.
async fn drink(size: usize, unread: u64) -> Result<u64, Status> {
    let (sent, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let fountain = Fountain {
        size,
        sent: sent.clone(),
        is_over: is_over.clone(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(FilesServer::new(fountain));
    tokio::spawn(server.serve_with_incoming(conform::server::incoming(listener)));
    // The windows that tonic has by itself.
    let mut files = FilesClient::connect(url).await.unwrap();
    let mut chunks = files.copy(stream::pending()).await.unwrap().into_inner();
    let held_up = async {
        while sent.load(Ordering::SeqCst) < unread && !is_over.load(Ordering::SeqCst) {
            task::yield_now().await;
        }
    };
    soon("a full window, or the end", held_up).await;
    let more = 4 * MIB / size as u64;
    for read in 0..more {
        if soon("a chunk", chunks.message()).await?.is_none() {
            return Ok(read);
        }
    }
    Ok(more)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tonic_alone_cuts_a_connection_on_which_small_messages_lie_unread() {
    // However many: what was sent may still be on its way, where nobody counts it.
    let status = drink(2, u64::MAX).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_kib_may_lie_unread() {
    // A full window. Some bytes of each message are its prefixes.
    drink(1024, 2 * MIB / (1024 + 32)).await.unwrap();
}
