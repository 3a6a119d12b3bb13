//! Downloads that cannot be completed: none of them looks complete.

use std::io::Write;

use wire::Tap;

use super::*;

/// Begins a download that nobody reads, so that most of the file is still on the disk.
async fn paused() -> (Served, Stub, Download) {
    let (served, mut stub) = Served::with("large", 64 << 20).await;
    let film = begin(&mut stub, "large", &Received::default())
        .await
        .unwrap();
    (served, stub, film)
}

#[tokio::test]
async fn a_file_that_is_cut_short_is_no_short_success() {
    let (mut served, _stub, mut film) = paused().await;
    let file = File::options()
        .write(true)
        .open(served.folder.path().join("large"));
    file.unwrap().set_len(32 << 20).unwrap();
    let status = read_all(&mut film).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    let line = soon(served.lines.recv()).await.unwrap();
    assert_eq!(line, "large from 0: the file was changed while it was sent");
}

#[tokio::test]
async fn a_file_that_changes_or_grows_is_not_sent_as_if_it_were_one() {
    for what in ["changes", "grows"] {
        let (served, _stub, mut film) = paused().await;
        let path = served.folder.path().join("large");
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let mut file = File::options()
            .append(what == "grows")
            .write(true)
            .open(path)
            .unwrap();
        file.write_all(b"another film").unwrap();
        // Clocks of some file systems are coarse.
        file.set_modified(before + Duration::from_secs(2)).unwrap();
        let status = read_all(&mut film).await.unwrap_err();
        assert_eq!(status.code(), Code::Aborted, "{what}");
    }
}

#[tokio::test]
async fn a_download_that_is_cut_goes_on_over_another_connection() {
    let served = Served::start().await;
    film::store(&served.folder).unwrap();
    let tap = Tap::start(&served.url).await.unwrap();
    let mut stub = Stub::new(endpoint(&tap.url()).unwrap().connect().await.unwrap());
    let mut film = begin(&mut stub, film::NAME, &Received::default())
        .await
        .unwrap();
    for _ in 0..20 {
        soon(film.chunk()).await.unwrap().unwrap();
    }
    tap.reset();
    read_all(&mut film).await.unwrap_err();
    let received = film.received().clone();
    assert!((20 * CHUNK as u64..film::SIZE).contains(&received.bytes()));
    let mut rest = begin(&mut served.stub().await, film::NAME, &received)
        .await
        .unwrap();
    let rest_of_it = read_all(&mut rest).await.unwrap();
    assert_eq!(received.bytes() + rest_of_it.len() as u64, film::SIZE);
}

#[tokio::test]
async fn the_server_stops_reading_when_the_client_hangs_up() {
    let (mut served, mut stub, film) = paused().await;
    soon(film.hang_up(&mut stub)).await.unwrap();
    let line = soon(served.lines.recv()).await.unwrap();
    assert_eq!(line, "large from 0: the client went away");
}

#[tokio::test]
async fn the_server_stops_reading_what_is_skipped_when_the_client_hangs_up() {
    let (mut served, mut stub) = Served::with("large", 4 << 30).await;
    let request = DownloadRequest {
        name: "large".to_owned(),
        // Seconds of reading, before there is anything to send.
        offset: 4 << 30,
    };
    drop(stub.download(request).await.unwrap());
    let line = soon(served.lines.recv()).await.unwrap();
    assert_eq!(
        line,
        format!("large from {}: the client went away", 4_u64 << 30)
    );
}

/// Answers every `Download` with these parts, and a status that says all went well.
struct Forger(Vec<Content>);

#[tonic::async_trait]
impl Archive for Forger {
    async fn download(
        &self,
        _: Request<DownloadRequest>,
    ) -> Result<Response<BoxStream<Part>>, Status> {
        let parts: Vec<_> = self.0.iter().cloned().map(|it| Ok(it.into())).collect();
        Ok(Response::new(Box::pin(futures::stream::iter(parts))))
    }
}

#[tokio::test]
async fn a_client_takes_nothing_but_the_whole_for_the_file() {
    let opened = |size| Content::Opened(files::Opened { size, ticket: 1 });
    let data = || Content::Data(b"frames".to_vec());
    let right = Content::Checksum(crc32fast::hash(b"frames"));
    for (is_good, parts) in [
        (true, vec![opened(6), data(), right.clone()]),
        (false, vec![]),
        (false, vec![data(), right.clone()]),
        (false, vec![opened(6), data()]),
        (false, vec![opened(6), right.clone()]),
        (false, vec![opened(7), data(), right.clone()]),
        (false, vec![opened(6), data(), Content::Checksum(0)]),
        (false, vec![opened(6), opened(6), data(), right.clone()]),
        (false, vec![opened(6), data(), right.clone(), data()]),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder().add_service(ArchiveServer::new(Forger(parts.clone())));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        let mut stub = Stub::connect(url).await.unwrap();
        let read = async {
            let mut film = begin(&mut stub, "any", &Received::default()).await?;
            read_all(&mut film).await
        };
        match read.await {
            Ok(all) => assert!(is_good && all == b"frames", "{parts:?}"),
            Err(status) => assert!(!is_good && status.code() == Code::DataLoss, "{parts:?}"),
        }
    }
}
