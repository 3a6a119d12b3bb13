use std::time::Duration;

use arbtest::arbtest;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http_body::Body as _;
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderMap, HeaderName, HeaderValue};
use tonic::codegen::{BoxFuture, Service, StdError};
use tonic::metadata::{AsciiMetadataValue, BinaryMetadataValue, MetadataMap};
use tonic::service::interceptor::InterceptorLayer;
use tonic::{Code, Request, Response, Status};
use tower::Layer;
use tower::layer::util::Identity;

use super::*;
use crate::testing::{
    Handler, Requests, Test, call, channel, framed, post, read, replies, serve, soon, stream, unary,
};

fn request(metadata: &[(&'static str, &str)]) -> Request<()> {
    let mut headers = HeaderMap::new();
    for &(name, value) in metadata {
        let name = HeaderName::from_static(name);
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    Request::from_parts(MetadataMap::from_headers(headers), Default::default(), ())
}

#[test]
fn what_an_application_may_say_passes() {
    for metadata in [
        &[][..],
        &[("asked-by", "Ann ~!"), ("asked-by", "")],
        &[("a.b_c-9", "1"), ("image-bin", "AP8=")],
        &[("grpc-timeout", "1S")],
        &[("user-agent", "mine/1.0")],
    ] {
        check_request(&request(metadata)).unwrap();
        check_interceptor(request(metadata)).unwrap();
    }
    let mut timed = request(&[]);
    timed.set_timeout(Duration::from_secs(1));
    check_request(&timed).unwrap();
}

#[test]
fn reserved_names_and_illegal_characters_are_refused() {
    for (name, value, fault) in [
        ("grpc-foo", "1", "keep for themselves"),
        ("grpc-foo-bin", "AP8=", "keep for themselves"),
        ("connection", "close", "keep for themselves"),
        ("content-length", "3", "keep for themselves"),
        ("a!", "1", "isn't a name for metadata"),
        ("asked-by", "Zoë", "isn't printable ASCII"),
        ("asked-by", "a\t", "isn't printable ASCII"),
    ] {
        for checked in [
            check_request(&request(&[("before", "1"), (name, value)])),
            check_interceptor(request(&[(name, value)])).map(drop),
        ] {
            let status = checked.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            let message = status.message();
            assert!(
                message.starts_with(name) && message.contains(fault),
                "{message}"
            );
        }
    }
}

#[test]
fn names_that_tonic_writes_are_refused_only_where_the_application_writes() {
    for name in [
        "content-type",
        "te",
        "grpc-encoding",
        "grpc-accept-encoding",
    ] {
        check_request(&request(&[(name, "1")])).unwrap_err();
        check_interceptor(request(&[(name, "1")])).unwrap();
        assert!(is_reserved(name));
    }
    assert!(is_reserved("grpc-timeout") && is_reserved("host"));
    assert!(!is_reserved("grpc") && !is_reserved("x-grpc-a") && !is_reserved("tea"));
}

#[tokio::test]
async fn every_ordinary_call_passes_the_interceptor() {
    let server = serve(Identity::new(), replies(&[Ok(b"reply")])).await;
    let checked = InterceptorLayer::new(check_interceptor).layer(server.channel());
    assert_eq!(call(checked, "hello").await.unwrap().into_inner(), "reply");
}

#[tokio::test]
async fn tonic_alone_sends_reserved_names_and_characters_that_are_not_ascii() {
    let writes = |mut request: Request<()>| {
        let value = AsciiMetadataValue::try_from("Zoë".as_bytes()).unwrap();
        request.metadata_mut().insert("grpc-foo", value);
        Ok(request)
    };
    let sees = unary(|request: Request<Bytes>| async move {
        let value = request.metadata().get("grpc-foo").unwrap();
        Ok(Response::new(Bytes::copy_from_slice(value.as_bytes())))
    });
    let server = serve(Identity::new(), sees).await;
    let channel = InterceptorLayer::new(writes).layer(server.channel());
    let seen = call(channel, "hello").await.unwrap().into_inner();
    assert_eq!(seen, "Zoë".as_bytes());
}

#[test]
fn any_text_comes_back_and_is_legal_on_its_way() {
    arbtest(|u| {
        let text: String = u.arbitrary()?;
        let value = encode_text(&text);
        assert!(
            value
                .as_bytes()
                .iter()
                .all(|byte| (b' '..=b'~').contains(byte))
        );
        assert_eq!(value.as_bytes(), value.as_bytes().trim_ascii());
        assert_eq!(decode_text(&value), text);
        Ok(())
    });
}

#[test]
fn what_is_legal_already_stays_readable() {
    assert_eq!(encode_text("plain text, a-z"), "plain text, a-z");
    assert_eq!(encode_text(" a b "), "%20a b%20");
    assert_eq!(encode_text("\u{7f}~\n"), "%7F~%0A");
    assert_eq!(encode_text("%41"), "%2541");
    assert_eq!(encode_text(""), "");
}

#[test]
fn what_cannot_be_decoded_stays() {
    for (value, text) in [
        ("100%", "100%"),
        ("%4", "%4"),
        ("%zz%41", "%zzA"),
        ("%4g", "%4g"),
        ("%c3%ab", "ë"),
        ("%C3", "\u{fffd}"),
    ] {
        assert_eq!(decode_text(&value.parse().unwrap()), text, "{value}");
    }
}

fn binary(lines: &[&'static str]) -> MetadataMap {
    let lines = lines.iter().map(|line| {
        let name = HeaderName::from_static("image-bin");
        (name, HeaderValue::from_bytes(line.as_bytes()).unwrap())
    });
    let mut headers: HeaderMap = lines.collect();
    headers.insert("image", HeaderValue::from_static("AQ=="));
    headers.insert("other-bin", HeaderValue::from_static("AQ=="));
    MetadataMap::from_headers(headers)
}

#[test]
fn binary_values_are_read_however_they_were_joined() {
    let expected = [&[0, 255][..], &[1], b""];
    for lines in [
        &["AP8=", "AQ==", ""][..],
        &["AP8", "AQ", ""],
        &["AP8=,AQ==", ""],
        &["AP8=, AQ==,"],
    ] {
        let metadata = binary(lines);
        for key in ["image-bin", "Image-Bin"] {
            assert_eq!(get_all_bin(&metadata, key).unwrap(), expected, "{lines:?}");
        }
    }
    let metadata = binary(&["AP8="]);
    assert!(get_all_bin(&metadata, "nothing-bin").unwrap().is_empty());
    assert!(get_all_bin(&metadata, "image").unwrap().is_empty(), "text");
}

#[test]
fn a_value_that_is_not_base64_is_an_error_with_its_name() {
    for line in ["a", "AP8=;AQ==", "é"] {
        let status = get_all_bin(&binary(&["AP8=", line]), "image-bin").unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{line}");
        assert!(status.message().contains("image-bin"));
    }
}

#[test]
fn tonic_alone_cannot_decode_values_that_were_joined() {
    let metadata = binary(&["AP8=,AQ=="]);
    metadata
        .get_bin("image-bin")
        .unwrap()
        .to_bytes()
        .unwrap_err();
}

/// Replies with one message, and says one thing in the headers and one in the trailers.
fn talkative() -> Test<impl Handler> {
    unary(|request: Request<Bytes>| async move {
        let trailers = Trailers::of(&request);
        trailers.lock().insert("said", "last".parse().unwrap());
        let mut response = Response::new(Bytes::from_static(b"reply"));
        response
            .metadata_mut()
            .insert("said", "first".parse().unwrap());
        Ok(response)
    })
}

#[tokio::test]
async fn a_reply_has_headers_and_trailers_and_the_client_sees_which() {
    let server = serve(TrailersLayer::new(), talkative()).await;
    let reply = post(server.address, framed(b"hello")).await.unwrap();
    assert_eq!(reply.headers["said"], "first");
    assert_eq!(reply.trailers["said"], "last");
    assert_eq!(reply.trailers["grpc-status"], "0");

    let channel = SplitMetadataLayer::new().layer(server.channel());
    let response = call(channel, "hello").await.unwrap();
    let metadata = response.extensions().get::<ResponseMetadata>().unwrap();
    assert_eq!(metadata.headers().get("said").unwrap(), "first");
    assert_eq!(metadata.trailers().get("said").unwrap(), "last");
    assert_eq!(metadata.trailers().len(), 1, "the status is no metadata");
}

#[tokio::test]
async fn tonic_alone_has_no_trailers_for_a_reply_and_merges_those_of_others() {
    let server = serve(Identity::new(), talkative()).await;
    let reply = post(server.address, framed(b"hello")).await.unwrap();
    assert!(!reply.trailers.contains_key("said"));

    let server = serve(TrailersLayer::new(), talkative()).await;
    let response = call(server.channel(), "hello").await.unwrap();
    let said: Vec<_> = response.metadata().get_all("said").iter().collect();
    assert_eq!(said, ["last"], "what the headers said is lost");
}

#[tokio::test]
async fn trailers_may_change_as_long_as_a_stream_goes_on() {
    let counts = Test(|requests: Requests| -> BoxFuture<_, Status> {
        let trailers = Trailers::of(&requests);
        let replies = stream::iter(1..=3).map(move |count: u64| {
            trailers.lock().insert("count", count.into());
            Ok(Bytes::from_static(b"reply"))
        });
        Box::pin(async { Ok(Response::new(replies.boxed())) })
    });
    let server = serve(TrailersLayer::new(), counts).await;
    let channel = SplitMetadataLayer::new().layer(server.channel());
    let mut replies = stream(channel, stream::iter([Bytes::new()])).await.unwrap();
    while soon(replies.message()).await.unwrap().is_some() {}
    let trailers = soon(replies.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers.get("count").unwrap(), "3");
}

#[tokio::test]
async fn the_trailers_of_an_error_are_where_its_status_is() {
    let fails = unary(|request: Request<Bytes>| async move {
        Trailers::of(&request)
            .lock()
            .insert("said", "last".parse().unwrap());
        Err(Status::not_found("no such book"))
    });
    let server = serve(TrailersLayer::new(), fails).await;
    let reply = post(server.address, framed(b"hello")).await.unwrap();
    assert_eq!(reply.headers["grpc-status"], "5");
    assert_eq!(reply.headers["said"], "last");
    assert!(
        reply.ended_with_headers,
        "other stacks expect Trailers-Only"
    );
    let channel = SplitMetadataLayer::new().layer(server.channel());
    let status = call(channel, "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.metadata().get("said").unwrap(), "last");
}

#[tokio::test]
async fn trailers_cannot_change_the_status_and_may_have_many_values() {
    let lies = unary(|request: Request<Bytes>| async move {
        let trailers = Trailers::of(&request);
        let mut trailers = trailers.lock();
        trailers.append("said", "one".parse().unwrap());
        trailers.append("said", "two".parse().unwrap());
        trailers.append_bin("said-bin", BinaryMetadataValue::from_bytes(&[0, 255]));
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("content-type", "text/html".parse().unwrap());
        Err::<Response<Bytes>, _>(Status::aborted(""))
    });
    let server = serve(TrailersLayer::new(), lies).await;
    let reply = post(server.address, framed(b"hello")).await.unwrap();
    let statuses: Vec<_> = reply.headers.get_all("grpc-status").iter().collect();
    assert_eq!(statuses, ["10"]);
    assert_eq!(reply.headers["content-type"], "application/grpc");
    let said: Vec<_> = reply.headers.get_all("said").iter().collect();
    assert_eq!(said, ["one", "two"]);
    assert_eq!(reply.headers["said-bin"], "AP8");
}

#[tokio::test]
async fn without_the_layer_trailers_are_lost_and_nothing_else() {
    let mut service = talkative();
    let body = Body::new(http_body_util::Full::new(framed(b"hello")));
    let response = soon(service.call(http::Request::new(body))).await.unwrap();
    assert!(!response.headers().contains_key("grpc-status"));
}

#[tokio::test]
async fn an_error_of_the_channel_is_passed_on_by_all_layers() {
    let broken = channel(|_| Err::<http::Response<Body>, StdError>("no route".into()));
    let mut broken = SplitMetadataLayer::new()
        .layer(HeaderLimitLayer::default().layer(TrailersLayer::new().layer(broken)));
    let error = broken.call(http::Request::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "no route");
    let ended = channel(|_| Ok::<_, StdError>(Status::aborted("").into_http::<Body>()));
    let mut ended = SplitMetadataLayer::new().layer(TrailersLayer::new().layer(ended));
    let response = ended.call(http::Request::default()).await.unwrap();
    assert!(response.body().is_end_stream());
}

/// Adds one header of `length` letters to each call.
fn with_header<S>(
    channel: S,
    length: usize,
) -> impl Service<
    http::Request<Body>,
    Response = http::Response<Body>,
    Error = S::Error,
    Future = impl Send,
> + Clone
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone,
    S::Future: Send,
{
    tower::util::MapRequest::new(channel, move |mut request: http::Request<Body>| {
        let value = HeaderValue::try_from("x".repeat(length)).unwrap();
        request.headers_mut().insert("long", value);
        request
    })
}

#[tokio::test]
async fn what_passes_a_limit_passes_a_server_with_that_limit() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .http2_max_header_list_size(8192)
        .add_service(replies(&[Ok(b"reply")]))
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    tokio::spawn(server);
    let channel = crate::testing::endpoint(address).connect_lazy();
    let limited = HeaderLimitLayer::default().layer(channel.clone());
    let (mut passed, mut refused) = (0, 0);
    for length in (7000..8300).step_by(13) {
        match call(with_header(limited.clone(), length), "hello").await {
            Ok(_) => passed = length,
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{length}: {status}");
                assert!(status.message().contains("the limit is 8192"), "{status}");
                refused += 1;
            }
        }
    }
    assert!(passed > 7300, "only {passed} of 8192 bytes are of use");
    assert!(refused > 10);

    // tonic alone: sent, refused, and UNKNOWN.
    let status = call(with_header(channel, 8100), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
}

#[tokio::test]
async fn all_that_is_known_is_counted_and_the_rest_is_in_reserve() {
    let here = channel(|_| Ok::<_, StdError>(Status::aborted("").into_http::<Body>()));
    // `:method: POST`, `:path: /a/b`, and `name: value`, each with 32.
    let size = (7 + 4 + 32) + (5 + 4 + 32) + (4 + 5 + 32);
    for (limit, reserve, passes) in [
        (size, 0, true),
        (size - 1, 0, false),
        (size + 100, 100, true),
        (size + 99, 100, false),
        (10, 100, false),
    ] {
        let layer = HeaderLimitLayer::new(limit).reserve(reserve);
        let request = http::Request::post("http://host/a/b").header("name", "value");
        let request = request.body(Body::default()).unwrap();
        let response = layer.layer(here.clone()).call(request).await.unwrap();
        let code = if passes { "10" } else { "8" };
        assert_eq!(response.headers()["grpc-status"], code, "{limit} {reserve}");
    }
    let layer = HeaderLimitLayer::new(size + 512);
    let request = http::Request::post("http://host/a/b").header("name", "value");
    let request = request.body(Body::default()).unwrap();
    let response = layer.layer(here).call(request).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "10");
}

#[tokio::test]
async fn a_stream_that_is_split_is_read_as_before() {
    let server = serve(
        TrailersLayer::new(),
        replies(&[Ok(b"1"), Err(Code::Aborted)]),
    )
    .await;
    let (seen, end) = read(SplitMetadataLayer::new().layer(server.channel())).await;
    assert_eq!(seen, ["1"]);
    assert_eq!(end.unwrap_err().code(), Code::Aborted);
}

#[test]
fn a_layer_is_as_ready_as_what_it_wraps() {
    crate::testing::passes_on_readiness(TrailersLayer::new());
    crate::testing::passes_on_readiness(SplitMetadataLayer::new());
    crate::testing::passes_on_readiness(HeaderLimitLayer::default());
}
