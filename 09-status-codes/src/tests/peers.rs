//! Peers that go away, fall silent, reset, or speak of other things.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;
use crate::broken::{self, Harm};

/// How a search ends, once it has begun, on a server that does this harm.
async fn search(connection: Connection) -> Status {
    let mut archive = ArchiveClient::new(connection);
    match archive.search(with_card(tokio_stream::pending())).await {
        Ok(hits) => soon(hits.into_inner().message()).await.unwrap_err(),
        Err(status) => status,
    }
}

#[tokio::test]
async fn every_http_status_is_mapped_as_the_specification_maps_it() {
    for (status, code) in [
        (200, Code::Unknown),
        (302, Code::Unknown),
        (400, Code::Internal),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::Unimplemented),
        (418, Code::Unknown),
        (429, Code::Unavailable),
        (431, Code::Internal),
        (500, Code::Unknown),
        (502, Code::Unavailable),
        (503, Code::Unavailable),
        (504, Code::Unavailable),
    ] {
        let server = broken::server(Harm::WebPage(status)).await.unwrap();
        assert_eq!(read(corrected(&server)).await.code(), code, "{status}");
        // tonic takes the page's first byte, `<`, for a message's compression flag.
        assert_eq!(
            read(plain(&server)).await.code(),
            Code::Internal,
            "{status}"
        );
    }
}

/// See PROTOCOL-HTTP2, section "Errors".
#[tokio::test]
async fn a_reset_means_what_the_specification_says() {
    for (reset, code) in [
        (1, Code::Internal),
        (2, Code::Internal),
        (3, Code::Internal),
        (4, Code::Internal),
        (6, Code::Internal),
        (7, Code::Unavailable),
        (8, Code::Cancelled),
        (9, Code::Internal),
        (10, Code::Internal),
        (11, Code::ResourceExhausted),
        (12, Code::PermissionDenied),
    ] {
        let server = broken::server(Harm::Reset(reset)).await.unwrap();
        for connect in [plain, corrected] {
            assert_eq!(read(connect(&server)).await.code(), code, "{reset}");
        }
    }
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_unavailable() {
    let server = broken::server(Harm::Silence).await.unwrap();
    let server = server
        .http2_keep_alive_interval(Duration::from_millis(50))
        .keep_alive_timeout(Duration::from_millis(50));
    assert_eq!(search(corrected(&server)).await.code(), Code::Unavailable);
    assert_eq!(
        soon(read(corrected(&server))).await.code(),
        Code::Unavailable
    );
    // tonic says so only of calls whose reply has not begun.
    assert_eq!(search(plain(&server)).await.code(), Code::Unknown);
}

#[tokio::test]
async fn a_stream_that_is_cut_is_unavailable() {
    let server = broken::server(Harm::CutHalfWay).await.unwrap();
    assert_eq!(search(corrected(&server)).await.code(), Code::Unavailable);
    assert_eq!(search(plain(&server)).await.code(), Code::Unknown);
}

/// As `Case::GoingAway`, with tonic's own server, which lets calls finish that it has taken.
#[tokio::test]
async fn a_server_that_shuts_down_is_unavailable() {
    let (listener, endpoint) = bind().await;
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(
        Server::builder()
            .add_service(ArchiveServer::new(ReadingRoom::default()))
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), async {
                let _ = stopped.await;
            }),
    );
    let connection = corrected(&endpoint);
    let mut archive = ArchiveClient::new(connection.clone());
    let open = archive.search(with_card(tokio_stream::pending())).await;
    let _open = open.unwrap();
    stop.send(()).unwrap();
    // GOAWAY is on its way. Until it is here the connection takes calls.
    let status = soon(async {
        loop {
            let status = read(connection.clone()).await;
            if status.code() != Code::Ok {
                return status;
            }
        }
    });
    assert_eq!(status.await.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_call_that_came_too_late_is_unavailable() {
    let server = broken::server(Harm::Refuse).await.unwrap();
    assert_eq!(read(corrected(&server)).await.code(), Code::Unavailable);
    assert_eq!(read(plain(&server)).await.code(), Code::Internal);
}

/// What it says is no HTTP/2 frame: FRAME_SIZE_ERROR, which PROTOCOL-HTTP2 counts as INTERNAL.
#[tokio::test]
async fn a_server_that_speaks_only_http1_is_an_internal_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let server = Endpoint::from_shared(url).unwrap();
    for connect in [plain, corrected] {
        assert_eq!(read(connect(&server)).await.code(), Code::Internal);
    }
}
