//! An upload as it travels: how its end differs from giving up, and what a server sends that refuses it.

use wire::{Direction, Frame, Message, Tap};

use super::*;

/// The first stream that a client opens. Further ones have further odd numbers.
const FIRST: u32 = 1;

/// Serves behind a tap; returns the tap and a stub.
async fn start_tapped() -> (Tap, Stub) {
    let (url, _lines) = start().await;
    let tap = Tap::start(url).await.unwrap();
    let stub = Stub::connect(tap.url()).await.unwrap();
    (tap, stub)
}

/// Who sent what on this stream, in order. How messages are cut into frames does not matter.
fn outline(tap: &Tap, stream: u32) -> Vec<String> {
    let mut lines = Vec::new();
    for frame in tap.frames().iter().filter(|frame| frame.stream == stream) {
        let role = frame.role().map(|role| format!("{role:?}"));
        let messages = frame.messages().iter().map(Message::text);
        let end = frame.is_end_stream().then(|| "END_STREAM".to_owned());
        let reset = frame.reset().map(|error| format!("RST_STREAM {error}"));
        let all = role.into_iter().chain(messages).chain(end).chain(reset);
        lines.extend(all.map(|what| format!("{}: {what}", frame.direction.sender())));
    }
    lines
}

/// Waits for the reset of the first call.
async fn reset(tap: &Tap) -> Frame {
    tap.wait_for(|frame| frame.stream == FIRST && frame.reset().is_some())
        .await
}

#[tokio::test]
async fn an_upload_ends_with_a_half_close_and_only_then_comes_the_reply() {
    let (tap, stub) = start_tapped().await;
    let (sender, upload) = open_upload(&stub).await;
    drop(sender);
    soon(upload).await.unwrap().unwrap();
    assert_eq!(
        outline(&tap, FIRST),
        [
            "client: Request",
            "client: { value: 1 }",
            "client: { value: 2 }",
            "client: END_STREAM",
            "server: Response",
            "server: { count: 2, mean: 1.5, minimum: 1, maximum: 2 }",
            "server: Trailers",
            "server: END_STREAM",
        ]
    );
}

#[tokio::test]
async fn a_cancelled_upload_is_reset_without_a_half_close() {
    let (tap, stub) = start_tapped().await;
    let (_sender, upload) = open_upload(&stub).await;
    upload.abort();
    assert_eq!(reset(&tap).await.direction, Direction::ToServer);
    let outline = outline(&tap, FIRST);
    assert_eq!(outline.last().unwrap(), "client: RST_STREAM CANCEL");
    assert!(!outline.contains(&"client: END_STREAM".to_owned()));
}

#[tokio::test]
async fn a_refused_upload_is_ended_by_the_server_without_an_error_of_http2() {
    let (tap, stub) = start_tapped().await;
    let (sender, upload) = open_upload(&stub).await;
    sender.send(Number { value: f64::NAN }).await.unwrap();
    soon(upload).await.unwrap().unwrap_err();
    assert_eq!(reset(&tap).await.direction, Direction::ToClient);
    let outline = outline(&tap, FIRST);
    assert_eq!(
        outline[4..],
        [
            "server: TrailersOnly",
            "server: END_STREAM",
            "server: RST_STREAM NO_ERROR",
        ]
    );
}
