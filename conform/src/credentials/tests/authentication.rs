//! Who gets in, what the others hear, and what the log says.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status, Streaming};
use tower::layer::util::Identity as NoLayer;

use super::jwt::{Case, cases};
use super::*;
use crate::status::ClientStatusLayer;
use crate::testing::{PATH, framed, post, replies, serve, soon, stream};

type Replies = tonic::codegen::BoxStream<Greeting>;

/// Counts how often a handler was reached.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Counting {
    fn greet<T>(&self, request: &tonic::Request<T>) -> Result<Greeting, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        assert!(
            !request.metadata().contains_key("authorization"),
            "it's taken out"
        );
        let caller = request.extensions().get::<Claims>().unwrap();
        let text = caller.subject().to_owned();
        Ok(Greeting { text })
    }
}

#[tonic::async_trait]
impl Greeter for Counting {
    async fn greet(
        &self,
        request: tonic::Request<Name>,
    ) -> Result<tonic::Response<Greeting>, Status> {
        self.greet(&request).map(tonic::Response::new)
    }

    async fn greet_often(
        &self,
        request: tonic::Request<Name>,
    ) -> Result<tonic::Response<Replies>, Status> {
        let replies = futures::stream::iter([self.greet(&request)]).boxed();
        Ok(tonic::Response::new(replies))
    }

    async fn greet_all(
        &self,
        request: tonic::Request<Streaming<Name>>,
    ) -> Result<tonic::Response<Greeting>, Status> {
        self.greet(&request).map(tonic::Response::new)
    }

    async fn greet_each(
        &self,
        request: tonic::Request<Streaming<Name>>,
    ) -> Result<tonic::Response<Replies>, Status> {
        let replies = futures::stream::iter([self.greet(&request)]).boxed();
        Ok(tonic::Response::new(replies))
    }
}

/// All four kinds of call, with this in `authorization`. The uploads never end.
async fn each_kind<S>(service: S, authorization: Option<&str>) -> [Result<String, Status>; 4]
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Send> + Clone + Send,
    S::Error: Into<StdError>,
{
    let mut stub = GreeterClient::new(service);
    fn with<T>(message: T, authorization: Option<&str>) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(value) = authorization {
            let value = MetadataValue::try_from(value).unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        request
    }
    let text = |reply: tonic::Response<Greeting>| reply.into_inner().text;
    async fn first(
        replies: Result<tonic::Response<Streaming<Greeting>>, Status>,
    ) -> Result<String, Status> {
        Ok(replies?.into_inner().message().await?.unwrap().text)
    }
    let names = || futures::stream::pending::<Name>();
    [
        soon(stub.greet(with(Name::default(), authorization)))
            .await
            .map(text),
        first(soon(stub.greet_often(with(Name::default(), authorization))).await).await,
        soon(stub.greet_all(with(names(), authorization)))
            .await
            .map(text),
        first(soon(stub.greet_each(with(names(), authorization))).await).await,
    ]
}

