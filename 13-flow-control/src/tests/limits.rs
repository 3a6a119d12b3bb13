//! What readers who don't read can keep from others.

use tokio::runtime::Builder;
use tonic::transport::Endpoint;

use super::*;
use crate::proto::files_client::FilesClient;

#[tokio::test]
async fn opening_waits_for_no_stalled_reader() {
    let (mut served, _near) = Served::with_file("large", 8 * MIB).await;
    let mut stalled = Vec::new();
    for _ in 0..MAX_DOWNLOADS {
        // On connections of their own: a few windows fill that of a connection.
        let mut files = served.client().await;
        stalled.push(download(&mut files, "large").await.unwrap());
    }
    let mut files = served.client().await;
    for name in ["large", "nothing"] {
        let one_more = download(&mut files, name).await.unwrap_err();
        assert_eq!(
            one_more.code(),
            Code::ResourceExhausted,
            "{name}: {one_more}"
        );
    }
    for _ in 0..MAX_DOWNLOADS {
        let line = served.next_line().await;
        assert_eq!(line, "large: waits for its reader at 1 MiB");
    }
    // Hanging up makes room.
    stalled.pop();
    assert_eq!(served.next_line().await, "large: the client went away");
    let parts = download(&mut files, "large").await.unwrap();
    assert_eq!(read_all(parts).await.unwrap(), 8 * MIB);
}

#[tokio::test]
async fn a_reader_who_takes_nothing_for_a_minute_loses_the_download() {
    let (mut served, _near) = Served::with_file("large", 8 * MIB).await;
    let parts = without_deadline(&served).await;
    served.until_it_waits().await;
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    assert_eq!(
        served.next_line().await,
        "large: nobody has read for a minute"
    );
    let waited = before.elapsed();
    assert!((59..62).contains(&waited.as_secs()), "it waited {waited:?}");
    tokio::time::resume();
    let status = read_all(parts).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted, "{status}");
}

#[tokio::test]
async fn readers_who_never_read_do_not_keep_out_others_for_ever() {
    let (mut served, _near) = Served::with_file("large", 8 * MIB).await;
    let mut stalled = Vec::new();
    for _ in 0..MAX_DOWNLOADS {
        stalled.push(without_deadline(&served).await);
    }
    for _ in 0..MAX_DOWNLOADS {
        let line = served.next_line().await;
        assert_eq!(line, "large: waits for its reader at 1 MiB");
    }
    tokio::time::pause();
    for _ in 0..MAX_DOWNLOADS {
        let line = served.next_line().await;
        assert_eq!(line, "large: nobody has read for a minute");
    }
    tokio::time::resume();
    // They are still connected, and hold nothing any more.
    for _ in 0..MAX_DOWNLOADS {
        let mut files = served.client().await;
        let parts = download(&mut files, "large").await.unwrap();
        assert_eq!(read_all(parts).await.unwrap(), 8 * MIB);
    }
    for parts in stalled {
        let status = read_all(parts).await.unwrap_err();
        assert_eq!(status.code(), Code::Aborted, "{status}");
        assert_eq!(status.message(), "nobody has read for a minute");
    }
}

/// One thread for all that blocks, and it is taken.
#[test]
fn a_slow_disk_does_not_hold_up_other_calls() {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (_served, mut files) = Served::with_file("small", 10).await;
        let (free, taken) = std::sync::mpsc::channel::<()>();
        let disk = task::spawn_blocking(move || taken.recv());
        let mut other = files.clone();
        let mut opening = Box::pin(download(&mut other, "small"));
        let copied = copy::write_and_read(&mut files, 4);
        tokio::select! {
            biased;
            opened = &mut opening => panic!("it was opened on the runtime's thread: {opened:?}"),
            copied = soon("a copy", copied) => assert_eq!(copied.unwrap(), 4 * CHUNK),
        }
        let waits = timeout(Duration::from_millis(200), &mut opening).await;
        assert!(waits.is_err(), "it was opened on the runtime's thread");
        free.send(()).unwrap();
        disk.await.unwrap().unwrap();
        let parts = opening.await.unwrap();
        assert_eq!(read_all(parts).await.unwrap(), 10);
    });
}

/// A download of "large" that nothing but the server ends.
async fn without_deadline(served: &Served) -> Streaming<Part> {
    let endpoint = Endpoint::from_shared(served.url.clone()).unwrap();
    let endpoint = endpoint.initial_stream_window_size(WINDOW);
    let mut files = FilesClient::new(endpoint.connect().await.unwrap());
    let begun = files.download(request("large"));
    soon("a download", begun).await.unwrap().into_inner()
}
