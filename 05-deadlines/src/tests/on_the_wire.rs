//! A deadline as it travels: a header that shrinks from hop to hop, and how its end is told to the other side.

use wire::{Direction, Frame, Role, Tap};

use super::*;
use crate::timeout::{GRPC_TIMEOUT, parse};

/// A stub whose calls go through `tap`.
fn through(tap: &Tap) -> Stub {
    stub(&Endpoint::from_shared(tap.url()).unwrap())
}

/// Serves as [`serve`] does, with a tap in front of the front server and one in front of the back server.
async fn start_tapped() -> [Tap; 2] {
    let journal = mpsc::unbounded_channel().0;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to_back = Tap::start(listener.local_addr().unwrap()).await.unwrap();
    let back = Server::builder()
        .layer(ServerDeadlineLayer::default())
        .add_service(CalculatorServer::new(Back {
            journal: journal.clone(),
        }));
    tokio::spawn(back.serve_with_incoming(incoming(listener)));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to_front = Tap::start(listener.local_addr().unwrap()).await.unwrap();
    let back = through(&to_back);
    let front = Server::builder()
        .layer(ServerDeadlineLayer::default().limit(LIMIT))
        .add_service(CalculatorServer::new(Front { back, journal }));
    tokio::spawn(front.serve_with_incoming(incoming(listener)));
    [to_front, to_back]
}

/// The time that the first call at `tap` is given.
async fn given(tap: &Tap) -> Duration {
    let request = tap.wait_for(Frame::is_request).await;
    parse(request.header(GRPC_TIMEOUT).unwrap().as_bytes()).unwrap()
}

#[tokio::test]
async fn the_timeout_shrinks_from_hop_to_hop() {
    let [to_front, to_back] = start_tapped().await;
    let request = within(2500, Integer { value: 6 });
    through(&to_front).factorize(request).await.unwrap();
    let at_first = given(&to_front).await;
    assert_eq!(at_first, Duration::from_millis(2500));
    let handed_on = given(&to_back).await;
    assert!(handed_on <= at_first - LOOK_UP, "{handed_on:?}");
    assert!(!handed_on.is_zero());
}

#[tokio::test]
async fn a_client_cancels_the_call_when_its_deadline_passes() {
    // Connections wait here for someone to accept them, and nobody does.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tap = Tap::start(silent.local_addr().unwrap()).await.unwrap();
    let mut stub = through(&tap);
    let call = tokio::spawn(async move { stub.square_root(within(60_000, HOUR)).await });
    let request = tap.wait_for(Frame::is_request).await;
    // From here on a minute passes at once.
    tokio::time::pause();
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let reset = tap.wait_for(|frame| frame.reset().is_some()).await;
    assert_eq!(reset.reset(), Some("CANCEL"));
    assert_eq!(reset.direction, Direction::ToServer);
    assert_eq!(reset.stream, request.stream);
}

#[tokio::test]
async fn a_call_that_is_refused_at_once_is_trailers_only() {
    let picky = ServerDeadlineLayer::default().at_least(Duration::from_secs(120));
    let (endpoint, _lines) = serve_sleeper(picky).await;
    let tap = Tap::start(endpoint.uri()).await.unwrap();
    let zero = Number { value: 0.0 };
    let refused = through(&tap).square_root(within(60_000, zero)).await;
    refused.unwrap_err();
    let mut frames = tap.frames();
    frames.retain(|frame| frame.direction == Direction::ToClient);
    let headers = frames.iter().find(|frame| frame.role().is_some()).unwrap();
    assert_eq!(headers.role(), Some(Role::TrailersOnly));
    assert_eq!(headers.status(), Some("DEADLINE_EXCEEDED"));
    assert!(headers.is_end_stream());
}
