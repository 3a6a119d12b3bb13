//! Connections inside of TLS.

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tonic::transport::ServerTlsConfig;

use super::*;
use crate::credentials::tests::{Authority, serve_tls};
use crate::credentials::{client_tls, server_tls};

/// A channel to a fleet that is told by hand, whose servers `ca` has certified as `localhost`.
fn channel(fleet: &Manual, config: &str, ca: &Authority) -> Channel {
    let builder = Channel::builder("fleet:test").scheme(fleet.clone());
    let builder = builder.authority("localhost").service_config(config);
    let channel = builder.tls(client_tls(ca.certificate())).connect_lazy();
    channel.unwrap()
}

async fn server(ca: &Authority, name: &str) -> Served {
    let config = server_tls(ca.certify(name));
    serve_tls(config, Identity::new(), replies(&[Ok(b"secret")])).await
}

/// A server that answers with its name over TLS, its first call only when it's told to. It says
/// GOAWAY when `stop` is dropped.
struct Stoppable {
    served: Served,
    stop: tokio::sync::oneshot::Sender<()>,
    has_begun: tokio::sync::mpsc::Receiver<()>,
    go_on: tokio::sync::watch::Sender<bool>,
}

async fn stoppable(config: ServerTlsConfig) -> Stoppable {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (begun, has_begun) = tokio::sync::mpsc::channel(1);
    let (go_on, may_go_on) = tokio::sync::watch::channel(false);
    let service = unary(move |_| {
        let (begun, mut may_go_on) = (begun.clone(), may_go_on.clone());
        async move {
            let _ = begun.try_send(());
            may_go_on.wait_for(|go_on| *go_on).await.unwrap();
            Ok(Response::new(Bytes::from_static(b"old")))
        }
    });
    let server = Server::builder()
        .tls_config(config)
        .unwrap()
        .add_service(service)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
            let _ = stopped.await;
        });
    Stoppable {
        served: Served::new(address, server),
        stop,
        has_begun,
        go_on,
    }
}

#[tokio::test]
async fn a_connection_is_ready_once_its_handshake_is_done() {
    let ca = Authority::new();
    let server = server(&ca, "localhost").await;
    // In front of the server stands one that lets the handshake wait.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = Backend::at(listener.local_addr().unwrap());
    let fleet = Manual::new("fleet");
    fleet.set(Update::new([front]));
    let channel = channel(&fleet, "{}", &ca);
    let mut calling = Box::pin(answer(&channel));
    assert!(futures::poll!(&mut calling).is_pending());
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    // The beginning of the handshake is here, and nothing more happens.
    soon(stream.readable()).await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert_eq!(channel.state().get(), State::Connecting);
    }
    assert!(futures::poll!(&mut calling).is_pending());
    let mut behind = TcpStream::connect(server.address).await.unwrap();
    tokio::spawn(async move { copy_bidirectional(&mut stream, &mut behind).await });
    assert_eq!(soon(calling).await.unwrap(), "secret");
    assert_eq!(channel.state().get(), State::Ready);
}

#[tokio::test]
async fn what_is_not_the_right_server_fails_calls_with_the_reason_and_is_left_in_peace() {
    let (ca, other) = (Authority::new(), Authority::new());
    let plain = named("plain").await;
    for (behind, reason) in [
        (
            server(&ca, "elsewhere").await,
            "not valid for name \"localhost\"",
        ),
        (server(&other, "localhost").await, "UnknownIssuer"),
        (plain, "doesn't speak TLS"),
    ] {
        let (front, connections) = counted(&behind).await;
        let fleet = Manual::new("fleet");
        fleet.set(backends([&front]));
        let channel = channel(&fleet, ROUND_ROBIN, &ca);
        // The second one doesn't have it connected again: that is the backoff's business.
        for _ in 0..2 {
            let status = soon(call(channel.clone(), "request")).await.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable, "{reason}");
            let said = status.message();
            assert!(said.contains(reason), "{reason}: {said}");
            assert!(said.contains(&front.address.to_string()), "{said}");
            assert_eq!(channel.state().get(), State::TransientFailure, "{reason}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{reason}");
    }
}

#[tokio::test]
async fn a_channel_of_plain_text_says_that_the_server_speaks_tls() {
    let ca = Authority::new();
    let server = server(&ca, "localhost").await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = super::channel(&fleet, "{}");
    let status = soon(call(channel, "request")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("speaks TLS"), "{status}");
}

/// PROTOCOL-HTTP2, "GOAWAY Frame", which nobody but the connection itself can see here.
#[tokio::test]
async fn a_goaway_inside_of_tls_sends_new_calls_elsewhere_and_leaves_running_ones_alone() {
    let ca = Authority::new();
    let mut old = stoppable(server_tls(ca.certify("localhost"))).await;
    let new = server(&ca, "localhost").await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&old.served, &new]));
    // pick_first: no other backend is connected.
    let channel = channel(&fleet, "{}", &ca);
    let running = tokio::spawn({
        let channel = channel.clone();
        async move { answer(&channel).await }
    });
    soon(old.has_begun.recv()).await.unwrap();
    drop(old.stop);
    // Until the GOAWAY is here, calls go there too, and wait.
    soon(async {
        let patience = Duration::from_millis(100);
        while tokio::time::timeout(patience, answer(&channel)).await != Ok(Ok("secret".into())) {}
    })
    .await;
    assert_eq!(soon(answer(&channel)).await.as_deref(), Ok("secret"));
    old.go_on.send(true).unwrap();
    assert_eq!(soon(running).await.unwrap().as_deref(), Ok("old"));
}

#[tokio::test]
async fn a_connection_inside_of_tls_that_is_closed_is_replaced() {
    let ca = Authority::new();
    let fleet = Manual::new("fleet");
    let old = server(&ca, "localhost").await;
    let (front, _) = counted(&old).await;
    let new = server(&ca, "localhost").await;
    fleet.set(backends([&front, &new]));
    let channel = channel(&fleet, "{}", &ca);
    assert_eq!(answer(&channel).await.as_deref(), Ok("secret"));
    drop((front, old));
    assert_eq!(soon(answer(&channel)).await.as_deref(), Ok("secret"));
}
