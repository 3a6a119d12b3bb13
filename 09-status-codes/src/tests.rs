//! How calls end with the layers and without, and the exercises. `rules` has the archive's own.

use std::fmt::{Debug, Display};
use std::future::pending;

use tokio::join;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tower::util::MapResponseLayer;
use wire::Tap;
use wire::testing::{RawCall, framed, soon};

use super::*;
use crate::proto::archive_client::ArchiveClient;
use crate::proto::{Correction, Document, Page, PageNumber, PageRange};
use crate::reading_room::ReadingRoom;
use crate::requests::{correction, document, page, show_card};
use crate::retry::{advice, ask_again};

mod rules;

/// The page's table: what happens, the code of tonic alone, the code with layers on both sides.
#[tokio::test]
async fn the_layers_correct_the_codes_that_tonic_gets_wrong() {
    use Code::*;
    for (case, alone, corrected) in [
        (Case::DeadlinePasses, Cancelled, DeadlineExceeded),
        (Case::HandlerPanics, Cancelled, Unknown),
        (Case::RequestTooLarge, OutOfRange, ResourceExhausted),
        (Case::ReplyTooLarge, OutOfRange, ResourceExhausted),
        (Case::HeadersTooLarge, Unknown, Internal),
        (Case::NobodyListens, Unavailable, Unavailable),
        (Case::ConnectionCut, Unknown, Unavailable),
        (Case::WebPage, Internal, Unavailable),
    ] {
        let code = case.end(start_alone(Clumsy).await, channel_alone).await;
        assert_eq!(code, alone, "{case:?}, with tonic alone");
        let code = case.end(start(Clumsy).await, |url| channel(url).unwrap());
        assert_eq!(code.await, corrected, "{case:?}, with the layers");
    }
}

/// Both sides have a clock. Here the client has none.
#[tokio::test]
async fn the_server_ends_a_call_whose_deadline_has_passed() {
    let url = start(ReadingRoom::default()).await;
    let call = RawCall::new("/archive.v1.Archive/Order")
        .header("card", "reader")
        .header("grpc-timeout", "100m")
        .body(framed(b"\x0a\x07scrolls"));
    let reply = call.send(&url).await;
    assert_eq!(reply.status(), Some("DEADLINE_EXCEEDED"), "{reply:?}");
}

