//! How the tests call the server and take part in the chat, and the two exercises.

use std::future::Future;

use futures::Stream;
use tokio::sync::mpsc::{self, Sender, UnboundedReceiver};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;

use super::*;
use crate::calculator::Number;
use crate::calculator::calculator_client::CalculatorClient;
use crate::guest::connect;

mod calculator;
mod garbage;
mod on_the_wire;
mod room;
mod sleeper;

/// Serves on a free port and returns its URL. Bound is enough: connections wait until they are served.
async fn start() -> (String, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (journal, lines) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, journal));
    (url, lines)
}

async fn calculator() -> CalculatorClient<Channel> {
    CalculatorClient::new(connect(&start().await.0).await.unwrap())
}

fn numbers(values: &[f64]) -> impl Stream<Item = Number> + Send + use<> {
    stream::iter(values.to_vec()).map(|value| Number { value })
}

/// Reads a call to its end: the answers, and what came after them.
async fn read(mut answers: Streaming<Number>) -> (Vec<f64>, Result<(), Status>) {
    let mut values = Vec::new();
    loop {
        match in_time(answers.message()).await {
            Ok(Some(answer)) => values.push(answer.value),
            Ok(None) => return (values, Ok(())),
            Err(status) => return (values, Err(status)),
        }
    }
}

/// Waits, but not for ever: a test that hangs does not say which one it is.
async fn in_time<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(60), future).await.unwrap()
}

/// Someone in the room.
struct Guest {
    sender: Sender<Line>,
    heard: Streaming<Line>,
}

impl Guest {
    async fn enter(url: &str, name: &str) -> Self {
        let channel = connect(url).await.unwrap();
        Self::enter_by(&channel, name).await.unwrap()
    }

    async fn enter_by(channel: &Channel, name: &str) -> Result<Self, Status> {
        let (sender, heard) = in_time(guest::enter(channel.clone(), name)).await?;
        Ok(Self { sender, heard })
    }

    async fn says(&self, text: &str) {
        let line = Line::new("", text);
        in_time(self.sender.send(line)).await.unwrap();
    }

    /// The next line, as it is printed. `None` at the end of the call.
    async fn hears(&mut self) -> Option<String> {
        let line = in_time(self.heard.message()).await.unwrap();
        line.map(|line| line.to_string())
    }

    async fn assert_hears(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.hears().await.as_deref(), Some(*line));
        }
    }
}

#[tokio::test]
#[ignore = "exercise 1: differences"]
async fn exercise_1_answers_each_number_but_the_first() {
    let mut calculator = calculator().await;
    let (sender, sent) = mpsc::channel(1);
    let answers = in_time(calculator.differences(ReceiverStream::new(sent))).await;
    let mut answers = answers.unwrap().into_inner();
    sender.send(Number { value: 3.0 }).await.unwrap();
    for (value, difference) in [(5.0, 2.0), (4.5, -0.5), (4.5, 0.0)] {
        sender.send(Number { value }).await.unwrap();
        let answer = in_time(answers.message()).await.unwrap().unwrap();
        assert_eq!(answer.value, difference);
    }
    drop(sender);
    assert!(in_time(answers.message()).await.unwrap().is_none());

    for too_few in [&[][..], &[7.0]] {
        let answers = in_time(calculator.differences(numbers(too_few))).await;
        let (answers, end) = read(answers.unwrap().into_inner()).await;
        assert_eq!(answers, [0.0; 0]);
        end.unwrap();
    }
}

#[tokio::test]
#[ignore = "exercise 2: a line for one"]
async fn exercise_2_a_private_line_is_heard_by_one() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let mut bob = Guest::enter(&url, "Bob").await;
    let mut cid = Guest::enter(&url, "Cid").await;
    ann.assert_hears(&["* Bob joins", "* Cid joins"]).await;
    bob.assert_hears(&["* Cid joins"]).await;

    ann.says("@Bob A word with you.").await;
    ann.says("@Zoe Where are you?").await;
    ann.says("Hello, all.").await;
    bob.assert_hears(&["Ann: @Bob A word with you.", "Ann: Hello, all."])
        .await;
    cid.assert_hears(&["Ann: Hello, all."]).await;
    ann.assert_hears(&["* nobody here is called Zoe"]).await;
}
