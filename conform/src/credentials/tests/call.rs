//! What a call carries, over which channel, and when it is made again.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc;
use http_body::Frame;
use http_body_util::BodyExt;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tower::layer::util::Identity as NoLayer;
use tower::{Layer, ServiceExt};

use super::*;
use crate::testing::{Frames, PATH, call, channel, framed, replies, serve, soon, stream, unary};

/// The guide's ticket: any metadata.
struct Fixed(&'static str, &'static str);

#[tonic::async_trait]
impl CallCredentials for Fixed {
    async fn metadata(&self, _: &CallInfo) -> Result<MetadataMap, Status> {
        let mut metadata = MetadataMap::new();
        metadata.insert(self.0, self.1.parse().unwrap());
        Ok(metadata)
    }
}

fn https() -> Endpoint {
    Endpoint::from_static("https://example.com:50051")
}

fn refusal(code: Code) -> Response<Body> {
    Status::new(code, "as told").into_http()
}

/// A channel that keeps the metadata of all requests, under this name.
fn recorded(name: &'static str, log: &Arc<Mutex<Vec<String>>>) -> impl AsChannel {
    let log = log.clone();
    channel(move |request: Request<Body>| {
        let values = request.headers().get_all(name).iter();
        let values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
        log.lock().unwrap().push(values.join(", "));
        assert!(
            request
                .headers()
                .get_all(name)
                .iter()
                .all(|it| name != "authorization" || it.is_sensitive())
        );
        Ok::<_, StdError>(refusal(Code::NotFound))
    })
}

trait AsChannel:
    Service<
        Request<Body>,
        Response = Response<Body>,
        Error = StdError,
        Future = std::future::Ready<Result<Response<Body>, StdError>>,
    > + Clone
    + Send
    + 'static
{
}

impl<S> AsChannel for S where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = StdError,
            Future = std::future::Ready<Result<Response<Body>, StdError>>,
        > + Clone
        + Send
        + 'static
{
}

fn cache(tokens: &'static [&'static str]) -> TokenCache {
    let tokens = Mutex::new(tokens.iter());
    TokenCache::new(move || {
        let token = tokens.lock().unwrap().next();
        let token = token.ok_or(Status::unavailable("no more tokens"));
        std::future::ready(token.map(|it| FetchedToken::new(*it, Duration::from_secs(3600))))
    })
}

/// Has something new whenever it is refused.
struct Renewed;

#[tonic::async_trait]
impl CallCredentials for Renewed {
    async fn metadata(&self, _: &CallInfo) -> Result<MetadataMap, Status> {
        Ok(MetadataMap::new())
    }

    fn refused(&self, _: &MetadataMap) -> bool {
        true
    }
}

#[test]
fn a_second_try_is_worth_it_if_any_of_the_credentials_is_new() {
    let fixed = || Fixed("ticket", "1");
    for (credentials, expected) in [
        (Composite::new(), false),
        // Unless they say so, credentials are always the same.
        (Composite::new().and(fixed()), false),
        (Composite::new().and(fixed()).and(Renewed), true),
        (Composite::new().and(Renewed).and(fixed()), true),
        (Composite::new().and(Renewed).and(Renewed), true),
    ] {
        let refused = credentials.refused(&MetadataMap::new());
        assert_eq!(refused, expected, "{credentials:?}");
    }
}

#[tokio::test]
async fn every_call_carries_the_token() {
    let log = Arc::default();
    let layer = CallCredentialsLayer::new(&https(), cache(&["secret"]));
    let service = layer.layer(recorded("authorization", &log));
    for _ in 0..2 {
        let status = call(service.clone(), "hello").await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
    }
    assert_eq!(*log.lock().unwrap(), ["Bearer secret"; 2]);
}