/// The table of refusals: each token, and each header that isn't one, for each kind of call.
#[tokio::test]
async fn every_refusal_is_the_same_for_the_caller_and_for_all_kinds_of_call() {
    let (key, valid, cases) = cases();
    let (log, calls) = (Log::default(), Counting::default());
    let jwt = Jwt::new(key, "desk", "calculator").unwrap();
    let layer = AuthenticationLayer::new(jwt, log.write());
    let service = layer.layer(GreeterServer::new(calls.clone()));

    for scheme in ["Bearer", "bearer", "BEARER"] {
        let authorization = format!("{scheme} {}", valid.as_str());
        for answer in each_kind(service.clone(), Some(&authorization)).await {
            assert_eq!(answer.unwrap(), "ann");
        }
    }
    assert_eq!(calls.0.swap(0, Ordering::SeqCst), 12);
    assert_eq!(log.take(), [""; 0]);

    let tokens = cases.into_iter().map(
        |Case {
             what,
             token,
             reason,
         }| { (what, Some(format!("Bearer {}", token.as_str())), reason) },
    );
    let megabyte = format!("Bearer {}", "a".repeat(1024 * 1024));
    let others = [
        ("nothing", None, "no token"),
        (
            "no scheme",
            Some(valid.as_str().to_owned()),
            "something other",
        ),
        (
            "Basic",
            Some("Basic YW5uOnNlY3JldA==".to_owned()),
            "something other",
        ),
        (
            "an empty token",
            Some("Bearer ".to_owned()),
            "something other",
        ),
        (
            "two blanks",
            Some(format!("Bearer  {}", valid.as_str())),
            "can't be read",
        ),
        (
            "as much as is looked at",
            Some(format!("Bearer {}", "a".repeat(MAX_TOKEN - 7))),
            "can't be read",
        ),
        (
            "a byte more",
            Some(format!("Bearer {}", "a".repeat(MAX_TOKEN - 6))),
            "a token of 8193 bytes, more than 8192",
        ),
        (
            "a megabyte",
            Some(megabyte),
            "a token of 1048583 bytes, more than 8192",
        ),
    ];
    for (what, authorization, reason) in tokens.chain(others) {
        for answer in each_kind(service.clone(), authorization.as_deref()).await {
            let status = answer.expect_err(what);
            assert_eq!(status.code(), Code::Unauthenticated, "{what}");
            assert_eq!(
                status.message(),
                "this call needs valid credentials",
                "{what}"
            );
            assert!(
                status.metadata().is_empty() || status.metadata().len() == 1,
                "{status:?}"
            );
        }
        let lines = log.take();
        assert_eq!(lines.len(), 4, "{what}");
        for (line, method) in lines
            .iter()
            .zip(["Greet", "GreetOften", "GreetAll", "GreetEach"])
        {
            let begin = format!("/greeter.v1.Greeter/{method}: refused: ");
            assert!(
                line.starts_with(&begin) && line.contains(reason),
                "{what}: {line}"
            );
            if let Some(authorization) = &authorization {
                assert!(!line.contains(authorization.as_str()), "{what}");
            }
        }
    }
    assert_eq!(calls.0.load(Ordering::SeqCst), 0, "a handler was reached");
}

#[tokio::test]
async fn two_tokens_and_odd_bytes_are_refused() {
    let (key, valid, _) = cases();
    let log = Log::default();
    let jwt = Jwt::new(key, "desk", "calculator").unwrap();
    let layer = AuthenticationLayer::new(jwt, log.write());
    let service = layer.layer(GreeterServer::new(Counting::default()));
    let valid = format!("Bearer {}", valid.as_str());
    for values in [
        vec![valid.as_bytes(), valid.as_bytes()],
        vec![b"Bearer \xe9".as_slice()],
    ] {
        let mut request = Request::post("/greeter.v1.Greeter/Greet");
        for value in values {
            request = request.header("authorization", value);
        }
        let answer = service
            .clone()
            .call(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(answer.headers()["grpc-status"], "16");
    }
    let path = "/greeter.v1.Greeter/Greet: refused: ";
    let reasons = ["more than one token", "a token that isn't ASCII"];
    assert_eq!(log.take(), reasons.map(|reason| format!("{path}{reason}")));
}

#[tokio::test]
async fn a_refusal_is_one_block_of_headers_on_the_wire() {
    let jwt = Jwt::new(cases().0, "desk", "calculator").unwrap();
    let layer = AuthenticationLayer::new(jwt, |_| {});
    let server = serve(layer, replies(&[Ok(b"reply")])).await;
    let reply = post(server.address, framed(b"hello")).await.unwrap();
    assert!(reply.ended_with_headers);
    assert_eq!(reply.headers["grpc-status"], "16");
}

/// A probe of Kubernetes sends no token, and a table that lets everybody call has to be reached.
#[tokio::test]
async fn a_method_that_is_excepted_asks_for_no_token_and_reads_none() {
    use crate::method_policy::{MethodPolicy, MethodPolicyLayer};

    let (key, valid, _) = cases();
    let log = Log::default();
    let jwt = Jwt::new(key, "desk", "calculator").unwrap();
    let layer = AuthenticationLayer::new(jwt, log.write())
        .except("/a.A/Open")
        .except("a.A/Slashless")
        .except("/a.A/Unlisted");
    let policy = MethodPolicy::<Claims>::new()
        .allow_anyone("/a.A/Open")
        .allow_anyone("/a.A/Slashless")
        .allow_anyone("/a.A/Closed")
        .allow("/a.A/Unlisted", |_| true);
    let reached = crate::testing::channel(|request: Request<Body>| {
        assert!(!request.headers().contains_key("authorization"));
        Ok::<_, StdError>(Status::new(Code::NotFound, "reached").into_http())
    });
    let service = layer.layer(MethodPolicyLayer::new(policy).layer(reached));
    let valid = format!("Bearer {}", valid.as_str());
    for (path, token, code) in [
        ("/a.A/Open", None, "5"),
        ("/a.A/Open", Some("Bearer bad"), "5"),
        ("/a.A/Open", Some(&*valid), "5"),
        ("/a.A/Slashless", None, "5"),
        ("/a.A/Closed", None, "16"),
        ("/a.A/Closed", Some("Bearer bad"), "16"),
        ("/a.A/Closed", Some(&*valid), "5"),
        ("//a.A/Open", None, "16"),
        // Nobody read who calls, so the table doesn't know them.
        ("/a.A/Unlisted", Some(&*valid), "16"),
    ] {
        let mut request = Request::post(path);
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let request = request.body(Body::empty()).unwrap();
        let answer = service.clone().call(request).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], code, "{path} {token:?}");
    }
    assert_eq!(log.take().len(), 3);
}

