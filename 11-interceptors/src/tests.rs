//! One server with everything on it, and the exercises. The layers one by one are in the modules.

use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::*;
use crate::auth::SignIn;
use crate::calculator::calculator_client::CalculatorClient;
use crate::calculator::{Number, Operands};

mod auth;
mod cache;
mod faults;
mod garbage;
mod interceptor;
mod log;
mod order;
mod panics;
mod timing;

const ANN: SignIn = SignIn("token-of-ann");
const SIXTEEN: Number = Number { value: 16.0 };
const SEVEN_BY_TWO: Operands = Operands {
    left: 7.0,
    right: 2.0,
};

/// A note, and what is written to it.
fn note() -> (Note, UnboundedReceiver<String>) {
    let (sender, lines) = mpsc::unbounded_channel();
    (Arc::new(move |line| drop(sender.send(line))), lines)
}

/// What is there already.
fn written(lines: &mut UnboundedReceiver<String>) -> Vec<String> {
    std::iter::from_fn(|| lines.try_recv().ok()).collect()
}

/// What `future` comes to. Nothing that a test waits for takes twenty seconds.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future).await.unwrap()
}

/// Binds a free port; returns how to serve on it, and a URL for it.
async fn bind() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

async fn connect(url: &str) -> Channel {
    let endpoint = Channel::from_shared(url.to_owned()).unwrap();
    endpoint.connect().await.unwrap()
}

/// Serves on a free port; returns a channel, and the journal.
async fn start() -> (Channel, UnboundedReceiver<String>) {
    let (listener, url) = bind().await;
    let (journal, lines) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, journal));
    (connect(&url).await, lines)
}

#[tokio::test]
async fn the_server_logs_and_times_each_call() {
    let (channel, mut lines) = start().await;
    let mut stub = CalculatorClient::with_interceptor(channel, ANN);
    let root = stub.square_root(SIXTEEN).await.unwrap();
    assert_eq!(root.into_inner().value, 4.0);
    let quotient = stub.divide(SEVEN_BY_TWO).await.unwrap();
    assert_eq!(quotient.into_inner().value, 3.0);
    for expected in [
        "SquareRoot: slow",
        "SquareRoot: requests 1, replies 1, Ok",
        "Divide: requests 1, replies 1, Ok",
    ] {
        assert_eq!(soon(lines.recv()).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn the_server_logs_whom_it_refuses() {
    let (channel, mut lines) = start().await;
    let mut stub = CalculatorClient::new(channel);
    let status = stub.divide(SEVEN_BY_TWO).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let line = soon(lines.recv()).await.unwrap();
    assert_eq!(line, "Divide: requests 0, replies 0, Unauthenticated");
}

#[tokio::test]
#[ignore = "exercise 1: the number of the call"]
async fn exercise_1_numbers_the_calls_of_each_method() {
    let (listener, url) = bind().await;
    let (journal, _lines) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, journal));
    let channel = connect(&url).await;
    let mut stub = CalculatorClient::with_interceptor(channel.clone(), ANN);
    let number = |metadata: &tonic::metadata::MetadataMap| {
        let number = metadata.get("call-number").map(|it| it.to_str().unwrap());
        number.map(str::to_owned)
    };
    for expected in ["1", "2"] {
        let response = stub.divide(SEVEN_BY_TWO).await.unwrap();
        assert_eq!(number(response.metadata()).as_deref(), Some(expected));
    }
    let response = stub.maximum(tokio_stream::iter([SIXTEEN])).await.unwrap();
    assert_eq!(number(response.metadata()).as_deref(), Some("1"));
    // Whoever is not let in gets no number, and takes none.
    let mut bob = CalculatorClient::with_interceptor(channel, SignIn("token-of-bob"));
    let status = bob.divide(SEVEN_BY_TWO).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(number(status.metadata()), None);
    // A call that panics has its number, and all connections count together.
    let mut stub = CalculatorClient::with_interceptor(connect(&url).await, ANN);
    let status = stub.divide(Operands::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(number(status.metadata()).as_deref(), Some("3"));
}
