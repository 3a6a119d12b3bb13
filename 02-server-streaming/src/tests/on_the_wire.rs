//! A stream as it travels: a message for each factor when it is found, the status last, and how one hangs up.

use wire::{Direction, Frame, Tap};

use super::*;

/// Serves behind a tap; returns the tap, a stub and the journal.
async fn start_tapped() -> (Tap, Stub, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tap = Tap::start(listener.local_addr().unwrap()).await.unwrap();
    let (journal, lines) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, journal));
    let stub = Stub::connect(tap.url()).await.unwrap();
    (tap, stub, lines)
}

#[tokio::test]
async fn each_factor_is_a_message_and_the_status_comes_last() {
    let (tap, mut stub, _lines) = start_tapped().await;
    factors(&mut stub, 360).await.unwrap();
    let mut sent = Vec::new();
    for frame in tap.frames() {
        if frame.direction == Direction::ToClient {
            sent.extend(frame.role().map(|role| format!("{role:?}")));
            sent.extend(frame.messages().iter().map(|message| message.text()));
            sent.extend(frame.is_end_stream().then(|| "END_STREAM".to_owned()));
        }
    }
    let factors = [2, 2, 2, 3, 3, 5].map(|value| format!("{{ value: {value} }}"));
    assert_eq!(sent[0], "Response");
    assert_eq!(sent[1..7], factors);
    assert_eq!(sent[7..], ["Trailers", "END_STREAM"]);
    let trailers = tap.wait_for(Frame::is_trailers).await;
    assert_eq!(trailers.status(), Some("OK"));
}

#[tokio::test]
async fn a_factor_travels_before_the_next_one_is_found() {
    let (tap, mut stub, mut lines) = start_tapped().await;
    // The first factor is 2; what is left takes seconds.
    let value = 2 * 9_223_371_873_002_223_329;
    let _replies = stub.factorize(Integer { value }).await.unwrap();
    let is_reply =
        |frame: &Frame| frame.direction == Direction::ToClient && !frame.messages().is_empty();
    let first = tap.wait_for(is_reply).await;
    assert_eq!(first.messages().len(), 1);
    assert_eq!(first.messages()[0].text(), "{ value: 2 }");
    assert!(lines.try_recv().is_err(), "the search is not over");
    assert!(!tap.frames().iter().any(Frame::is_trailers));
}

#[tokio::test]
async fn hanging_up_ends_the_call_and_not_the_connection() {
    let (tap, mut stub, _lines) = start_tapped().await;
    drop(stub.factorize(Integer { value: HARD }).await.unwrap());
    let reset = tap.wait_for(|frame| frame.reset().is_some()).await;
    assert_eq!(reset.reset(), Some("CANCEL"));
    assert_eq!(reset.direction, Direction::ToServer);
    let long = tap.wait_for(Frame::is_request).await;
    assert_eq!(reset.stream, long.stream);

    assert_eq!(factors(&mut stub, 42).await.unwrap(), [2, 3, 7]);
    assert_eq!(tap.connections(), 1);
    let frames = tap.frames();
    let other = frames.iter().rfind(|frame| frame.is_request()).unwrap();
    assert_ne!(other.stream, long.stream);
}
