//! Three orders of play as they travel: in turns, one after the other, and the server stops first.

use wire::{Message, Tap};

use super::*;

/// Serves behind a tap; returns the tap and a calculator.
async fn start_tapped() -> (Tap, CalculatorClient<Channel>) {
    let (url, _journal) = start().await;
    let tap = Tap::start(url).await.unwrap();
    let channel = connect(&tap.url()).await.unwrap();
    (tap, CalculatorClient::new(channel))
}

/// Who sent what in the first call, in order. How messages are cut into frames does not matter.
fn outline(tap: &Tap) -> Vec<String> {
    let mut lines = Vec::new();
    for frame in tap.frames().iter().filter(|frame| frame.stream == 1) {
        let role = frame.role().map(|role| format!("{role:?}"));
        let messages = frame.messages().iter().map(Message::text);
        let end = frame.is_end_stream().then(|| "END_STREAM".to_owned());
        let reset = frame.reset().map(|error| format!("RST_STREAM {error}"));
        let all = role.into_iter().chain(messages).chain(end).chain(reset);
        lines.extend(all.map(|what| format!("{}: {what}", frame.direction.sender())));
    }
    lines
}

#[tokio::test]
async fn maximum_is_played_in_turns() {
    let (tap, mut calculator) = start_tapped().await;
    let (sender, sent) = mpsc::channel(1);
    let answers = in_time(calculator.maximum(ReceiverStream::new(sent))).await;
    let mut answers = answers.unwrap().into_inner();
    for value in [3.0, 1.0, 4.0] {
        sender.send(Number { value }).await.unwrap();
        in_time(answers.message()).await.unwrap().unwrap();
    }
    drop(sender);
    assert!(in_time(answers.message()).await.unwrap().is_none());
    assert_eq!(
        outline(&tap),
        [
            "client: Request",
            "server: Response",
            "client: { value: 3 }",
            "server: { value: 3 }",
            "client: { value: 1 }",
            "server: { value: 3 }",
            "client: { value: 4 }",
            "server: { value: 4 }",
            "client: END_STREAM",
            "server: Trailers",
            "server: END_STREAM",
        ]
    );
}

#[tokio::test]
async fn sort_sends_nothing_before_the_half_close() {
    let (tap, mut calculator) = start_tapped().await;
    let answers = calculator.sort(numbers(&[3.0, 1.0, 2.0])).await.unwrap();
    read(answers.into_inner()).await.1.unwrap();
    assert_eq!(
        outline(&tap),
        [
            "client: Request",
            "client: { value: 3 }",
            "client: { value: 1 }",
            "client: { value: 2 }",
            "client: END_STREAM",
            "server: Response",
            "server: { value: 1 }",
            "server: { value: 2 }",
            "server: { value: 3 }",
            "server: Trailers",
            "server: END_STREAM",
        ]
    );
}

#[tokio::test]
async fn a_server_that_ends_first_sends_its_status_before_the_half_close() {
    let (tap, mut calculator) = start_tapped().await;
    let (sender, sent) = mpsc::channel(1);
    let answers = in_time(calculator.maximum(ReceiverStream::new(sent))).await;
    let value = f64::INFINITY;
    sender.send(Number { value }).await.unwrap();
    read(answers.unwrap().into_inner()).await.1.unwrap();
    tap.wait_for(|frame| frame.reset().is_some()).await;
    assert_eq!(
        outline(&tap)[4..],
        [
            "server: Trailers",
            "server: END_STREAM",
            "server: RST_STREAM NO_ERROR",
        ]
    );
    drop(sender);
}
