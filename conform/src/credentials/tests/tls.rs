//! Handshakes that succeed, fail, take too long, or aren't any.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::codegen::http::Uri;
use tonic::transport::Server;
use tower::layer::util::Identity as NoLayer;

use super::*;
use crate::status::{ClientStatusLayer, explain};
use crate::testing::{Recorder, call, peer, replies, serve, soon, unary};

const REPLY: &[Result<&[u8], Code>] = &[Ok(b"reply")];

#[tokio::test]
async fn a_call_over_tls_is_answered() {
    let ca = Authority::new();
    let server = serve_tls(
        server_tls(ca.certify("localhost")),
        NoLayer::new(),
        replies(REPLY),
    );
    let server = server.await;
    let endpoint = tls_endpoint(&server, client_tls(ca.certificate()));
    let channel = soon(connect(&endpoint)).await.unwrap();
    assert_eq!(call(channel, "hello").await.unwrap().into_inner(), "reply");
    let lazy = connect_lazy(&endpoint);
    assert_eq!(call(lazy, "hello").await.unwrap().into_inner(), "reply");
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_refused_with_the_reason() {
    let (ca, other) = (Authority::named("the CA"), Authority::new());
    let anew = Authority::named("the CA");
    for (what, identity, reason) in [
        ("another CA", other.certify("localhost"), "UnknownIssuer"),
        (
            "the CA, made anew",
            anew.certify("localhost"),
            "BadSignature: its CA has the right name and another key. If certificates were made \
             anew, start the server again",
        ),
        (
            "another name",
            ca.certify("elsewhere"),
            "not valid for name \"localhost\"",
        ),
        (
            "expired",
            ca.certify_for("localhost", 2020, 2021),
            "expired",
        ),
        (
            "not yet valid",
            ca.certify_for("localhost", 2090, 2091),
            "not valid yet",
        ),
    ] {
        let server = serve_tls(server_tls(identity), NoLayer::new(), replies(REPLY)).await;
        let endpoint = tls_endpoint(&server, client_tls(ca.certificate()));
        let error = soon(connect(&endpoint)).await.unwrap_err();
        let said = explain(&error);
        assert!(said.contains(reason), "{what}: {said}");
    }
}

/// Answers with the names in the client's certificate.
#[derive(Clone, Copy)]
pub(super) struct Names;

#[tonic::async_trait]
impl Verify for Names {
    type Caller = Vec<String>;

    async fn verify(&self, presented: &Presented) -> Result<Verified<Vec<String>>, Refusal> {
        Ok(Verified::new(presented.certificate_names().to_vec()))
    }
}

#[tokio::test]
async fn mutual_tls_lets_in_members_only_and_knows_their_names() {
    let (ca, other) = (Authority::new(), Authority::new());
    let answer = unary(|request| {
        let names = request.extensions().get::<Vec<String>>().unwrap().join(" ");
        std::future::ready(Ok(tonic::Response::new(names.into())))
    });
    let config = server_tls(ca.certify("localhost")).client_ca_root(ca.certificate());
    let layer = AuthenticationLayer::new(Names, |_| {});
    let server = serve_tls(config, layer, answer).await;
    let client = client_tls(ca.certificate());
    for (who, config, name) in [
        (
            "a member",
            client.clone().identity(ca.certify("ann")),
            Some("ann"),
        ),
        ("nobody", client.clone(), None),
        (
            "a stranger",
            client.clone().identity(other.certify("ann")),
            None,
        ),
        (
            "a member of old",
            client.identity(ca.certify_for("ann", 2020, 2021)),
            None,
        ),
    ] {
        let endpoint = tls_endpoint(&server, config);
        let channel = ClientStatusLayer::new().layer(connect_lazy(&endpoint));
        let answer = call(channel, "who am I?").await;
        match name {
            Some(name) => assert_eq!(answer.unwrap().into_inner(), name, "{who}"),
            // TLS 1.3 tells the client after the handshake, in a race with its first call.
            None => assert!(answer.is_err(), "{who}"),
        }
    }
}

#[tokio::test]
async fn who_mixes_up_tls_and_plain_text_reads_it_in_a_sentence() {
    let ca = Authority::new();
    let secure = serve_tls(
        server_tls(ca.certify("localhost")),
        NoLayer::new(),
        replies(REPLY),
    );
    let secure = secure.await;
    let channel = connect_lazy(&secure.endpoint());
    let error = call(channel, "hello").await.unwrap_err();
    assert_eq!(
        explain(&error),
        "the server speaks TLS: its URL begins with https://"
    );

    let plain = serve(NoLayer::new(), replies(REPLY)).await;
    let endpoint = tls_endpoint(&plain, client_tls(ca.certificate()));
    let error = soon(connect(&endpoint)).await.unwrap_err();
    assert_eq!(
        explain(&error),
        "the server doesn't speak TLS: its URL begins with http://"
    );
    // The right way round, the connector isn't noticed.
    let channel = connect_lazy(&plain.endpoint());
    assert!(call(channel, "hello").await.is_ok());
}

#[tokio::test]
async fn https_without_tls_settings_is_refused_and_nothing_is_sent() {
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let server = peer(move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes).await;
            let _ = sender.send(bytes);
        }
    });
    let server = server.await;
    let url = format!("https://127.0.0.1:{}", server.address.port());
    let endpoint = Endpoint::from_shared(url).unwrap();
    call(connect_lazy(&endpoint), "secret").await.unwrap_err();
    assert_eq!(soon(received.recv()).await.unwrap(), b"");
}

