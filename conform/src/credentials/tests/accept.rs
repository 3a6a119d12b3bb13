//! Keepalive inside of TLS, over memory and in paused time; and handshakes below tonic.

use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;
use tonic::codegen::BoxFuture;

use super::tls::Names;
use super::*;
use crate::keepalive::{ClientKeepalive, Closed, enforce};
use crate::status::ClientStatusLayer;
use crate::testing::{Requests, call, soon, unary};

const HOUR: Duration = Duration::from_secs(3600);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// rustls's own settings for a server called `localhost`.
fn config(ca: &Authority, of_clients: Option<&Authority>) -> ServerConfig {
    let (certificate, key) = ca.certify_pem("localhost", 2020, 2100);
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder();
    let config = match of_clients {
        Some(ca) => {
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots(ca))).build();
            config.with_client_cert_verifier(verifier.unwrap())
        }
        None => config.with_no_client_auth(),
    };
    config.with_single_cert(chain, key).unwrap()
}

fn roots(ca: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(ca.0.der().clone()).unwrap();
    roots
}

/// A server over memory, TLS on a line that can be cut.
struct Line {
    ca: Authority,
    connections: mpsc::UnboundedSender<io::Result<DuplexStream>>,
    cut: Arc<watch::Sender<bool>>,
    closed: Arc<Mutex<Vec<Closed>>>,
}

enum Tls {
    /// Below what `enforce` sees.
    Inside,
    /// Around it.
    ByTonic,
}

/// Idleness is limited to a minute. The server pings after an hour.
fn start(tls: Tls) -> Line {
    let ca = Authority::new();
    let (connections, accepted) = mpsc::unbounded_channel();
    let accepted = UnboundedReceiverStream::new(accepted);
    let closed: Arc<Mutex<Vec<_>>> = Arc::default();
    let log = closed.clone();
    let tell = move |why| log.lock().unwrap().push(why);
    // A message every ten seconds.
    let service = Test(|_: Requests| -> BoxFuture<_, _> {
        let ticks = stream::unfold((), |()| async {
            sleep(seconds(10)).await;
            Some((Ok(Bytes::from_static(b"tick")), ()))
        });
        Box::pin(async move { Ok(tonic::Response::new(ticks.boxed())) })
    });
    let server = crate::server::builder().http2_keepalive_interval(Some(HOUR));
    match tls {
        Tls::Inside => {
            let incoming = enforce(accept_tls(accepted, config(&ca, None)));
            let incoming = incoming.max_connection_idle(seconds(60)).on_close(tell);
            let server = { server }.add_service(service);
            tokio::spawn(server.serve_with_incoming(incoming));
        }
        Tls::ByTonic => {
            let incoming = enforce(accepted);
            let incoming = incoming.max_connection_idle(seconds(60)).on_close(tell);
            let identity = server_tls(ca.certify("localhost"));
            let server = server.tls_config(identity).unwrap().add_service(service);
            tokio::spawn(server.serve_with_incoming(incoming));
        }
    }
    Line {
        ca,
        connections,
        cut: Arc::new(watch::channel(false).0),
        closed,
    }
}

impl Line {
    /// Between them, nothing is said once the line is cut: nor that it is.
    fn dial(&self) -> DuplexStream {
        let ((client, mut near), (mut far, server)) = (duplex(64 * 1024), duplex(64 * 1024));
        let mut cut = self.cut.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                () = async { drop(cut.wait_for(|is_cut| *is_cut).await) } => pending().await,
            }
        });
        self.connections.send(Ok(server)).unwrap();
        client
    }

    fn endpoint(&self) -> Endpoint {
        let endpoint = Endpoint::from_static("https://localhost");
        let tls = client_tls(self.ca.certificate());
        endpoint.tls_config(tls).unwrap()
    }

    fn connector(
        self: &Arc<Self>,
    ) -> impl Service<
        tonic::codegen::http::Uri,
        Response = TokioIo<DuplexStream>,
        Error = io::Error,
        Future = std::future::Ready<io::Result<TokioIo<DuplexStream>>>,
    > + Clone
    + Send
    + Sync
    + 'static {
        let line = self.clone();
        tower::service_fn(move |_| std::future::ready(Ok(TokioIo::new(line.dial()))))
    }

    /// HTTP/2 by hand, inside of TLS.
    async fn raw(&self) -> TlsStream<DuplexStream> {
        let config = ClientConfig::builder().with_root_certificates(roots(&self.ca));
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut raw = connector.connect(name, self.dial()).await.unwrap();
        raw.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await
            .unwrap();
        raw
    }

    fn closed(&self) -> Vec<Closed> {
        self.closed.lock().unwrap().clone()
    }
}

const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0are you?";

/// Whether the server says goodbye within an hour, with these words.
async fn hears(raw: &mut TlsStream<DuplexStream>, words: &[u8]) -> bool {
    let mut heard = Vec::new();
    let listen = async {
        while raw.read_buf(&mut heard).await.is_ok_and(|read| read > 0) {
            if heard.windows(words.len()).any(|part| part == words) {
                return true;
            }
        }
        false
    };
    timeout(HOUR, listen).await.unwrap_or(false)
}

