//! The exercises.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream;
use prost::Message;
use wire::testing::{framed, post};

use super::*;
use crate::copy::write_ahead;
use crate::tests::slow::serve_instead;

#[tokio::test]
#[ignore = "exercise 1: an upload of any size"]
async fn exercise_1_inspects_an_upload_and_keeps_none_of_it() {
    let mut files = Served::start().await.client().await;
    for count in [0, 1, 200] {
        let upload = (0..count).map(|number| vec![number; CHUNK]);
        let all = upload.clone().collect::<Vec<_>>().concat();
        let chunks = stream::iter(upload.map(|data| Chunk { data }));
        let reply = soon("a reply", files.inspect(chunks)).await;
        let reply = reply.unwrap_or_else(|status| panic!("{count} chunks: {status}"));
        let expected = InspectReply {
            size: all.len() as u64,
            checksum: crc32fast::hash(&all),
        };
        assert_eq!(
            reply.into_inner(),
            expected,
            "size and checksum of {count} chunks"
        );
    }
    // A chunk may be empty, and is a chunk all the same.
    let chunks = [&b"har"[..], b"", b"bour"].map(|data| Chunk {
        data: data.to_vec(),
    });
    let reply = files.inspect(stream::iter(chunks)).await.unwrap();
    let checksum = reply.into_inner().checksum;
    assert_eq!(
        checksum,
        crc32fast::hash(b"harbour"),
        "with an empty chunk in the middle"
    );
}

/// Takes chunks, and sends back as many as it is told to.
struct Held {
    taken: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Files for Held {
    async fn copy(
        &self,
        request: Request<Streaming<Chunk>>,
    ) -> Result<Response<BoxStream<Chunk>>, Status> {
        let (copies, stream) = mpsc::unbounded_channel();
        let (taken, mut chunks) = (self.taken.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(chunk)) = chunks.message().await {
                // An empty one only makes the server begin.
                if !chunk.data.is_empty() {
                    taken.fetch_add(1, Ordering::SeqCst);
                    let _ = copies.send(Ok(chunk));
                }
            }
        });
        let permits = self.permits.clone();
        let stream = tokio_stream::wrappers::UnboundedReceiverStream::new(stream);
        let stream = futures::StreamExt::then(stream, move |chunk| {
            let permits = permits.clone();
            async move {
                permits.acquire_owned().await.unwrap().forget();
                chunk
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

#[tokio::test]
#[ignore = "exercise 2: a writer that isn't too far ahead"]
async fn exercise_2_writes_a_few_chunks_ahead_and_no_more() {
    let mut files = Served::start().await.client().await;
    for (chunks, ahead) in [(128, 8), (128, 1), (3, 8), (0, 8)] {
        let copied = soon("a copy", write_ahead(&mut files, chunks, ahead)).await;
        let copied = copied.map_err(|status| status.to_string());
        let what = "how many bytes come back of so many chunks";
        assert_eq!(copied, Ok(chunks * CHUNK), "{what}: {chunks}");
    }

    let (taken, permits) = (Arc::default(), Arc::new(Semaphore::new(0)));
    let url = serve_instead(Held {
        taken: Arc::clone(&taken),
        permits: permits.clone(),
    });
    let mut files = connect(url.await).await.unwrap();
    let copy = tokio::spawn(async move { write_ahead(&mut files, 20, 8).await });
    let (mut back, what) = (0, "chunks that the server has got, of which it sent back");
    for more in [0, 1, 5, 6] {
        permits.add_permits(more);
        back += more;
        let expected = 20.min(back + 8);
        let sent = async {
            while taken.load(Ordering::SeqCst) < expected {
                task::yield_now().await
            }
        };
        let sent = timeout(Duration::from_secs(5), sent).await;
        let got = taken.load(Ordering::SeqCst);
        assert!(
            sent.is_ok(),
            "{what} {back}: expected {expected}, got {got}"
        );
        // Time for one too many.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(taken.load(Ordering::SeqCst), expected, "{what} {back}");
    }
    permits.add_permits(8);
    let copied = soon("the rest", copy).await.unwrap();
    assert_eq!(copied.unwrap(), 20 * CHUNK);
}

/// [`DownloadRequest`] as exercise 3 wants it.
#[derive(Clone, PartialEq, Message)]
struct NewRequest {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint64, tag = "2")]
    offset: u64,
}

#[tokio::test]
#[ignore = "exercise 3: a download that goes on where it broke off"]
async fn exercise_3_a_download_goes_on_at_an_offset() {
    let served = Served::start().await;
    RootDir::with_film(served.folder.path().to_str().unwrap()).unwrap();
    let film = fs::read(served.folder.path().join(FILM.0)).unwrap();
    for offset in [0, 1, CHUNK, film.len() / 2 + 1, film.len()] {
        let reply = download_from(&served, FILM.0, offset as u64).await;
        let mut data = Vec::new();
        for message in &reply.messages {
            match Part::decode(message.clone()).unwrap().content {
                Some(Content::Size(size)) => {
                    assert_eq!(
                        size,
                        film.len() as u64,
                        "offset {offset}: size of the whole"
                    );
                }
                Some(Content::Data(more)) => data.extend(more),
                Some(Content::Checksum(checksum)) => {
                    let expected = crc32fast::hash(&film[offset..]);
                    assert_eq!(
                        checksum, expected,
                        "offset {offset}: checksum of what is sent"
                    );
                }
                None => panic!("offset {offset}: a part without content"),
            }
        }
        assert_eq!(
            data.len(),
            film.len() - offset,
            "offset {offset}: bytes sent"
        );
        assert!(
            data == film[offset..],
            "offset {offset}: these are other bytes"
        );
        assert_eq!(reply.status(), Some("OK"), "offset {offset}");
    }
    for offset in [film.len() as u64 + 1, u64::MAX] {
        let status = download_from(&served, FILM.0, offset).await.status();
        assert_eq!(
            status,
            Some("OUT_OF_RANGE"),
            "offset {offset}, which is past the end"
        );
    }
    // What the client has already is not read once more: that would take minutes here.
    let huge = File::create(served.folder.path().join("huge")).unwrap();
    huge.set_len(1 << 38).unwrap();
    let reply = download_from(&served, "huge", (1 << 38) - 3).await;
    assert_eq!(
        reply.messages.len(),
        3,
        "size, data and checksum of a file's last three bytes"
    );
}

async fn download_from(served: &Served, name: &str, offset: u64) -> wire::testing::RawReply {
    let name = name.to_owned();
    let request = framed(&NewRequest { name, offset }.encode_to_vec());
    post(&served.url, "/files.v1.Files/Download", request).await
}