/// As tonic does it when it was built without TLS: it writes HTTP/2 to what an https:// URL gave it.
#[tokio::test]
async fn a_client_without_tls_writes_nothing_to_an_https_url() {
    let (near, mut far) = tokio::io::duplex(1000);
    let url = "https://localhost".parse().unwrap();
    let stream = connector(near).call(url).await.unwrap();
    let mut stream = TokioIo::new(stream);
    let error = stream.write_all(b"PRI * HTTP/2.0").await.unwrap_err();
    let expected = "https:// asks for TLS, and this client has no TLS settings";
    assert_eq!(error.to_string(), expected);
    let slices = [io::IoSlice::new(b""), io::IoSlice::new(b"PRI")];
    let error = stream.write_vectored(&slices).await.unwrap_err();
    assert_eq!(error.to_string(), expected);
    // A handshake passes; what follows it is TLS's business.
    stream.write_all(b"\x16\x03").await.unwrap();
    stream.write_all(b"PRI").await.unwrap();
    let slices = [io::IoSlice::new(b"x"), io::IoSlice::new(b"y")];
    assert!(stream.write_vectored(&slices).await.unwrap() > 0);
    stream.flush().await.unwrap();
    stream.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    soon(far.read_to_end(&mut bytes)).await.unwrap();
    assert!(bytes.starts_with(b"\x16\x03PRIx"), "{bytes:?}");
}

/// A connector whose server is the other end of `near`.
fn connector(
    near: tokio::io::DuplexStream,
) -> CheckedConnector<
    impl Service<
        Uri,
        Response = TokioIo<tokio::io::DuplexStream>,
        Error = io::Error,
        Future: Send + 'static,
    >,
> {
    let mut near = Some(near);
    CheckedConnector::new(tower::service_fn(move |_: Uri| {
        std::future::ready(Ok::<_, io::Error>(TokioIo::new(near.take().unwrap())))
    }))
}

#[tokio::test]
async fn the_first_byte_decides_and_the_others_pass() {
    for (url, sent, is_good) in [
        ("http://localhost", &b"\0\0\x12"[..], true),
        ("http://localhost", b"HTTP/1.1", true),
        ("http://localhost", b"\x15\x03\x03", false),
        ("http://localhost", b"\x16\x03\x03", false),
        ("https://localhost", b"\x16\x03\x15", true),
        ("https://localhost", b"\x15\x03\x03", true),
        ("https://localhost", b"\0\0\x12", false),
        ("https://localhost", b"HTTP/1.1", false),
        ("https://localhost", b"", true),
    ] {
        let (near, mut far) = tokio::io::duplex(1000);
        far.write_all(sent).await.unwrap();
        far.shutdown().await.unwrap();
        let mut bytes = Vec::new();
        let read = async {
            let stream = soon(connector(near).call(url.parse().unwrap())).await?;
            soon(TokioIo::new(stream).read_to_end(&mut bytes)).await
        };
        assert_eq!(read.await.is_ok(), is_good, "{url} {sent:?}");
        let expected = if is_good { sent } else { b"" };
        assert_eq!(bytes, expected, "{url}");
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test]
async fn the_preface_is_sent_once() {
    let (near, mut far) = tokio::io::duplex(1000);
    far.write_all(b"\0").await.unwrap();
    let url = "http://localhost".parse().unwrap();
    let mut stream = TokioIo::new(connector(near).call(url).await.unwrap());
    // In whatever pieces the client writes it.
    stream.write_all(&PREFACE[..10]).await.unwrap();
    let slices = [&PREFACE[10..], b"more"].map(io::IoSlice::new);
    assert_eq!(stream.write_vectored(&slices).await.unwrap(), 14);
    stream.write_all(b"more").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, [PREFACE, b"more"].concat());
}

