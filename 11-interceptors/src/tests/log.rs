//! What the log says: the status, wherever it is, when the call is over, and how long that took.

use std::sync::{Arc, Mutex};

use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::log::Log;

type Lines = Arc<Mutex<Vec<String>>>;

/// A service with the log on it, and the lines that it has written.
pub(super) fn logged<S>(service: S) -> (Log<S, impl Fn(String) + Clone + Send + Sync>, Lines) {
    let lines = Lines::default();
    let written = lines.clone();
    let layer = LogLayer::new(move |line| written.lock().unwrap().push(line));
    (layer.layer(service), lines)
}

/// What was written since the last time, each line without the service's name.
pub(super) fn take(lines: &Lines) -> Vec<String> {
    let lines = std::mem::take(&mut *lines.lock().unwrap());
    let short = |line: String| line.replace("/calculator.v1.Calculator/", "");
    lines.into_iter().map(short).collect()
}

#[tokio::test(start_paused = true)]
async fn the_status_is_found_in_headers_and_trailers_of_each_kind_of_call() {
    let (service, lines) = logged(CalculatorServer::new(Abacus));
    let mut stub = CalculatorClient::new(service);
    stub.square_root(MINUS_ONE).await.unwrap_err();
    assert_eq!(take(&lines), ["SquareRoot: InvalidArgument"]);
    stub.factorize(proto::Integer::default()).await.unwrap_err();
    assert_eq!(take(&lines), ["Factorize: Unimplemented"]);
    let mut maxima = stub
        .maximum(numbers(&[1.0, f64::NAN]))
        .await
        .unwrap()
        .into_inner();
    maxima.message().await.unwrap().unwrap();
    assert_eq!(take(&lines), [""; 0], "the call is not over");
    maxima.message().await.unwrap_err();
    assert_eq!(take(&lines), ["Maximum: InvalidArgument"]);

    let (service, lines) = logged(CalculatorServer::new(Clumsy));
    let sum = CalculatorClient::new(service)
        .add_up(numbers(&[1.0, 2.0]))
        .await;
    assert_eq!(sum.unwrap().into_inner().value, 3.0);
    assert_eq!(take(&lines), ["AddUp: Ok"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_slow_if_its_status_comes_after_a_second_not_its_headers() {
    let (service, lines) = logged(CalculatorServer::new(Abacus));
    let mut stub = CalculatorClient::new(service);
    for (millis, expected) in [(999, "Maximum: Ok"), (1000, "Maximum: Ok, slow")] {
        let (numbers, receiver) = mpsc::channel(1);
        let maxima = stub.maximum(ReceiverStream::new(receiver)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(millis)).await;
        drop(numbers);
        assert!(maxima.into_inner().message().await.unwrap().is_none());
        assert_eq!(take(&lines), [expected]);
    }
    // Here the headers come late, too.
    stub.square_root(Number { value: 16.0 }).await.unwrap();
    assert_eq!(take(&lines), ["SquareRoot: Ok, slow"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_client_drops_is_broken_off() {
    let (service, lines) = logged(CalculatorServer::new(Abacus));
    let mut stub = CalculatorClient::new(service);
    let short = Duration::from_millis(100);
    let sixteen = Number { value: 16.0 };
    timeout(short, stub.square_root(sixteen)).await.unwrap_err();
    assert_eq!(take(&lines), ["SquareRoot: broken off"]);
    let mut maxima = stub.maximum(numbers(&[1.0, 2.0])).await.unwrap();
    maxima.get_mut().message().await.unwrap().unwrap();
    drop(maxima);
    assert_eq!(take(&lines), ["Maximum: broken off"]);
}

#[tokio::test]
async fn the_same_layer_logs_a_channel() {
    let (url, mut server) = start(Abacus).await;
    let (channel, client) = logged(connect(url).await.unwrap());
    let mut bob = CalculatorClient::with_interceptor(channel, BOB);
    bob.square_root(MINUS_ONE).await.unwrap_err();
    let [line] = &take(&client)[..] else {
        panic!("one call, so one line");
    };
    // On a busy machine it may have been slow, too.
    assert!(line.starts_with("SquareRoot: InvalidArgument"), "{line}");
    assert!(
        next(&mut server)
            .await
            .ends_with("SquareRoot: InvalidArgument")
    );
}
