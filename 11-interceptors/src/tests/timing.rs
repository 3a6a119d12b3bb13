//! How long a call took, in paused time: to the status, not to the headers.

use std::sync::Mutex;

use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::timing::{Timed, slow};

type Stub = CalculatorClient<Timed<CalculatorServer<Abacus>>>;
type Times = Arc<Mutex<Vec<(String, Duration)>>>;

fn timed() -> (Stub, Times) {
    let times = Times::default();
    let kept = times.clone();
    let layer = TimingLayer::new(Arc::new(move |method, time| {
        kept.lock().unwrap().push((method.to_owned(), time));
    }));
    let service = ServiceBuilder::new()
        .layer(layer)
        .service(CalculatorServer::new(Abacus));
    (CalculatorClient::new(service), times)
}

/// Timers fire on the next whole millisecond.
fn assert_took(times: &Times, method: &str, expected: Duration) {
    let times = times.lock().unwrap();
    let [(name, time)] = &times[..] else {
        panic!("{} calls were measured", times.len());
    };
    assert_eq!(name, method);
    assert!(*time >= expected && *time <= expected + Duration::from_millis(3));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_measured() {
    let (mut stub, times) = timed();
    stub.square_root(SIXTEEN).await.unwrap();
    assert_took(&times, "SquareRoot", abacus::ROOT);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_measured_to_its_end_and_not_to_its_headers() {
    let (mut stub, times) = timed();
    let (numbers, receiver) = mpsc::channel(1);
    let maxima = stub.maximum(ReceiverStream::new(receiver)).await.unwrap();
    let mut maxima = maxima.into_inner();
    numbers.send(SIXTEEN).await.unwrap();
    maxima.message().await.unwrap();
    assert!(times.lock().unwrap().is_empty(), "the call is not over");
    sleep(Duration::from_secs(60)).await;
    drop(numbers);
    assert!(maxima.message().await.unwrap().is_none());
    assert_took(&times, "Maximum", Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_broken_off_is_measured_too() {
    let (mut stub, times) = timed();
    let short = Duration::from_millis(300);
    timeout(short, stub.square_root(SIXTEEN)).await.unwrap_err();
    assert_took(&times, "SquareRoot", short);
}

#[tokio::test(start_paused = true)]
async fn only_slow_calls_are_noted() {
    let (note, mut lines) = note();
    let service = ServiceBuilder::new()
        .layer(TimingLayer::new(slow(note)))
        .service(CalculatorServer::new(Abacus));
    let mut stub = CalculatorClient::new(service);
    stub.divide(SEVEN_BY_TWO).await.unwrap();
    stub.square_root(SIXTEEN).await.unwrap();
    assert_eq!(written(&mut lines), ["SquareRoot: slow"]);
}