#[tokio::test]
async fn a_client_that_speaks_something_else_hears_it() {
    let (near, mut far) = tokio::io::duplex(1000);
    far.write_all(b"\0").await.unwrap();
    let url = "http://localhost".parse().unwrap();
    let mut stream = TokioIo::new(connector(near).call(url).await.unwrap());
    let error = stream.write_all(b"GET / HTTP/1.1").await.unwrap_err();
    assert_eq!(error.to_string(), "this connection is for HTTP/2");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_at_once_is_an_error_and_a_silent_one_is_not() {
    let url: Uri = "http://localhost".parse().unwrap();
    let (near, far) = tokio::io::duplex(1000);
    drop(far);
    assert!(connector(near).call(url.clone()).await.is_err());
    let (near, mut far) = tokio::io::duplex(1000);
    far.shutdown().await.unwrap();
    let error = connector(near).call(url.clone()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server closed the connection at once"
    );
    let (near, _far) = tokio::io::duplex(1000);
    let begin = Instant::now();
    assert!(connector(near).call(url).await.is_ok());
    assert_eq!(begin.elapsed().as_secs(), 2);
}

#[tokio::test]
async fn half_handshakes_hold_nobody_up_and_are_given_up_in_time() {
    let ca = Authority::new();
    let config = server_tls(ca.certify("localhost")).timeout(Duration::from_millis(300));
    let server = serve_tls(config, NoLayer::new(), replies(REPLY)).await;
    let mut halves = Vec::new();
    for _ in 0..50 {
        let mut half = TcpStream::connect(server.address).await.unwrap();
        // A handshake of 512 bytes begins, and that's it.
        half.write_all(b"\x16\x03\x01\x02\x00\x01\x00")
            .await
            .unwrap();
        halves.push(half);
    }
    let endpoint = tls_endpoint(&server, client_tls(ca.certificate()));
    let channel = soon(connect(&endpoint)).await.unwrap();
    assert!(call(channel, "hello").await.is_ok());
    for mut half in halves {
        // An alert, perhaps, and then the end.
        let _ = soon(half.read_to_end(&mut Vec::new())).await;
    }
}

/// When the server ends a handshake that never goes on, as far as its clock says.
async fn end_of_half_a_handshake(config: ServerTlsConfig) -> Option<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .tls_config(config)
        .unwrap()
        .add_service(replies(REPLY))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let _served = Served::new(address, server.map(drop));
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"\x16\x03\x01\x02\x00").await.unwrap();
    let begin = Instant::now();
    let mut bytes = Vec::new();
    tokio::select! {
        _ = half.read_to_end(&mut bytes) => Some(begin.elapsed()),
        () = sleep(Duration::from_secs(24 * 3600)) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_ten_seconds() {
    let config = server_tls(Authority::new().certify("localhost"));
    let end = end_of_half_a_handshake(config).await.unwrap();
    assert!(end >= HANDSHAKE_TIMEOUT, "{end:?}");
    assert!(end < HANDSHAKE_TIMEOUT + Duration::from_secs(1), "{end:?}");
}

/// Fails on the day tonic limits handshakes by itself.
#[tokio::test(start_paused = true)]
async fn tonic_alone_keeps_half_a_handshake_for_a_day() {
    let identity = Authority::new().certify("localhost");
    let config = ServerTlsConfig::new().identity(identity);
    assert_eq!(end_of_half_a_handshake(config).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_gives_a_silent_server_ten_seconds() {
    let silent = peer(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let silent = silent.await;
    let endpoint = tls_endpoint(&silent, client_tls(Authority::new().certificate()));
    let begin = Instant::now();
    connect(&endpoint).await.unwrap_err();
    let end = begin.elapsed();
    assert!(
        end >= HANDSHAKE_TIMEOUT && end < HANDSHAKE_TIMEOUT * 2,
        "{end:?}"
    );
}

/// Fails on the day tonic says what is wrong: then [`CheckedConnector`] goes.
#[tokio::test]
async fn tonic_alone_names_neither_tls_nor_plain_text() {
    let ca = Authority::new();
    let secure = serve_tls(
        server_tls(ca.certify("localhost")),
        NoLayer::new(),
        replies(REPLY),
    );
    let secure = secure.await;
    let error = call(secure.channel(), "hello").await.unwrap_err();
    let chain = iter::successors(Some(&error as &dyn Error), |&error| error.source());
    let chain: Vec<String> = chain.map(ToString::to_string).collect();
    assert!(chain.iter().all(|it| !it.contains("TLS")), "{chain:?}");
}

#[test]
fn what_is_not_a_certificate_has_no_names() {
    let garbage = tonic::transport::CertificateDer::from(vec![0x30, 0x82, 0xff, 0xff]);
    assert_eq!(certificate_names(&garbage), [""; 0]);
    assert_eq!(certificate_names(&Vec::new().into()), [""; 0]);
}

#[test]
fn names_are_dns_names_and_uris() {
    let mut params = CertificateParams::new(["ann".to_owned()]).unwrap();
    let uri = "spiffe://members/ann".try_into().unwrap();
    params.subject_alt_names.push(rcgen::SanType::URI(uri));
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let names = certificate_names(certificate.der());
    assert_eq!(names, ["ann", "spiffe://members/ann"]);
}

#[tokio::test]
async fn the_settings_of_tcp_are_those_of_the_endpoint() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let second = Duration::from_secs(1);
    for is_set in [true, false] {
        let endpoint = Endpoint::from_shared(url.clone())
            .unwrap()
            .tcp_nodelay(is_set)
            .tcp_keepalive(is_set.then_some(second));
        let mut connector = crate::checked::tcp(&endpoint).inner;
        std::future::poll_fn(|cx| connector.poll_ready(cx))
            .await
            .unwrap();
        let connection = soon(connector.call(endpoint.uri().clone())).await.unwrap();
        assert_eq!(connection.inner().nodelay().unwrap(), is_set);
        let socket = socket2::SockRef::from(connection.inner());
        assert_eq!(socket.keepalive().unwrap(), is_set);
    }
}

/// A connection to an `https://` URL, before the first byte.
async fn checked(inner: Recorder) -> CheckedIo<TokioIo<Recorder>> {
    let connector = tower::service_fn(move |_| {
        std::future::ready(Ok::<_, io::Error>(TokioIo::new(inner.clone())))
    });
    let url = Uri::from_static("https://localhost");
    CheckedConnector::new(connector).call(url).await.unwrap()
}

#[tokio::test]
async fn a_checked_connection_is_flushed_and_vectored_as_what_is_inside() {
    for is_vectored in [false, true] {
        let recorder = Recorder::new(is_vectored);
        let mut io = checked(recorder.clone()).await;
        assert_eq!(rt::Write::is_write_vectored(&io), is_vectored);
        poll_fn(|cx| rt::Write::poll_flush(Pin::new(&mut io), cx))
            .await
            .unwrap();
        assert_eq!(recorder.asked(), ["flush"]);
    }
}

#[tokio::test]
async fn to_have_written_nothing_is_not_to_have_begun() {
    let mut io = checked(Recorder::new(true)).await;
    let nothing = poll_fn(|cx| rt::Write::poll_write(Pin::new(&mut io), cx, b"")).await;
    assert_eq!(nothing.unwrap(), 0);
    let nothing = poll_fn(|cx| rt::Write::poll_write_vectored(Pin::new(&mut io), cx, &[])).await;
    assert_eq!(nothing.unwrap(), 0);
    let plain = poll_fn(|cx| rt::Write::poll_write(Pin::new(&mut io), cx, b"PRI *")).await;
    assert_eq!(
        plain.unwrap_err().to_string(),
        "https:// asks for TLS, and this client has no TLS settings"
    );
}

#[test]
fn a_checked_connector_is_as_ready_as_what_is_inside() {
    let mut connector = CheckedConnector::new(Unready);
    let cx = &mut Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(Err(error)) = connector.poll_ready(cx) else {
        panic!("it can't be ready");
    };
    assert_eq!(error.to_string(), "no more connections");
}

/// Fails before it is asked to connect.
struct Unready;

impl Service<Uri> for Unready {
    type Response = TokioIo<Recorder>;
    type Error = io::Error;
    type Future = std::future::Pending<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::Error::other("no more connections")))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        std::future::pending()
    }
}
