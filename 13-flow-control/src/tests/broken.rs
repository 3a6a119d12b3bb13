//! Downloads that can't be completed: none of them looks complete.

use wire::Tap;

use super::*;
use crate::tests::slow::serve_instead;

#[tokio::test]
async fn a_file_that_is_cut_short_is_no_short_success() {
    let (mut served, mut files) = Served::with_file("large", 64 * MIB).await;
    let parts = download(&mut files, "large").await.unwrap();
    served.until_it_waits().await;
    let file = File::options()
        .write(true)
        .open(served.folder.path().join("large"));
    file.unwrap().set_len(32 * MIB).unwrap();
    let status = read_all(parts).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    // What the system says is for the log, and not for the client.
    assert_eq!(status.message(), "the file can't be read to its end");
    let line = served.next_line().await;
    assert!(line.starts_with("large: can't be read: "), "{line}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_short_success() {
    let (served, _near) = Served::with_file("large", 64 * MIB).await;
    let tap = Tap::start(&served.url).await.unwrap();
    let mut files = connect(tap.url()).await.unwrap();
    let mut parts = download(&mut files, "large").await.unwrap();
    for _ in 0..20 {
        soon("a part", parts.message()).await.unwrap().unwrap();
    }
    tap.reset();
    read_all(parts).await.unwrap_err();
}

#[tokio::test]
async fn the_server_stops_reading_when_the_client_hangs_up() {
    let (mut served, mut files) = Served::with_file("large", 64 * MIB).await;
    let parts = download(&mut files, "large").await.unwrap();
    served.until_it_waits().await;
    drop(parts);
    assert_eq!(served.next_line().await, "large: the client went away");
}

#[tokio::test]
async fn the_film_and_an_empty_file_come_whole() {
    let (mut served, mut files) = Served::with_file("empty", 0).await;
    let folder = served.folder.path().to_str().unwrap();
    RootDir::with_film(folder).unwrap();
    for (name, size) in [("empty", 0), (FILM.0, u64::from(FILM.1))] {
        let parts = download(&mut files, name).await.unwrap();
        assert_eq!(read_all(parts).await.unwrap(), size);
        assert_eq!(served.next_line().await, format!("{name}: handed over"));
    }
}

/// Answers every `Download` with these parts, then OK. Or with the last part again and again.
struct Forger {
    parts: Vec<Content>,
    endless: bool,
}

#[tonic::async_trait]
impl Files for Forger {
    async fn download(
        &self,
        _: Request<DownloadRequest>,
    ) -> Result<Response<BoxStream<Part>>, Status> {
        let parts = self.parts.clone();
        let again = parts.last().cloned().filter(|_| self.endless);
        let again = std::iter::repeat_with(move || again.clone()).map_while(|it| it);
        let parts = parts.into_iter().chain(again).map(|it| {
            let content = Some(it);
            Ok(Part { content })
        });
        Ok(Response::new(Box::pin(futures::stream::iter(parts))))
    }
}

#[tokio::test]
async fn a_client_takes_nothing_but_the_whole_for_the_file() {
    let size = Content::Size;
    let data = || Content::Data(b"frames".to_vec());
    let none = || Content::Data(Vec::new());
    let right = || Content::Checksum(crc32fast::hash(b"frames"));
    for (what, endless, parts) in [
        ("the file", false, vec![size(6), data(), right()]),
        ("nothing", false, vec![]),
        ("no size", false, vec![data(), right()]),
        ("no checksum", false, vec![size(6), data()]),
        ("no data", false, vec![size(6), right()]),
        ("too little", false, vec![size(7), data(), right()]),
        ("too much", false, vec![size(5), data(), right()]),
        (
            "a wrong checksum",
            false,
            vec![size(6), data(), Content::Checksum(0)],
        ),
        ("two sizes", false, vec![size(6), size(6), data(), right()]),
        (
            "more after the checksum",
            false,
            vec![size(6), right(), data(), data()],
        ),
        ("data without end", true, vec![size(6), data()]),
        ("nothing without end", true, vec![size(6), none()]),
        ("sizes without end", true, vec![size(6)]),
        (
            "checksums without end",
            true,
            vec![size(6), data(), right()],
        ),
    ] {
        let url = serve_instead(Forger { parts, endless }).await;
        let mut files = connect(url).await.unwrap();
        let parts = download(&mut files, "any").await.unwrap();
        match read_all(parts).await {
            Ok(bytes) => assert_eq!((what, bytes), ("the file", 6)),
            Err(status) => {
                assert_ne!(what, "the file", "{status}");
                assert_eq!(status.code(), Code::DataLoss, "{what}: {status}");
            }
        }
    }
}
