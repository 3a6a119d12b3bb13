//! What all tests of status codes need, and the exercises.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::timeout;
use tonic::{Code, Status};

use super::*;
use crate::archive::PageRange;
use crate::archive::archive_client::ArchiveClient;
use crate::provoke::{ending, provoke, read, with_card};

mod layers;
mod peers;
mod rules;
mod sizes;
mod table;

type Stub = ArchiveClient<Connection>;

/// Serves on a free port and returns where.
async fn start() -> Endpoint {
    let (listener, endpoint) = bind().await;
    tokio::spawn(serve(listener));
    endpoint
}

/// The same archive, served by tonic without a layer.
async fn start_plain() -> Endpoint {
    let (listener, endpoint) = bind().await;
    tokio::spawn(
        Server::builder()
            .add_service(ArchiveServer::new(ReadingRoom::default()))
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    endpoint
}

async fn bind() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, Endpoint::from_shared(url).unwrap())
}

/// A stub with this lesson's layers, on a server with this lesson's layers.
async fn stub() -> Stub {
    ArchiveClient::new(corrected(&start().await))
}

/// A connection, with the client's corrections, to a server that gives every call this answer.
fn answers(answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static) -> Connection {
    let server = tower::service_fn(move |_: Request<Body>| {
        let answer = answer();
        async move { Ok::<_, Infallible>(answer) }
    });
    let client = ServiceBuilder::new()
        .layer(ClientCorrectionLayer::new(LIMIT))
        .service(server);
    BoxCloneSyncService::new(client)
}

/// Waits for what must come soon. The time is a guard, not a measure.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future).await.unwrap()
}

#[tokio::test]
#[ignore = "exercise 1: copy pages, and find the right code for each rule"]
async fn exercise_1_gives_each_rule_of_the_copier_its_code() {
    let mut archive = stub().await;
    let mut copy = async |title: &str, first, last| {
        let title = title.to_owned();
        let range = with_card(PageRange { title, first, last });
        let copies = archive.copy_pages(range).await;
        copies.map(|copies| copies.into_inner().pages)
    };
    for (title, first, last, code) in [
        ("codex", 0, 1, Code::InvalidArgument),
        ("codex", 3, 1, Code::InvalidArgument),
        ("atlas", 3, 1, Code::InvalidArgument),
        ("atlas", 1, 1, Code::NotFound),
        ("secret", 1, 1, Code::PermissionDenied),
        ("letters", 1, 1, Code::FailedPrecondition),
        ("letters", 1, 99, Code::FailedPrecondition),
        ("codex", 3, 4, Code::OutOfRange),
        ("codex", 1, 3, Code::DataLoss),
    ] {
        let status = copy(title, first, last).await.unwrap_err();
        assert_eq!(status.code(), code, "{title}, {first} to {last}: {status}");
    }
    // None of these used paper. There are ten sheets.
    for _ in 0..10 {
        assert_eq!(copy("codex", 3, 3).await.unwrap(), [""]);
    }
    let status = copy("codex", 1, 1).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let status = copy("codex", 0, 1).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}

#[tokio::test]
#[ignore = "exercise 2: correct the code for a reply in an unknown encoding"]
async fn exercise_2_a_reply_in_an_unknown_encoding_is_an_internal_error() {
    for (encoding, code) in [("brotli", Code::Internal), ("identity", Code::NotFound)] {
        let answer = move || {
            let mut answer = Status::not_found("").into_http();
            let headers = answer.headers_mut();
            headers.insert("grpc-encoding", encoding.parse().unwrap());
            answer
        };
        assert_eq!(read(answers(answer)).await.code(), code, "{encoding}");
    }
    // A server's own verdict is not for a client to correct.
    let refusal = || Status::unimplemented("").into_http();
    assert_eq!(read(answers(refusal)).await.code(), Code::Unimplemented);
}
