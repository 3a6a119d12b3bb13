use std::io;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::codegen::http::StatusCode;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, ConnectError};

use super::*;
use crate::testing::{
    Frames, Served, call, channel, endpoint, framed, h2_peer, peer, read, replies, serve, soon,
    unary,
};

#[tokio::test]
async fn a_connection_that_breaks_before_the_response_is_unavailable() {
    let server = closing_peer().await;
    let status = call(ClientStatus::new(server.channel()), "hello").await;
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn tonic_alone_does_not_call_a_connection_that_breaks_unavailable() {
    let server = closing_peer().await;
    let status = call(server.channel(), "hello").await.unwrap_err();
    assert_ne!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn a_connection_that_breaks_between_messages_is_unavailable_after_them() {
    let server = half_reply_peer().await;
    let (seen, end) = read(ClientStatus::new(server.channel())).await;
    assert_eq!(seen, ["first"]);
    let status = end.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().starts_with("connection lost: "));
    let cause = status.source().expect("the cause is kept");
    assert!(cause.is::<Status>(), "{cause:?}");
}

#[tokio::test]
async fn tonic_alone_calls_a_connection_that_breaks_between_messages_unknown() {
    let server = half_reply_peer().await;
    let (_, end) = read(server.channel()).await;
    assert_eq!(end.unwrap_err().code(), Code::Unknown);
}

#[tokio::test]
async fn nobody_at_the_address_is_unavailable_and_the_cause_is_kept() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let channel = ClientStatus::new(endpoint(address).connect_lazy());
    let status = call(channel, "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(explain(&status).contains("refused"), "{status}");
}

#[tokio::test]
async fn a_server_of_http_1_is_unavailable() {
    let server = peer(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let status = call(ClientStatus::new(server.channel()), "hello").await;
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_call_above_the_last_stream_of_a_goaway_is_unavailable() {
    for reason in [h2::Reason::NO_ERROR, h2::Reason::ENHANCE_YOUR_CALM] {
        let server = goaway_peer(reason).await;
        let status = call(ClientStatus::new(server.channel()), "hello").await;
        let status = status.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{reason:?}: {status}");
    }
}

#[tokio::test]
async fn tonic_alone_does_not_call_it_unavailable() {
    let server = goaway_peer(h2::Reason::NO_ERROR).await;
    let status = call(server.channel(), "hello").await.unwrap_err();
    assert_ne!(status.code(), Code::Unavailable, "{status}");
}

/// hyper's error for a call that is put on a connection just as that closes.
pub(crate) async fn operation_was_canceled() -> hyper::Error {
    let (io, _peer) = tokio::io::duplex(1024);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io))
            .await
            .unwrap();
    drop(connection);
    let request = Request::new(Body::default());
    soon(sender.send_request(request)).await.unwrap_err()
}

#[tokio::test]
async fn a_call_on_a_connection_that_has_just_closed_is_unavailable() {
    let error = std::sync::Arc::new(std::sync::Mutex::new(Some(operation_was_canceled().await)));
    let closed = channel(move |_| Err(error.lock().unwrap().take().unwrap()));
    let status = call(ClientStatus::new(closed), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn tonic_alone_calls_it_cancelled() {
    let status = Status::from_error(operation_was_canceled().await.into());
    assert_eq!(status.code(), Code::Cancelled);
}

#[tokio::test]
async fn a_peer_that_no_longer_answers_pings_is_unavailable() {
    for with_headers in [false, true] {
        let server = silent_peer(with_headers).await;
        let (_, end) = read(ClientStatus::new(with_keepalive(&server))).await;
        let status = end.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{with_headers}: {status}");
    }
}

#[tokio::test]
async fn tonic_alone_calls_a_stream_without_pings_unknown() {
    let server = silent_peer(true).await;
    let (_, end) = read(with_keepalive(&server)).await;
    assert_eq!(end.unwrap_err().code(), Code::Unknown);
}

fn with_keepalive(server: &Served) -> Channel {
    server
        .endpoint()
        .http2_keep_alive_interval(Duration::from_millis(100))
        .keep_alive_timeout(Duration::from_millis(100))
        .connect_lazy()
}

fn with_connector_that_hangs() -> Channel {
    tonic::transport::Endpoint::from_static("http://nowhere")
        .connect_timeout(Duration::from_millis(50))
        .connect_with_connector_lazy(tower::service_fn(|_| {
            std::future::pending::<io::Result<TokioIo<TcpStream>>>()
        }))
}

#[tokio::test]
async fn a_connector_that_takes_too_long_is_unavailable() {
    let status = call(ClientStatus::new(with_connector_that_hangs()), "hello").await;
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn tonic_alone_calls_a_connector_that_takes_too_long_unknown() {
    let status = call(with_connector_that_hangs(), "hello").await;
    assert_eq!(status.unwrap_err().code(), Code::Unknown);
}

#[tokio::test]
async fn the_timeout_of_an_endpoint_is_deadline_exceeded() {
    let server = silent_peer(false).await;
    let endpoint = server.endpoint().timeout(Duration::from_millis(50));
    let status = call(ClientStatus::new(endpoint.connect_lazy()), "hello").await;
    assert_eq!(status.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn tonic_alone_calls_the_timeout_of_an_endpoint_cancelled() {
    let server = silent_peer(false).await;
    let endpoint = server.endpoint().timeout(Duration::from_millis(50));
    let status = call(endpoint.connect_lazy(), "hello").await;
    assert_eq!(status.unwrap_err().code(), Code::Cancelled);
}

#[tokio::test]
async fn a_reset_keeps_the_code_that_the_specification_gives_it() {
    for (reason, code) in [
        (h2::Reason::PROTOCOL_ERROR, Code::Internal),
        (h2::Reason::INTERNAL_ERROR, Code::Internal),
        (h2::Reason::REFUSED_STREAM, Code::Unavailable),
        (h2::Reason::CANCEL, Code::Cancelled),
        (h2::Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
        (h2::Reason::INADEQUATE_SECURITY, Code::PermissionDenied),
    ] {
        let server = h2_peer(move |_, mut respond| async move { respond.send_reset(reason) }).await;
        let status = call(ClientStatus::new(server.channel()), "hello").await;
        assert_eq!(status.unwrap_err().code(), code, "{reason:?}");
    }
}

#[tokio::test]
async fn what_this_side_cannot_read_as_http_2_is_unavailable() {
    // A frame that's larger than this side allows.
    let server = raw_peer(|_| vec![frame(0, 0, 1, &[0; 20_000])]).await;
    let status = call(ClientStatus::new(server.channel()), "hello").await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn a_violation_of_flow_control_stays_internal() {
    // More data than this side gave window for, on the whole connection.
    let server = raw_peer(|stream| {
        let mut frames = vec![frame(1, 4, stream, &RESPONSE_HEADERS)];
        frames.extend((0..100).map(|_| frame(0, 0, stream, &[0; 16_000])));
        frames
    })
    .await;
    let endpoint = server.endpoint().initial_connection_window_size(65_535);
    let (_, end) = read(ClientStatus::new(endpoint.connect_lazy())).await;
    let status = end.unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");
}

/// What a proxy or a web server sends.
fn page(status: u16, content_type: &'static str) -> Response<Body> {
    let page = Bytes::from_static(b"<html>the backend is gone</html>");
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(Body::new(Frames::new([Ok(Frame::data(page))])))
        .unwrap()
}

const PAGES: [(u16, Code); 12] = [
    (400, Code::Internal),
    (401, Code::Unauthenticated),
    (403, Code::PermissionDenied),
    (404, Code::Unimplemented),
    (408, Code::Unknown),
    (429, Code::Unavailable),
    (431, Code::Internal),
    (500, Code::Unknown),
    (502, Code::Unavailable),
    (503, Code::Unavailable),
    (504, Code::Unavailable),
    (599, Code::Unknown),
];

#[tokio::test]
async fn an_answer_without_a_grpc_status_is_what_its_http_status_stands_for() {
    for content_type in [
        "text/html",
        "application/grpc",
        "application/grpc+json",
        "application/grpc-web+proto",
        "application/grpcfoo",
    ] {
        for (http, code) in PAGES {
            let proxy = channel(move |_| Ok::<_, StdError>(page(http, content_type)));
            let status = call(ClientStatus::new(proxy), "hello").await.unwrap_err();
            assert_eq!(status.code(), code, "{http} {content_type}: {status}");
            assert!(status.message().contains(&http.to_string()), "{status}");
        }
    }
}

#[tokio::test]
async fn tonic_alone_reads_an_error_page_as_a_message() {
    let proxy = channel(move |_| Ok::<_, StdError>(page(503, "text/html")));
    let status = call(proxy, "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("compression flag: 60"));
}

#[test]
fn every_http_status_has_a_code() {
    for status in 100..1000 {
        let expected = PAGES.into_iter().find(|&(http, _)| http == status);
        let expected = expected.map_or(Code::Unknown, |(_, code)| code);
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(code_from_http(status), expected, "{status}");
    }
}

#[tokio::test]
async fn only_the_content_types_of_grpc_are_read_as_messages() {
    for (content_type, is_grpc) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc;charset=utf-8", true),
        ("application/grpc-web", false),
        ("application/grpcfoo", false),
        ("application/json", false),
        ("", false),
    ] {
        let server = channel(move |_| {
            let mut trailers = hyper::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames = [
                Ok(Frame::data(framed(b"reply"))),
                Ok(Frame::trailers(trailers)),
            ];
            let response = Response::builder().header("content-type", content_type);
            Ok::<_, StdError>(response.body(Body::new(Frames::new(frames))).unwrap())
        });
        match call(ClientStatus::new(server), "hello").await {
            Ok(reply) => assert!(is_grpc && reply.into_inner() == "reply", "{content_type}"),
            Err(status) => {
                assert!(!is_grpc, "{content_type}: {status}");
                assert_eq!(status.code(), Code::Unknown);
                assert!(status.message().contains("content-type"), "{status}");
            }
        }
    }
}

#[tokio::test]
async fn a_status_in_the_headers_counts_whatever_stands_around_it() {
    let proxy = channel(move |_| {
        let mut response = page(503, "text/html");
        let headers = response.headers_mut();
        headers.insert("grpc-status", "5".parse().unwrap());
        headers.insert("grpc-message", "no such book".parse().unwrap());
        Ok::<_, StdError>(response)
    });
    let status = call(ClientStatus::new(proxy), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "no such book");
}

#[tokio::test]
async fn a_status_that_nobody_can_read_is_unknown() {
    for status in ["seventeen", "17", "-1", ""] {
        let server = channel(move |_| {
            let response = Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", status);
            Ok::<_, StdError>(response.body(Body::default()).unwrap())
        });
        let end = call(ClientStatus::new(server), "hello").await;
        assert_eq!(end.unwrap_err().code(), Code::Unknown, "{status}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_without_a_status_is_unknown() {
    let server = channel(move |_| {
        let body = Body::new(Frames::new([Ok(Frame::data(framed(b"reply")))]));
        let response = Response::builder().header("content-type", "application/grpc");
        Ok::<_, StdError>(response.body(body).unwrap())
    });
    let (seen, end) = read(ClientStatus::new(server)).await;
    assert_eq!(seen, ["reply"]);
    assert_eq!(end.unwrap_err().code(), Code::Unknown);
}

/// Runs a channel's tasks, and ends them all.
#[derive(Clone, Default)]
struct Tasks(Arc<std::sync::Mutex<Vec<tokio::task::AbortHandle>>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let task = tokio::spawn(task).abort_handle();
        self.0.lock().unwrap().push(task);
    }
}

#[tokio::test]
async fn a_call_whose_connection_loses_its_task_is_unavailable() {
    let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
    let server = unary(move |_| {
        let begun = begun.clone();
        async move {
            begun.send(()).await.unwrap();
            std::future::pending().await
        }
    });
    let server = serve(tower::layer::util::Identity::new(), server).await;
    let tasks = Tasks::default();
    let channel = server.endpoint().executor(tasks.clone()).connect_lazy();
    let channel = ClientStatusLayer::new().layer(channel);
    let calling = tokio::spawn(call(channel, "hello"));
    soon(has_begun.recv()).await.unwrap();
    for task in tasks.0.lock().unwrap().drain(..) {
        task.abort();
    }
    let status = soon(calling).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(!never_sent(&status), "nobody knows");
}

#[tokio::test]
async fn an_error_of_another_layer_is_not_a_lost_connection() {
    let layer = channel(|_| Err::<Response<Body>, _>(io::Error::other("disk full")));
    let status = call(ClientStatus::new(layer), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert_eq!(explain(&status), "disk full");

    let layer = channel(|_| {
        let frames = Frames::new([
            Ok(Frame::data(framed(b"reply"))),
            Err(Status::from_error(io::Error::other("disk full").into())),
        ]);
        let response = Response::builder().header("content-type", "application/grpc");
        Ok::<_, StdError>(response.body(Body::new(frames)).unwrap())
    });
    let (seen, end) = read(ClientStatus::new(layer)).await;
    assert_eq!(seen, ["reply"]);
    assert_eq!(end.unwrap_err().code(), Code::Unknown);
}

#[tokio::test]
async fn a_status_that_the_server_sends_is_never_changed() {
    let server = serve(
        tower::layer::util::Identity::new(),
        replies(&[Ok(b"first"), Err(Code::Cancelled)]),
    )
    .await;
    let (seen, end) = read(ClientStatus::new(server.channel())).await;
    assert_eq!(seen, ["first"]);
    let status = end.unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    assert_eq!(status.message(), "as told");
}

/// A channel that is never ready.
#[derive(Clone)]
struct NeverReady;

impl Service<Request<Body>> for NeverReady {
    type Response = Response<Body>;
    type Error = ConnectError;
    type Future = std::future::Pending<Result<Response<Body>, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Err(ConnectError("no route".into())))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        panic!("called before it was ready")
    }
}

#[tokio::test]
async fn a_channel_that_fails_to_get_ready_keeps_its_code() {
    let channel = ClientStatusLayer::new().layer(NeverReady);
    let status = call(channel.clone(), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(explain(&status), "no route");
    let status = call(NeverReady, "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown, "tonic alone");
    assert!(format!("{channel:?}").contains("NeverReady"));
}

impl std::fmt::Debug for NeverReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NeverReady")
    }
}

/// What an [`OnEnd`] tells of `response`, when its body is read until `frames` are through, then
/// dropped.
async fn told(response: Response<Body>, frames: usize) -> Vec<Option<Code>> {
    let (sender, told) = mpsc::channel();
    let on_end = OnEnd::new(move |code| sender.send(code).unwrap());
    let mut body = on_end.watch(response).into_body();
    for _ in 0..frames {
        let _ = body.frame().await;
    }
    drop(body);
    told.iter().collect()
}

fn streamed(frames: impl IntoIterator<Item = Result<Frame<Bytes>, Status>>) -> Response<Body> {
    Response::new(Body::new(Frames::new(frames)))
}

fn trailers(status: Status) -> Result<Frame<Bytes>, Status> {
    let mut trailers = hyper::HeaderMap::new();
    status.add_header(&mut trailers).unwrap();
    Ok(Frame::trailers(trailers))
}

#[tokio::test]
async fn the_end_of_a_call_is_told_once() {
    let data = || Ok(Frame::data(framed(b"reply")));
    let ok = || trailers(Status::ok(""));
    let headers = Status::not_found("").into_http::<Body>();
    assert_eq!(told(headers, 0).await, [Some(Code::NotFound)]);
    assert_eq!(told(streamed([data(), ok()]), 3).await, [Some(Code::Ok)]);
    let aborted = streamed([data(), trailers(Status::aborted(""))]);
    assert_eq!(told(aborted, 2).await, [Some(Code::Aborted)]);
    assert_eq!(told(streamed([data(), ok()]), 1).await, [None], "dropped");
    assert_eq!(told(streamed([data()]), 2).await, [None], "no trailers");
    let bare = Ok(Frame::trailers(hyper::HeaderMap::new()));
    assert_eq!(told(streamed([bare]), 1).await, [None], "no status");
    let lost = streamed([data(), Err(Status::unavailable("lost"))]);
    assert_eq!(told(lost, 3).await, [Some(Code::Unavailable)]);

    let (sender, told) = mpsc::channel();
    OnEnd::new(move |code| sender.send(code).unwrap()).end(Code::Aborted);
    assert_eq!(told.iter().collect::<Vec<_>>(), [Some(Code::Aborted)]);
}

#[tokio::test]
async fn the_end_is_told_when_it_comes_and_not_when_the_body_is_dropped() {
    let (sender, told) = mpsc::channel();
    let on_end = OnEnd::new(move |code| sender.send(code).unwrap());
    let data = Ok(Frame::data(framed(b"reply")));
    let response = on_end.watch(streamed([data, trailers(Status::ok(""))]));
    let mut body = response.into_body();
    let _data = body.frame().await;
    assert!(told.try_recv().is_err(), "told before its end");
    let _trailers = body.frame().await;
    assert_eq!(told.try_recv(), Ok(Some(Code::Ok)));
    assert!(body.is_end_stream());
}

#[test]
fn a_body_that_is_watched_says_the_same_of_its_end_and_size() {
    let watch = |response| OnEnd::new(|_| ()).watch(response).into_body();
    assert!(watch(Status::aborted("").into_http()).is_end_stream());
    assert!(!watch(streamed([trailers(Status::ok(""))])).is_end_stream());
    let body = http_body_util::Full::new(Bytes::from_static(b"12345"));
    let body = watch(Response::new(Body::new(body)));
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(format!("{:?}", OnEnd::new(|_| ())).contains("OnEnd"));
}

#[test]
fn an_error_is_its_innermost_cause_in_one_line() {
    let io = io::Error::new(io::ErrorKind::ConnectionRefused, "refused\r\nby \x1b[31mme");
    let mut status = Status::unavailable("tcp connect error");
    status.set_source(Arc::new(ConnectError(Box::new(io))));
    assert_eq!(explain(&status), r"refused\r\nby \u{1b}[31mme");

    let status = Status::with_metadata(Code::Aborted, "", MetadataMap::new());
    assert_eq!(explain(&status), "Aborted");
    let status = Status::internal("x".repeat(5000));
    assert_eq!(explain(&status).chars().count(), 1001);
    let text: Box<dyn Error> = "no answer within 30 seconds".into();
    assert_eq!(explain(&*text), "no answer within 30 seconds");
}

#[tokio::test]
async fn an_answer_that_is_not_http2_is_called_so() {
    // Two alerts of TLS 1.2, and what a server of HTTP/1 says of a preface.
    let alert = &b"\x15\x03\x03\0\x02\x02\x0a"[..];
    for answer in [
        [alert, alert].concat(),
        b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
    ] {
        let server = peer(move |mut stream| {
            let answer = answer.clone();
            async move {
                // As much as a client says in any case: the preface, and the head of SETTINGS.
                stream.read_exact(&mut [0; 33]).await.unwrap();
                stream.write_all(&answer).await.unwrap();
                std::future::pending().await
            }
        });
        let status = call(server.await.channel(), "hello").await.unwrap_err();
        assert_eq!(
            explain(&status),
            "connection error detected: frame with invalid size, so it isn't HTTP/2. The URL of a \
             server that speaks TLS begins with https://"
        );
    }
}

#[test]
fn nothing_in_a_line_is_an_instruction() {
    assert_eq!(
        escape("Zoë said \"hi\" \\o/ 日本"),
        "Zoë said \"hi\" \\o/ 日本"
    );
    assert_eq!(escape("a\tb\0c\x7f\u{9b}"), r"a\tb\u{0}c\u{7f}\u{9b}");
    for character in
        "\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\u{2028}\u{2029}".chars()
    {
        let escaped = escape(&character.to_string());
        assert_eq!(escaped, character.escape_unicode().to_string());
    }
}

#[test]
fn a_line_has_a_longest_length_whatever_is_in_it() {
    assert_eq!(escape(&"x".repeat(1000)), "x".repeat(1000));
    assert_eq!(escape(&"x".repeat(1001)), format!("{}…", "x".repeat(1000)));
    assert_eq!(escape(&"\n".repeat(501)), format!("{}…", r"\n".repeat(500)));
    let mixed = format!("{}\n", "x".repeat(999));
    assert_eq!(escape(&mixed), format!("{}…", "x".repeat(999)));
}

/// Takes a call, and closes the connection.
async fn closing_peer() -> Served {
    peer(|stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let _call = connection.accept().await;
    })
    .await
}

/// Sends headers and one message, then closes the connection.
async fn half_reply_peer() -> Served {
    raw_peer_then(
        |stream| {
            vec![
                frame(1, 4, stream, &RESPONSE_HEADERS),
                frame(0, 0, stream, &framed(b"first")),
            ]
        },
        false,
    )
    .await
}

/// Refuses the first call with a GOAWAY that says it never saw it.
async fn goaway_peer(reason: h2::Reason) -> Served {
    raw_peer(move |_| {
        let mut payload = vec![0; 4];
        payload.extend(u32::from(reason).to_be_bytes());
        vec![frame(7, 0, 0, &payload)]
    })
    .await
}

/// Says nothing after the headers of a response, or not even those. No answer to pings either.
async fn silent_peer(with_headers: bool) -> Served {
    raw_peer(move |stream| match with_headers {
        true => vec![frame(1, 4, stream, &RESPONSE_HEADERS)],
        false => vec![],
    })
    .await
}

/// `:status: 200` and `content-type: application/grpc`, as HPACK writes them.
pub(crate) const RESPONSE_HEADERS: [u8; 20] = *b"\x88\x0f\x10\x10application/grpc";

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Answers the first call on each connection with frames, and then reads on without a word.
pub(crate) async fn raw_peer(
    answer: impl Fn(u32) -> Vec<Vec<u8>> + Clone + Send + Sync + 'static,
) -> Served {
    raw_peer_then(answer, true).await
}

async fn raw_peer_then(
    answer: impl Fn(u32) -> Vec<Vec<u8>> + Clone + Send + Sync + 'static,
    stays: bool,
) -> Served {
    peer(move |mut stream| {
        let answer = answer.clone();
        async move {
            stream.read_exact(&mut [0; 24]).await.unwrap();
            stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
            let call = loop {
                let mut head = [0; 9];
                stream.read_exact(&mut head).await.unwrap();
                let [l1, l2, l3, kind, _flags, id @ ..] = head;
                let length = u32::from_be_bytes([0, l1, l2, l3]);
                stream
                    .read_exact(&mut vec![0; length as usize])
                    .await
                    .unwrap();
                if kind == 1 {
                    break u32::from_be_bytes(id);
                }
            };
            stream.write_all(&answer(call).concat()).await.unwrap();
            if stays {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            } else {
                // Closed in order, so that what was sent arrives.
                stream.shutdown().await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn the_server_may_be_wrong_if_it_is_away_or_lacks_the_method() {
    let away = Endpoint::from_static("http://127.0.0.1:1");
    let error = away.connect().await.unwrap_err();
    assert!(may_be_wrong_server(&error), "{error:?}");
    let status = call(away.connect_lazy(), "hello").await.unwrap_err();
    assert!(may_be_wrong_server(&status), "{status:?}");
    let right = h2_peer(|_, mut respond| async move { respond.send_reset(h2::Reason::CANCEL) });
    let status = call(right.await.channel(), "hello").await.unwrap_err();
    assert!(!may_be_wrong_server(&status), "{status:?}");
    for code in (1..=16).map(Code::from_i32) {
        let status = Status::new(code, "no");
        let expected = code == Code::Unimplemented;
        assert_eq!(may_be_wrong_server(&status), expected, "{code:?}");
    }
    let boxed: Box<dyn Error> = "no answer within 30 seconds".into();
    assert!(!may_be_wrong_server(&*boxed));
}

#[tokio::test]
async fn what_was_never_sent_may_be_sent_again() {
    let away = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let status = call(away.clone(), "hello").await.unwrap_err();
    assert!(never_sent(&status), "{status:?}");
    let status = call(ClientStatus::new(away), "hello").await.unwrap_err();
    assert!(never_sent(&status), "{status:?}");
    for (reason, expected) in [
        (h2::Reason::REFUSED_STREAM, true),
        (h2::Reason::CANCEL, false),
        (h2::Reason::INTERNAL_ERROR, false),
    ] {
        let server = h2_peer(move |_, mut respond| async move { respond.send_reset(reason) }).await;
        let status = call(ClientStatus::new(server.channel()), "hello").await;
        let status = status.unwrap_err();
        assert_eq!(never_sent(&status), expected, "{status:?}");
    }
    // It may have been carried out.
    let server = closing_peer().await;
    let status = call(ClientStatus::new(server.channel()), "hello").await;
    assert!(!never_sent(&status.unwrap_err()));
    assert!(!never_sent(&Status::unavailable("the server says so")));
    // GOAWAY that names no call, then the end: this one came too late.
    for (reason, expected) in [(0, true), (11, false)] {
        let goaway = [0, 0, 0, 0, 0, 0, 0, reason];
        let server = raw_peer(move |_| vec![frame(7, 0, 0, &goaway)]).await;
        let status = call(ClientStatus::new(server.channel()), "hello").await;
        let status = status.unwrap_err();
        assert_eq!(never_sent(&status), expected, "{status:?}");
    }
}