#[test]
fn the_origin_is_host_and_port_and_nothing_else() {
    for (url, origin) in [
        (
            "https://ann:secret@example.com:50051",
            "https://example.com:50051",
        ),
        ("https://example.com:443/path", "https://example.com"),
        ("HTTPS://example.com", "https://example.com"),
        ("https://[::1]:50051", "https://[::1]:50051"),
    ] {
        let layer = CallCredentialsLayer::new(&Endpoint::from_static(url), Composite::new());
        let shown = format!("{layer:?}");
        assert!(shown.contains(&format!("Some({origin:?})")), "{shown}");
    }
}

#[tokio::test]
async fn over_a_plain_channel_nothing_is_sent() {
    let server = serve(NoLayer::new(), replies(&[Ok(b"reply")])).await;
    let log = Arc::default();
    for endpoint in [
        server.endpoint(),
        Endpoint::from_static("HTTP://localhost"),
        Endpoint::from_static("localhost:50051"),
    ] {
        let layer = CallCredentialsLayer::new(&endpoint, cache(&["secret"]));
        let service = layer.layer(recorded("authorization", &log));
        let status = call(service, "hello").await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(
            status.message(),
            "credentials aren't sent without TLS: the URL must begin with https://"
        );
    }
    assert!(log.lock().unwrap().is_empty());
    // Channel and layer from one endpoint.
    let service = CallCredentialsLayer::connect_lazy(&server.endpoint(), cache(&["secret"]));
    let status = call(service, "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn channel_and_layer_can_be_made_from_one_endpoint() {
    let authority = Authority::new();
    let answer = unary(|request| {
        let token = request.metadata().get("authorization").unwrap();
        let token = Bytes::copy_from_slice(token.as_encoded_bytes());
        std::future::ready(Ok(tonic::Response::new(token)))
    });
    let tls = server_tls(authority.certify("localhost"));
    let server = serve_tls(tls, NoLayer::new(), answer).await;
    let endpoint = tls_endpoint(&server, client_tls(authority.certificate()));
    let service = CallCredentialsLayer::connect_lazy(&endpoint, cache(&["secret"]));
    let reply = call(service, "hello").await.unwrap();
    assert_eq!(reply.into_inner(), "Bearer secret");
}

/// Fails on the day tonic's interceptors know their channel.
#[tokio::test]
async fn tonic_alone_sends_a_token_over_a_plain_channel() {
    let answer = unary(|request| {
        let has_token = request.metadata().contains_key("authorization");
        let reply = Bytes::from_static(if has_token { b"seen" } else { b"" });
        std::future::ready(Ok(tonic::Response::new(reply)))
    });
    let server = serve(NoLayer::new(), answer).await;
    let sign_in = |mut request: tonic::Request<()>| {
        let token = "Bearer secret".parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        Ok(request)
    };
    let channel = tonic::service::interceptor::InterceptedService::new(server.channel(), sign_in);
    assert_eq!(call(channel, "hello").await.unwrap().into_inner(), "seen");
}

#[tokio::test]
async fn credentials_can_be_composed_and_attached_to_one_call() {
    let log = Arc::default();
    let both = Composite::new()
        .and(Fixed("ticket", "program"))
        .and(Fixed("ticket", "user"));
    assert_eq!(format!("{both:?}"), "Composite(2 credentials)");
    let layer = CallCredentialsLayer::new(&https(), both);
    let service = layer.layer(recorded("ticket", &log));
    let mut request = tonic::Request::new(());
    attach(&mut request, Fixed("ticket", "this call"));
    let (_, extensions, ()) = request.into_parts();
    let mut http = Request::post(PATH)
        .header("ticket", "own")
        .body(Body::empty())
        .unwrap();
    *http.extensions_mut() = extensions;
    service.clone().oneshot(http).await.unwrap();
    call(service, "hello").await.unwrap_err();
    let expected = ["own, program, user, this call", "program, user"];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[tokio::test]
async fn credentials_are_told_which_call_they_are_for() {
    struct Told(Arc<Mutex<Vec<CallInfo>>>);

    #[tonic::async_trait]
    impl CallCredentials for Told {
        async fn metadata(&self, call: &CallInfo) -> Result<MetadataMap, Status> {
            self.0.lock().unwrap().push(call.clone());
            Ok(MetadataMap::new())
        }
    }

    let (log, told) = (Arc::default(), Arc::default());
    let layer = CallCredentialsLayer::new(&https(), Arc::new(Told(Arc::clone(&told))));
    let service = layer.layer(recorded("ticket", &log));
    call(service, "hello").await.unwrap_err();
    let expected = CallInfo {
        service_url: "https://example.com:50051/test.Test".into(),
        method: "Call".into(),
    };
    assert_eq!(*told.lock().unwrap(), [expected]);
}

#[tokio::test]
async fn credentials_that_fail_end_the_call_unsent_with_a_code_they_may_use() {
    struct Fails(Code);

    #[tonic::async_trait]
    impl CallCredentials for Fails {
        async fn metadata(&self, _: &CallInfo) -> Result<MetadataMap, Status> {
            Err(Status::new(self.0, "no"))
        }
    }

    let log = Arc::default();
    for (own, expected) in [
        (Code::Unavailable, Code::Unavailable),
        (Code::Unauthenticated, Code::Unauthenticated),
        (Code::PermissionDenied, Code::PermissionDenied),
        (Code::DeadlineExceeded, Code::DeadlineExceeded),
        (Code::Cancelled, Code::Cancelled),
        (Code::Unknown, Code::Unknown),
        (Code::Unimplemented, Code::Unimplemented),
        (Code::ResourceExhausted, Code::ResourceExhausted),
        (Code::Internal, Code::Internal),
        // gRFC A54: only a server's application says these.
        (Code::Ok, Code::Internal),
        (Code::InvalidArgument, Code::Internal),
        (Code::NotFound, Code::Internal),
        (Code::AlreadyExists, Code::Internal),
        (Code::FailedPrecondition, Code::Internal),
        (Code::Aborted, Code::Internal),
        (Code::OutOfRange, Code::Internal),
        (Code::DataLoss, Code::Internal),
    ] {
        let layer = CallCredentialsLayer::new(&https(), Composite::new().and(Fails(own)));
        let service = layer.layer(recorded("ticket", &log));
        let status = call(service, "hello").await.unwrap_err();
        assert_eq!(status.code(), expected, "{own:?}");
    }
    assert!(log.lock().unwrap().is_empty());
}

/// Tokens and bodies.
type Judged = Vec<(String, Vec<u8>)>;

/// Keeps token and body of each request that it reads, and answers by its token.
fn judge(log: &Arc<Mutex<Judged>>, good: &'static str) -> impl AsUnary {
    let log = log.clone();
    tower::service_fn(move |request: Request<Body>| {
        let log = log.clone();
        async move {
            let token = request.headers()["authorization"]
                .to_str()
                .unwrap()
                .to_owned();
            let body = request.into_body().collect().await?.to_bytes();
            log.lock().unwrap().push((token.clone(), body.to_vec()));
            let is_good = token == format!("Bearer {good}");
            let code = if is_good {
                Code::NotFound
            } else {
                Code::Unauthenticated
            };
            Ok::<_, StdError>(refusal(code))
        }
    })
}

trait AsUnary:
    Service<Request<Body>, Response = Response<Body>, Error = StdError, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> AsUnary for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = StdError, Future: Send>
        + Clone
        + Send
        + 'static
{
}

#[tokio::test]
async fn a_call_that_is_refused_is_made_once_more_with_a_new_token() {
    let log = Arc::default();
    let layer = CallCredentialsLayer::new(&https(), cache(&["old", "new", "third"]));
    let service = layer.layer(judge(&log, "new"));
    let status = call(service.clone(), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let message = framed(b"hello").to_vec();
    let expected = ["Bearer old", "Bearer new"].map(|it| (it.to_owned(), message.clone()));
    assert_eq!(*log.lock().unwrap(), expected, "both with the whole body");
    call(service, "hello").await.unwrap_err();
    assert_eq!(log.lock().unwrap().len(), 3, "the new one is kept");
}

#[tokio::test]
async fn a_call_is_never_made_a_third_time() {
    let log = Arc::default();
    let layer = CallCredentialsLayer::new(&https(), cache(&["a", "b", "c"]));
    let service = layer.layer(judge(&log, "c"));
    let status = call(service, "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(log.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_call_is_not_made_again_if_there_is_nothing_new_to_show() {
    for credentials in [
        Composite::new().and(cache(&["a", "a"])),
        Composite::new().and(cache(&["a"])),
        Composite::new().and(Fixed("authorization", "Bearer a")),
    ] {
        let log = Arc::default();
        let service = CallCredentialsLayer::new(&https(), credentials).layer(judge(&log, "b"));
        let status = call(service, "hello").await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(log.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_call_whose_handler_has_begun_is_not_made_again() {
    let log = Arc::new(Mutex::new(0));
    let counter = log.clone();
    let late = channel(move |_| {
        *counter.lock().unwrap() += 1;
        let mut trailers = tonic::codegen::http::HeaderMap::new();
        trailers.insert("grpc-status", "16".parse().unwrap());
        let frames = [
            Ok(Frame::data(framed(b"reply"))),
            Ok(Frame::trailers(trailers)),
        ];
        Ok::<_, StdError>(Response::new(Body::new(Frames::new(frames))))
    });
    let layer = CallCredentialsLayer::new(&https(), cache(&["a", "b"]));
    let status = call(layer.layer(late), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(*log.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_call_that_has_sent_much_is_not_made_again() {
    for (length, attempts) in [(60 * 1024, 2), (70 * 1024, 1)] {
        let log = Arc::default();
        let layer = CallCredentialsLayer::new(&https(), cache(&["a", "b"]));
        let service = layer.layer(judge(&log, "b"));
        call(service, vec![b'x'; length]).await.unwrap_err();
        assert_eq!(log.lock().unwrap().len(), attempts, "{length}");
    }
}

/// Over a real connection, with an upload that is still open when the server refuses.
#[tokio::test]
async fn a_stream_begins_again_and_goes_on() {
    let echo = crate::testing::Test(
        |requests: crate::testing::Requests| -> tonic::codegen::BoxFuture<_, _> {
            let messages = requests.into_inner().boxed();
            Box::pin(async move { Ok(tonic::Response::new(messages)) })
        },
    );
    #[derive(Clone, Copy)]
    struct New;
    #[tonic::async_trait]
    impl Verify for New {
        type Caller = ();
        async fn verify(&self, presented: &Presented) -> Result<Verified<()>, Refusal> {
            match presented.token()?.as_str() {
                "new" => Ok(Verified::new(())),
                _ => Err(Refusal::new("an old token")),
            }
        }
    }
    let log = Log::default();
    let server = serve(AuthenticationLayer::new(New, log.write()), echo).await;
    let layer = CallCredentialsLayer::new(&https(), cache(&["old", "new"]));
    let (mut sender, receiver) = mpsc::channel(10);
    sender.try_send(Bytes::from_static(b"one")).unwrap();
    sender.try_send(Bytes::from_static(b"two")).unwrap();
    let mut replies = stream(layer.layer(server.channel()), receiver)
        .await
        .unwrap();
    assert_eq!(log.take(), [format!("{PATH}: refused: an old token")]);
    for expected in ["one", "two"] {
        assert_eq!(soon(replies.message()).await.unwrap().unwrap(), expected);
    }
    sender.try_send(Bytes::from_static(b"three")).unwrap();
    assert_eq!(soon(replies.message()).await.unwrap().unwrap(), "three");
    drop(sender);
    assert_eq!(soon(replies.message()).await.unwrap(), None);
}

#[tokio::test]
async fn it_is_always_ready_and_shows_no_secret() {
    let layer = CallCredentialsLayer::new(&https(), Fixed("ticket", "secret"));
    let shown = format!("{layer:?}");
    assert_eq!(
        shown,
        r#"CallCredentialsLayer { credentials: Composite(1 credentials), origin: Some("https://example.com:50051") }"#
    );
    let service = layer.layer("inner");
    assert!(format!("{service:?}").contains(r#"inner: "inner""#));
}