/// Lets everybody in, until then.
#[derive(Clone, Copy)]
struct Until(Option<Duration>);

#[tonic::async_trait]
impl Verify for Until {
    type Caller = ();

    async fn verify(&self, _: &Presented) -> Result<Verified<()>, Refusal> {
        let verified = Verified::new(());
        Ok(match self.0 {
            Some(left) => verified.until(SystemTime::now() + left),
            None => verified,
        })
    }
}

/// A token that is good for a minute opens no stream for a day.
#[tokio::test(start_paused = true)]
async fn a_call_ends_when_its_token_expires() {
    let log = Log::default();
    let layer = AuthenticationLayer::new(Until(Some(Duration::from_secs(60))), log.write());
    let often = crate::testing::Test(
        |_: crate::testing::Requests| -> tonic::codegen::BoxFuture<_, _> {
            let replies = futures::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_secs(25)).await;
                Some((Ok(bytes::Bytes::from_static(b"tick")), ()))
            });
            Box::pin(async move { Ok(tonic::Response::new(replies.boxed())) })
        },
    );
    let begin = Instant::now();
    let mut replies = stream(layer.layer(often), futures::stream::pending())
        .await
        .unwrap();
    let mut ticks = 0;
    let status = loop {
        match replies.message().await {
            Ok(Some(_)) => ticks += 1,
            Ok(None) => panic!("it has to end with a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(ticks, 2);
    assert_eq!(begin.elapsed().as_secs(), 60);
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), UNAUTHENTICATED);
    assert_eq!(
        log.take(),
        [format!(
            "{PATH}: refused: the credentials expired while the call ran"
        )]
    );
}