#[tokio::test(start_paused = true)]
async fn inside_of_tls_pings_are_counted_and_idleness_ends() {
    let line = start(Tls::Inside);
    let mut raw = line.raw().await;
    let begin = Instant::now();
    assert!(hears(&mut raw, b"max_idle").await);
    assert_eq!(begin.elapsed().as_secs(), 60);
    let mut raw = line.raw().await;
    raw.write_all(&PING.repeat(4)).await.unwrap();
    assert!(hears(&mut raw, b"too_many_pings").await);
    drop(raw);
    sleep(seconds(10)).await;
    assert!(line.closed().contains(&Closed::TooManyPings));
}

/// Fails on the day tonic lets others stand inside of its TLS: then [`accept_tls`] goes.
#[tokio::test(start_paused = true)]
async fn around_tonic_s_own_tls_nothing_is_seen() {
    let line = start(Tls::ByTonic);
    let mut raw = line.raw().await;
    raw.write_all(&PING.repeat(4)).await.unwrap();
    assert!(!hears(&mut raw, b"max_idle").await);
    assert_eq!(line.closed(), []);
}

#[tokio::test(start_paused = true)]
async fn over_tls_a_client_finds_a_frozen_server_in_time() {
    for tls in [Tls::Inside, Tls::ByTonic] {
        let line = Arc::new(start(tls));
        let channel = ClientKeepalive::new(seconds(30))
            .timeout(seconds(5))
            .connect_with_connector_lazy(line.endpoint(), line.connector());
        let mut ticks = tick(ClientStatusLayer::new().layer(channel)).await;
        line.cut.send_replace(true);
        let begin = Instant::now();
        let status = timeout(HOUR, ticks.message()).await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        let took = begin.elapsed().as_secs();
        assert!((25..=36).contains(&took), "{took}");
    }
}

/// A call of which a message has come.
async fn tick<S>(channel: S) -> tonic::Streaming<Bytes>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<StdError>,
{
    let mut ticks = crate::testing::stream(channel, stream::pending()).await;
    let first = ticks.as_mut().unwrap().message().await.unwrap();
    assert_eq!(first.unwrap(), "tick");
    ticks.unwrap()
}

#[tokio::test(start_paused = true)]
async fn over_tls_without_keepalive_a_frozen_server_is_waited_for() {
    let line = Arc::new(start(Tls::Inside));
    let endpoint = line.endpoint();
    let channel = endpoint.connect_with_connector_lazy(line.connector());
    let mut ticks = tick(ClientStatusLayer::new().layer(channel)).await;
    line.cut.send_replace(true);
    assert!(timeout(100 * HOUR, ticks.message()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn inside_of_tls_a_server_finds_a_frozen_client_in_time() {
    let line = Arc::new(start(Tls::Inside));
    let channel = line.endpoint();
    let channel = channel.connect_with_connector_lazy(line.connector());
    let _ticks = tick(ClientStatusLayer::new().layer(channel)).await;
    sleep(10 * HOUR).await;
    assert_eq!(line.closed(), [], "as long as it answers");
    line.cut.send_replace(true);
    sleep(HOUR + seconds(25)).await;
    assert_eq!(line.closed().len(), 1);
}

#[tokio::test]
async fn the_caller_s_certificate_is_known_to_handlers() {
    let (ca, members) = (Authority::new(), Authority::new());
    let answer = unary(|request| {
        let names = request.extensions().get::<Vec<String>>().unwrap().join(" ");
        std::future::ready(Ok(tonic::Response::new(names.into())))
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = crate::server::incoming(listener);
    let server = crate::server::builder()
        .layer(AuthenticationLayer::new(Names, |_| {}))
        .add_service(answer)
        .serve_with_incoming(enforce(accept_tls(incoming, config(&ca, Some(&members)))));
    let server = Served::new(address, server.map(drop));
    let tls = client_tls(ca.certificate());
    for (identity, name) in [(&members, Some("ann")), (&ca, None)] {
        let endpoint = tls_endpoint(&server, tls.clone().identity(identity.certify("ann")));
        let answer = call(connect_lazy(&endpoint), "who am I?").await;
        match name {
            Some(name) => assert_eq!(answer.unwrap().into_inner(), name),
            None => assert!(answer.is_err()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn handshakes_go_on_beside_each_other_and_end_in_time() {
    let line = start(Tls::Inside);
    let mut halves = Vec::new();
    for begin in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"",
    ] {
        let mut half = line.dial();
        half.write_all(begin).await.unwrap();
        halves.push(half);
    }
    let gone = io::Error::from(io::ErrorKind::ConnectionAborted);
    line.connections.send(Err(gone)).unwrap();
    let begin = Instant::now();
    let mut raw = line.raw().await;
    assert_eq!(begin.elapsed(), Duration::ZERO, "behind nobody");
    for (half, seconds) in halves.iter_mut().zip([10, 10, 10]) {
        let _ = soon(half.read_to_end(&mut Vec::new())).await;
        assert!(begin.elapsed().as_secs() <= seconds);
    }
    assert_eq!(begin.elapsed().as_secs(), 10);
    assert!(hears(&mut raw, b"max_idle").await, "it is still served");
}

#[tokio::test]
async fn what_the_listener_reports_passes() {
    let failed = io::Error::from(io::ErrorKind::OutOfMemory);
    let incoming = stream::iter([Err::<TcpStream, _>(failed)]);
    let accepted: Vec<_> = accept_tls(incoming, config(&Authority::new(), None))
        .collect()
        .await;
    let kinds: Vec<_> = accepted
        .into_iter()
        .map(|it| it.unwrap_err().kind())
        .collect();
    assert_eq!(kinds, [io::ErrorKind::OutOfMemory]);
}
