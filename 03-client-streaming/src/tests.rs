//! What a summary promises, and the exercise.

use std::time::Duration;

use futures::stream;
use tokio::sync::mpsc::{self, Sender, UnboundedReceiver};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;

use super::*;
use crate::calculator::calculator_client::CalculatorClient;

mod broken;
mod garbage;
mod large;
mod on_the_wire;
mod open;

type Stub = CalculatorClient<Channel>;

/// Serves on a free port; returns the URL and the journal.
async fn start() -> (String, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (journal, lines) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, journal));
    (url, lines)
}

/// As `start`, but without what this lesson adds to tonic: the layer and the windows.
async fn start_with_tonic_alone() -> (String, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (journal, lines) = mpsc::unbounded_channel();
    let server = Server::builder().add_service(CalculatorServer::new(Abacus { journal }));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (url, lines)
}

async fn summarize(stub: &mut Stub, readings: &[f64]) -> Result<Summary, Status> {
    let readings: Vec<_> = readings.iter().map(|&value| Number { value }).collect();
    Ok(stub.summarize(stream::iter(readings)).await?.into_inner())
}

/// Begins an upload of two readings and leaves it open. The server knows of it.
async fn open_upload(stub: &Stub) -> (Sender<Number>, JoinHandle<Result<Summary, Status>>) {
    let (sender, readings) = mpsc::channel(1);
    let mut other = stub.clone();
    let upload = tokio::spawn(async move {
        let reply = other.summarize(ReceiverStream::new(readings)).await;
        reply.map(Response::into_inner)
    });
    for value in [1.0, 2.0] {
        sender.send(Number { value }).await.unwrap();
    }
    // Calls begin in order: once a later call is answered, the server knows of the earlier one.
    summarize(&mut stub.clone(), &[]).await.unwrap_err();
    (sender, upload)
}

/// The time is a guard against waiting for ever, not a measure.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.unwrap()
}

async fn next_line(lines: &mut UnboundedReceiver<String>) -> String {
    soon(lines.recv()).await.unwrap()
}

/// A new connection is served, and the journal holds nothing more about those before.
async fn assert_serves(url: &str, lines: &mut UnboundedReceiver<String>) {
    let mut stub = Stub::connect(url.to_owned()).await.unwrap();
    let summary = soon(summarize(&mut stub, &[1.0; 7])).await.unwrap();
    assert_eq!(summary.count, 7);
    assert_eq!(next_line(lines).await, "summarized 7 readings");
}

#[tokio::test]
async fn readings_are_summarized() {
    let (url, mut lines) = start().await;
    let mut stub = Stub::connect(url).await.unwrap();
    for (readings, mean, minimum, maximum) in [
        (&[19.5, 21.5, 20.5, 22.5][..], 21.0, 19.5, 22.5),
        (&[-3.0, 3.0], 0.0, -3.0, 3.0),
        (&[0.25], 0.25, 0.25, 0.25),
        (&[5.0, 5.0, 5.0], 5.0, 5.0, 5.0),
    ] {
        let count = readings.len() as u64;
        let expected = Summary {
            count,
            mean,
            minimum,
            maximum,
        };
        assert_eq!(summarize(&mut stub, readings).await.unwrap(), expected);
        let line = format!("summarized {count} readings");
        assert_eq!(next_line(&mut lines).await, line);
    }
}

#[tokio::test]
async fn the_mean_of_the_largest_readings_is_finite() {
    let (url, _lines) = start().await;
    let mut stub = Stub::connect(url).await.unwrap();
    for (readings, mean) in [
        (&[1e308, 1e308, 1e308][..], 1e308),
        (&[f64::MAX, f64::MAX], f64::MAX),
        (&[1e308, -1e308], 0.0),
        (&[f64::MIN, f64::MAX, f64::MIN, f64::MAX], 0.0),
    ] {
        let summary = summarize(&mut stub, readings).await.unwrap();
        let error = (summary.mean - mean).abs();
        assert!(
            error <= 1e-15 * summary.maximum,
            "{readings:?}: {summary:?}"
        );
    }
}

#[tokio::test]
async fn no_readings_at_all_are_refused() {
    let (url, mut lines) = start().await;
    let mut stub = Stub::connect(url.clone()).await.unwrap();
    let status = summarize(&mut stub, &[]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("no readings"), "{status}");
    assert_serves(&url, &mut lines).await;
}

#[tokio::test]
async fn a_reading_that_is_not_finite_is_refused_by_its_number() {
    let (url, mut lines) = start().await;
    let mut stub = Stub::connect(url.clone()).await.unwrap();
    for (readings, start) in [
        (&[f64::NAN][..], "reading 1 is NaN"),
        (&[1.0, 2.0, f64::INFINITY, f64::NAN], "reading 3 is inf"),
        (&[1.0, f64::NEG_INFINITY], "reading 2 is -inf"),
    ] {
        let status = summarize(&mut stub, readings).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(start), "{status}");
    }
    assert_serves(&url, &mut lines).await;
}

#[tokio::test]
#[ignore = "exercise 1: answer before the last number"]
async fn exercise_1_adds_up_to_the_first_zero() {
    let (url, _lines) = start().await;
    let mut stub = Stub::connect(url).await.unwrap();
    for (numbers, sum) in [(&[1.0, 2.5, 4.0][..], 7.5), (&[], 0.0), (&[0.0, 9.0], 0.0)] {
        let numbers = numbers.iter().map(|&value| Number { value });
        let numbers: Vec<_> = numbers.collect();
        let reply = stub.add_up(stream::iter(numbers)).await.unwrap();
        assert_eq!(reply.into_inner().value, sum);
    }

    let (sender, numbers) = mpsc::channel(8);
    for value in [1.0, 2.0, -4.0, 0.0, 100.0] {
        sender.send(Number { value }).await.unwrap();
    }
    let reply = soon(stub.add_up(ReceiverStream::new(numbers)))
        .await
        .unwrap();
    assert_eq!(reply.into_inner().value, -1.0);
    // The client has not finished, and learns that it need not.
    soon(sender.closed()).await;
}