/// Each is refused by the first limit that it passes: that of tokens, that of headers (16 KiB), and
/// that of header blocks, where the connection ends.
#[tokio::test]
async fn a_token_of_a_megabyte_is_refused_with_a_status_and_others_are_served() {
    let (key, valid, _) = cases();
    let (ca, log, calls) = (Authority::new(), Log::default(), Counting::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let jwt = Jwt::new(key, "desk", "calculator").unwrap();
    let server = crate::server::builder()
        .tls_config(server_tls(ca.certify("localhost")))
        .unwrap()
        .layer(AuthenticationLayer::new(jwt, log.write()))
        .add_service(GreeterServer::new(calls.clone()))
        .serve_with_incoming(crate::server::incoming(listener));
    let _server = Served::new(([127, 0, 0, 1], 0).into(), server.map(drop));
    let endpoint = Endpoint::from_shared(url).unwrap();
    let endpoint = endpoint.tls_config(client_tls(ca.certificate())).unwrap();
    let channel = || ClientStatusLayer::new().layer(connect_lazy(&endpoint));
    let other = channel();
    let valid = format!("Bearer {}", valid.as_str());
    for (length, expected) in [
        (9_000, (Code::Unauthenticated, UNAUTHENTICATED)),
        (20_000, (Code::Internal, "431")),
        (1_000_000, (Code::Unavailable, "connection lost")),
    ] {
        let token = format!("Bearer {}", "x".repeat(length));
        for answer in each_kind(channel(), Some(&token)).await {
            let status = answer.unwrap_err();
            let (code, message) = expected;
            let said = (status.code(), status.message().contains(message));
            assert_eq!(said, (code, true), "{length}: {status}");
        }
        for answer in each_kind(other.clone(), Some(&valid)).await {
            assert_eq!(answer.unwrap(), "ann", "{length}");
        }
    }
    assert_eq!(log.take().len(), 4, "the others get no further than HTTP/2");
    assert_eq!(calls.0.load(Ordering::SeqCst), 12);
}

/// Counted at the other end of a pipe that holds no more than it's told to.
#[tokio::test]
async fn of_a_token_without_end_no_more_is_read_than_a_few_frames() {
    let layer = AuthenticationLayer::new(Until(None), |_| {});
    let (mut client, accepted) = tokio::io::duplex(1024);
    let incoming = futures::stream::iter([Ok::<_, std::io::Error>(accepted)]);
    let server = crate::server::builder()
        .layer(layer)
        .add_service(GreeterServer::new(Counting::default()))
        .serve_with_incoming(incoming.chain(futures::stream::pending()));
    let _server = Served::new(([127, 0, 0, 1], 0).into(), server.map(drop));
    let frame = |kind: u8, stream: u8, payload: &[u8]| {
        let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[a, b, c, kind, 0, 0, 0, 0, stream], payload].concat()
    };
    let mut written = 0;
    let mut send = async |bytes: Vec<u8>| {
        let sent = soon(client.write_all(&bytes)).await;
        written += bytes.len();
        sent
    };
    send([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, &[])].concat())
        .await
        .unwrap();
    // A header `authorization` (23 in HPACK's table) of a gigabyte.
    let begin = [0x0f, 8, 0x7f, 0x81, 0xff, 0xff, 0xff, 0x03];
    send(frame(1, 1, &begin)).await.unwrap();
    let piece = frame(9, 1, &[b'x'; 16_384]);
    while send(piece.clone()).await.is_ok() {}
    assert!(written < 300_000, "{written}");
}

/// The same before the headers: an upload that lasts.
#[tokio::test(start_paused = true)]
async fn a_handler_that_has_not_answered_yet_is_dropped_when_the_token_expires() {
    let log = Log::default();
    let layer = AuthenticationLayer::new(Until(Some(Duration::from_secs(60))), log.write());
    let (sender, receiver) = futures::channel::oneshot::channel::<()>();
    let kept = Arc::new(Mutex::new(Some(sender)));
    let never = tower::service_fn(move |_: Request<Body>| {
        let kept = kept.lock().unwrap().take();
        async move {
            let _kept = kept;
            pending::<Result<Response<Body>, StdError>>().await
        }
    });
    let begin = Instant::now();
    let request = Request::post(PATH).body(Body::empty()).unwrap();
    let answer = layer.layer(never).call(request).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "16");
    assert_eq!(begin.elapsed().as_secs(), 60);
    assert!(receiver.await.is_err(), "the handler was dropped");
    assert_eq!(log.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn credentials_without_an_end_end_nothing_and_those_of_the_past_end_at_once() {
    let slow = tower::service_fn(|_: Request<Body>| async {
        tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
        Ok::<_, StdError>(Response::new(Body::empty()))
    });
    let layer = AuthenticationLayer::new(Until(None), |_| {});
    let request = || Request::post(PATH).body(Body::empty()).unwrap();
    let answer = layer.layer(slow).call(request()).await.unwrap();
    assert!(!answer.headers().contains_key("grpc-status"));

    #[derive(Clone, Copy)]
    struct Past;
    #[tonic::async_trait]
    impl Verify for Past {
        type Caller = ();
        async fn verify(&self, _: &Presented) -> Result<Verified<()>, Refusal> {
            Ok(Verified::new(()).until(SystemTime::UNIX_EPOCH))
        }
    }
    let layer = AuthenticationLayer::new(Past, |_| {});
    let answer = layer.layer(slow).call(request()).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "16");
}