#[tokio::test]
async fn what_a_panic_said_stays_on_the_server() {
    let url = start(Clumsy).await;
    let mut archive = ArchiveClient::new(channel(url).unwrap());
    let status = archive.read_page(page("codex", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert!(!format!("{status:?}").contains("secret"), "{status:?}");
    // The connection and the server go on.
    let status = archive.read_page(page("codex", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
}

#[tokio::test]
async fn a_handler_never_sees_a_request_that_is_too_large() {
    let url = start(ReadingRoom::default()).await;
    let mut ann = reader(url);
    let large = "x".repeat(MESSAGE_LIMIT);
    let status = ann.register(document(&large)).await.unwrap_err();
    // The rule for titles would have said INVALID_ARGUMENT.
    assert_eq!(status.code(), Code::ResourceExhausted);
}

/// tonic alone panics here, in the caller's task.
#[tokio::test]
async fn malformed_details_leave_the_status_as_it_is() {
    let mut archive = ArchiveClient::new(channel(start(Clumsy).await).unwrap());
    let corrected = archive.correct(correction("codex", 1, 0, "x")).await;
    assert_eq!(code(corrected), Code::DataLoss);
}

#[test]
fn only_two_codes_say_that_asking_again_can_help() {
    for number in 0..=16 {
        let code = Code::from_i32(number);
        let expected = match code {
            Code::Ok => "",
            Code::Unavailable => "try again",
            Code::Aborted => "start over",
            _ => "give up",
        };
        assert_eq!(advice(code), expected, "{code:?}");
    }
}

#[tokio::test]
#[ignore = "exercise 1: copy pages, and choose the codes"]
async fn exercise_1_each_rule_of_the_copier_has_its_code() {
    let url = start(ReadingRoom::default()).await;
    let mut ann = reader(url.clone());
    let mut copy = async |title: &str, first, last| {
        let title = title.to_owned();
        let copies = ann.copy_pages(PageRange { title, first, last }).await;
        copies.map(|copies| copies.into_inner().pages)
    };
    let rules = [
        ("codex", 0, 1, Code::InvalidArgument),
        ("codex", 3, 1, Code::InvalidArgument),
        ("atlas", 3, 1, Code::InvalidArgument),
        ("atlas", 1, 1, Code::NotFound),
        ("secret", 1, 1, Code::PermissionDenied),
        ("letters", 1, 1, Code::FailedPrecondition),
        ("letters", 1, 99, Code::FailedPrecondition),
        ("codex", 3, 4, Code::OutOfRange),
        ("codex", 3, u32::MAX, Code::OutOfRange),
        ("codex", 1, 3, Code::DataLoss),
    ];
    for (title, first, last, code) in rules {
        let got = copy(title, first, last)
            .await
            .map_err(|status| status.code());
        expect(
            got,
            Err(code),
            format!("copying pages {first} to {last} of `{title}`"),
        );
    }
    for sheet in 1..=10 {
        let got = copy("codex", 3, 3).await.map_err(|status| status.code());
        let expected = Ok(vec!["The end.".to_owned()]);
        expect(
            got,
            expected,
            format!("copying page 3 of `codex`, on sheet {sheet} of 10"),
        );
    }
    for (last, code, why) in [
        (
            1,
            Code::ResourceExhausted,
            "after ten sheets there is no paper left",
        ),
        (
            0,
            Code::InvalidArgument,
            "a wrong range is wrong, with or without paper",
        ),
    ] {
        let got = copy("codex", 1, last).await.map_err(|status| status.code());
        expect(got, Err(code), why);
    }
    let mut stranger = ArchiveClient::new(channel(url).unwrap());
    let status = stranger.copy_pages(PageRange::default()).await.unwrap_err();
    expect(
        status.code(),
        Code::Unauthenticated,
        "copying without a card",
    );
}

#[tokio::test(start_paused = true)]
#[ignore = "exercise 2: ask again"]
async fn exercise_2_asks_again_while_it_can_help() {
    let lift = Code::Unavailable;
    for (codes, attempts, expected_calls, expected, expected_wait) in [
        (&[Code::Ok][..], 5, 1, Ok(()), 0),
        (&[lift, lift, Code::Ok], 5, 3, Ok(()), 300),
        (&[lift; 9], 4, 4, Err(lift), 700),
        (&[lift; 9], 1, 1, Err(lift), 0),
        (&[Code::NotFound, Code::Ok], 5, 1, Err(Code::NotFound), 0),
        (&[Code::Aborted, Code::Ok], 5, 1, Err(Code::Aborted), 0),
        (
            &[lift, Code::DataLoss, Code::Ok],
            5,
            2,
            Err(Code::DataLoss),
            100,
        ),
    ] {
        let (mut calls, begin) = (0, Instant::now());
        let result = ask_again(attempts, async || {
            let code = codes[calls];
            calls += 1;
            match code {
                Code::Ok => Ok(()),
                code => Err(Status::new(code, "")),
            }
        });
        let result = result.await.map_err(|status| status.code());
        let waited = begin.elapsed().as_millis();
        let case = format!("{attempts} attempts, and calls that end with {codes:?}");
        expect(
            calls,
            expected_calls,
            format!("the number of calls, for {case}"),
        );
        expect(result, expected, format!("what you return, for {case}"));
        // A millisecond is how exactly tokio's clock ticks.
        let right = (expected_wait..expected_wait + 10).contains(&waited);
        assert!(
            right,
            "waited {waited} ms instead of {expected_wait}, for {case}"
        );
    }
}

#[tokio::test]
#[ignore = "exercise 3: read a page only if it has not changed"]
async fn exercise_3_a_page_can_be_read_at_a_version() {
    let url = start(ReadingRoom::default()).await;
    let read = async |version: &[u8]| {
        let request = [b"\x0a\x05codex\x10\x01", version].concat();
        let call = RawCall::new("/archive.v1.Archive/ReadPage").header("card", "reader");
        call.body(framed(&request)).send(&url).await.status()
    };
    let (any, version_0, version_1) = (&[][..], &[0x18, 0][..], &[0x18, 1][..]);
    let before = [
        (any, "OK", "an old client, which doesn't know the field"),
        (
            version_0,
            "OK",
            "a client that asks for version 0 of a page that has version 0",
        ),
        (
            version_1,
            "ABORTED",
            "a client that asks for version 1 of a page that has version 0",
        ),
    ];
    for (version, expected, who) in before {
        expect(read(version).await, Some(expected), who);
    }
    let newer = correction("codex", 1, 0, "In the beginning was a stair.");
    reader(url.clone()).correct(newer).await.unwrap();
    let after = [
        (
            any,
            "OK",
            "an old client, which takes any version: version 1 here",
        ),
        (
            version_0,
            "ABORTED",
            "a client that asks for version 0 of a page that has version 1",
        ),
        (
            version_1,
            "OK",
            "a client that asks for version 1 of a page that has version 1",
        ),
    ];
    for (version, expected, who) in after {
        expect(read(version).await, Some(expected), who);
    }
}

/// Fails with a sentence that says what was expected and what came.
#[track_caller]
fn expect<T: PartialEq + Debug>(got: T, expected: T, what: impl Display) {
    assert!(
        got == expected,
        "{what}: expected {expected:?}, got {got:?}"
    );
}

/// What can happen to a call that no handler decides.
#[derive(Debug, Clone, Copy)]
enum Case {
    DeadlinePasses,
    HandlerPanics,
    RequestTooLarge,
    ReplyTooLarge,
    HeadersTooLarge,
    NobodyListens,
    ConnectionCut,
    WebPage,
}

impl Case {
    /// Lets it happen to a call of the server at `url`, and returns the code that the caller sees.
    async fn end(self, url: String, connect: impl Fn(String) -> Connection) -> Code {
        let mut archive = ArchiveClient::new(connect(url.clone()));
        match self {
            Self::DeadlinePasses => {
                let mut request = Request::new(document("scrolls"));
                request.set_timeout(Duration::from_millis(100));
                code(soon("a call with a deadline", archive.order(request)).await)
            }
            Self::HandlerPanics => code(archive.read_page(page("codex", 1)).await),
            Self::RequestTooLarge => {
                let large = document(&"x".repeat(MESSAGE_LIMIT));
                code(archive.order(large).await)
            }
            Self::ReplyTooLarge => code(archive.register(document("codex")).await),
            Self::HeadersTooLarge => {
                let mut request = Request::new(document("codex"));
                let note = "x".repeat(20_000).parse().unwrap();
                request.metadata_mut().insert("note", note);
                code(archive.send_back(request).await)
            }
            Self::NobodyListens => {
                let (listener, url) = bind().await;
                drop(listener);
                code(
                    ArchiveClient::new(connect(url))
                        .send_back(document(""))
                        .await,
                )
            }
            Self::ConnectionCut => {
                let tap = Tap::start(url).await.unwrap();
                let mut archive = ArchiveClient::new(connect(tap.url()));
                let order = archive.order(document("scrolls"));
                let cut = async {
                    tap.wait_for(|frame| frame.is_request()).await;
                    tap.reset();
                };
                let (result, ()) = soon("a call that is cut", async { join!(order, cut) }).await;
                code(result)
            }
            Self::WebPage => {
                let mut archive = ArchiveClient::new(connect(start_web_server().await));
                code(archive.register(document("codex")).await)
            }
        }
    }
}

fn code<T>(result: Result<Response<T>, Status>) -> Code {
    result.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// Whoever wrote these handlers was in a hurry.
struct Clumsy;

#[tonic::async_trait]
impl Archive for Clumsy {
    async fn read_page(&self, _: Request<PageNumber>) -> Result<Response<Page>, Status> {
        panic!("the secret of line 7");
    }

    async fn order(&self, _: Request<Document>) -> Result<Response<Document>, Status> {
        pending().await
    }

    async fn register(&self, _: Request<Document>) -> Result<Response<Document>, Status> {
        Ok(Response::new(document(&"x".repeat(MESSAGE_LIMIT))))
    }

    async fn correct(&self, _: Request<Correction>) -> Result<Response<Page>, Status> {
        let mut headers = http::HeaderMap::new();
        headers.insert("grpc-status-details-bin", "%%%".parse().unwrap());
        let metadata = MetadataMap::from_headers(headers);
        Err(Status::with_metadata(Code::DataLoss, "", metadata))
    }
}

/// Serves `archive` on a free port, with the layers, and returns its URL.
async fn start(archive: impl Archive) -> String {
    let (listener, url) = bind().await;
    tokio::spawn(serve(listener, archive));
    url
}

/// The same with tonic alone.
async fn start_alone(archive: impl Archive) -> String {
    let (listener, url) = bind().await;
    let server = Server::builder().add_service(ArchiveServer::new(archive));
    tokio::spawn(server.serve_with_incoming(conform::server::incoming(listener)));
    url
}

/// Answers every request with a page for people.
async fn start_web_server() -> String {
    let web_page = MapResponseLayer::new(|_: http::Response<Body>| {
        let page = Body::new("<h1>come back later</h1>".to_owned());
        let head = http::Response::builder().status(503);
        head.header("content-type", "text/html").body(page).unwrap()
    });
    let (listener, url) = bind().await;
    let server = Server::builder()
        .layer(web_page)
        .add_service(ArchiveServer::new(Clumsy));
    tokio::spawn(server.serve_with_incoming(conform::server::incoming(listener)));
    url
}

async fn bind() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn channel_alone(url: String) -> Connection {
    let channel = Endpoint::new(url).unwrap().connect_lazy();
    BoxCloneSyncService::new(
        ServiceBuilder::new()
            .map_err(StdError::from)
            .service(channel),
    )
}

type Reader =
    ArchiveClient<InterceptedService<Connection, fn(Request<()>) -> Result<Request<()>, Status>>>;

/// A reader with a card.
fn reader(url: String) -> Reader {
    ArchiveClient::with_interceptor(channel(url).unwrap(), show_card)
}