#[tokio::test(start_paused = true)]
async fn a_verifier_that_cannot_tell_is_unavailable_and_has_five_seconds() {
    #[derive(Clone, Copy)]
    struct Asks(Option<&'static str>);
    #[tonic::async_trait]
    impl Verify for Asks {
        type Caller = ();
        async fn verify(&self, _: &Presented) -> Result<Verified<()>, Refusal> {
            match self.0 {
                Some(reason) => Err(Refusal::unavailable(reason)),
                None => pending().await,
            }
        }
    }
    for (verifier, limit, reason, seconds) in [
        (Asks(Some("no answer")), None, "no answer", 0),
        (Asks(None), None, "the verifier took too long", 5),
        (
            Asks(None),
            Some(Duration::from_secs(2)),
            "the verifier took too long",
            2,
        ),
    ] {
        let log = Log::default();
        let mut layer = AuthenticationLayer::new(verifier, log.write());
        if let Some(limit) = limit {
            layer = layer.timeout(limit);
        }
        let begin = Instant::now();
        let request = Request::post(PATH).body(Body::empty()).unwrap();
        let service = layer.layer(replies(&[Ok(b"reply")]));
        let answer = service.clone().call(request).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "credentials can't be checked now");
        assert_eq!(begin.elapsed().as_secs(), seconds);
        assert_eq!(log.take(), [format!("{PATH}: refused: {reason}")]);
    }
}

/// The guide's own credentials: the ticket.
#[tokio::test]
async fn a_verifier_sees_the_method_and_all_metadata() {
    #[derive(Clone, Copy)]
    struct Tickets;
    #[tonic::async_trait]
    impl Verify for Tickets {
        type Caller = String;
        async fn verify(&self, presented: &Presented) -> Result<Verified<String>, Refusal> {
            assert!(presented.certificate_names().is_empty());
            let ticket = presented.metadata().get("x-custom-auth-ticket");
            let ticket = ticket.ok_or(Refusal::new("no ticket"))?.to_str().unwrap();
            assert!(!format!("{presented:?}").contains(ticket), "{presented:?}");
            Ok(Verified::new(format!("{ticket} at {}", presented.path())))
        }
    }
    let service = tower::service_fn(|request: Request<Body>| async move {
        let caller = request.extensions().get::<String>().unwrap();
        let answer = Response::builder().header("caller", caller);
        Ok::<_, StdError>(answer.body(Body::empty()).unwrap())
    });
    let mut service = AuthenticationLayer::new(Tickets, |_| {}).layer(service);
    let request = Request::post(PATH).header("x-custom-auth-ticket", "super-secret-ticket");
    let answer = service
        .call(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(
        answer.headers()["caller"],
        format!("super-secret-ticket at {PATH}")
    );
    let answer = service.call(Request::post(PATH).body(Body::empty()).unwrap());
    assert_eq!(answer.await.unwrap().headers()["grpc-status"], "16");
}

#[test]
fn a_line_of_the_log_is_one_line() {
    let call = RefusedCall {
        path: "/a\nb".to_owned(),
        refusal: Refusal::new("no\x1b[2J"),
    };
    assert_eq!(call.to_string(), r"/a\nb: refused: no\u{1b}[2J");
}

#[test]
fn debug_output_has_no_secrets() {
    let (key, valid, _) = cases();
    let layer = AuthenticationLayer::new(Jwt::new(key, "desk", "calculator").unwrap(), |_| {});
    let shown = format!("{:?} {:?}", layer, layer.clone().layer("inner").clone());
    assert_eq!(
        shown,
        "AuthenticationLayer { timeout: 5s, open: {}, .. } Authentication { inner: \"inner\", \
         layer: AuthenticationLayer { timeout: 5s, open: {}, .. } }"
    );
    let mut request = Request::post("/a.B/C");
    request = request.header("authorization", format!("Bearer {}", valid.as_str()));
    let presented = Presented::take(&mut request.body(()).unwrap());
    let shown = format!("{presented:?}");
    assert!(
        shown.contains("Token(") && !shown.contains(valid.as_str()),
        "{shown}"
    );
}

/// Fails on the day tonic asks by itself.
#[tokio::test]
async fn tonic_alone_asks_nobody_who_they_are() {
    let server = serve(NoLayer::new(), replies(&[Ok(b"reply")])).await;
    let reply = post(server.address, framed(b"hello")).await.unwrap();
    assert_eq!(reply.trailers["grpc-status"], "0");
}
