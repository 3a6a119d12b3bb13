//! What the log's line says of a call: the status, wherever it is, and messages, not frames.

use std::sync::Mutex;

use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::Bytes;

use super::*;
use crate::log::Logged;
use crate::messages;

type Stub = CalculatorClient<Logged<CalculatorServer<Abacus>>>;

fn logged() -> (Stub, UnboundedReceiver<String>) {
    let (note, lines) = note();
    let service = ServiceBuilder::new()
        .layer(LogLayer::new(note))
        .service(CalculatorServer::new(Abacus));
    (CalculatorClient::new(service), lines)
}

#[tokio::test(start_paused = true)]
async fn the_status_is_found_in_the_headers_and_in_the_trailers() {
    let (mut stub, mut lines) = logged();
    stub.square_root(SIXTEEN).await.unwrap();
    let minus_one = Number { value: -1.0 };
    stub.square_root(minus_one).await.unwrap_err();
    assert_eq!(
        written(&mut lines),
        [
            "SquareRoot: requests 1, replies 1, Ok",
            "SquareRoot: requests 1, replies 0, InvalidArgument",
        ]
    );
}

#[tokio::test]
async fn a_stream_that_fails_after_its_messages_is_no_success() {
    let (mut stub, mut lines) = logged();
    let numbers = tokio_stream::iter([1.0, 2.0, f64::NAN].map(|value| Number { value }));
    let mut maxima = stub.maximum(numbers).await.unwrap().into_inner();
    for _ in 0..2 {
        maxima.message().await.unwrap().unwrap();
    }
    maxima.message().await.unwrap_err();
    assert_eq!(
        written(&mut lines),
        ["Maximum: requests 3, replies 2, InvalidArgument"]
    );
}

#[tokio::test]
async fn a_stream_is_logged_when_it_ends_with_its_messages_in_both_directions() {
    let (mut stub, mut lines) = logged();
    let (numbers, receiver) = mpsc::channel(1);
    let maxima = stub.maximum(ReceiverStream::new(receiver)).await.unwrap();
    let mut maxima = maxima.into_inner();
    for _ in 0..1000 {
        numbers.send(SIXTEEN).await.unwrap();
        maxima.message().await.unwrap().unwrap();
    }
    assert!(lines.try_recv().is_err(), "the call is not over");
    drop(numbers);
    assert!(maxima.message().await.unwrap().is_none());
    assert_eq!(
        written(&mut lines),
        ["Maximum: requests 1000, replies 1000, Ok"]
    );
}

#[tokio::test]
async fn a_channel_is_logged_by_the_same_layer_as_a_server() {
    let (channel, mut server) = start().await;
    let (note, mut client) = note();
    let logged = ServiceBuilder::new()
        .layer(LogLayer::new(note))
        .service(channel);
    let mut stub = CalculatorClient::with_interceptor(logged, ANN);
    stub.divide(SEVEN_BY_TWO).await.unwrap();
    let line = "Divide: requests 1, replies 1, Ok";
    assert_eq!(soon(server.recv()).await.unwrap(), line);
    assert_eq!(written(&mut client), [line]);
}

#[tokio::test]
async fn a_call_that_reaches_no_server_is_broken_off() {
    let (listener, url) = bind().await;
    drop(listener);
    let channel = Channel::from_shared(url).unwrap().connect_lazy();
    let (note, mut lines) = note();
    let logged = ServiceBuilder::new()
        .layer(LogLayer::new(note))
        .service(channel);
    let status = CalculatorClient::new(logged).divide(SEVEN_BY_TWO).await;
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
    assert_eq!(
        written(&mut lines),
        ["Divide: requests 0, replies 0, broken off"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_client_drops_is_broken_off() {
    let (mut stub, mut lines) = logged();
    let short = Duration::from_millis(100);
    timeout(short, stub.square_root(SIXTEEN)).await.unwrap_err();
    let mut maxima = stub
        .maximum(tokio_stream::iter([SIXTEEN; 3]))
        .await
        .unwrap();
    maxima.get_mut().message().await.unwrap();
    drop(maxima);
    let lines = written(&mut lines);
    assert_eq!(lines[0], "SquareRoot: requests 1, replies 0, broken off");
    assert!(lines[1].starts_with("Maximum: "), "{}", lines[1]);
    assert!(lines[1].ends_with("broken off"), "{}", lines[1]);
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn messages_are_counted_and_not_frames() {
    // An empty message, one of three bytes, one of 300.
    let mut bytes = vec![0, 0, 0, 0, 0];
    bytes.extend([0, 0, 0, 0, 3, 1, 2, 3]);
    bytes.extend([0, 0, 0, 1, 44]);
    bytes.extend([7; 300]);
    for size in 1..=bytes.len() {
        let frames: Vec<_> = bytes
            .chunks(size)
            .map(|chunk| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(chunk))))
            .collect();
        let count = Arc::new(Mutex::new(0));
        let counted = count.clone();
        let body = StreamBody::new(tokio_stream::iter(frames));
        let body = messages::each(body, move || *counted.lock().unwrap() += 1);
        assert_eq!(body.collect().await.unwrap().to_bytes(), bytes);
        assert_eq!(*count.lock().unwrap(), 3, "in frames of {size}");
    }
}

#[tokio::test]
async fn a_message_counts_when_all_of_it_has_passed() {
    for (bytes, expected) in [(&[][..], 0), (&[0; 4], 0), (&[0, 0, 0, 0, 2, 9], 0)] {
        let count = Arc::new(Mutex::new(0));
        let counted = count.clone();
        let frame = Ok::<_, Status>(Frame::data(Bytes::from_static(bytes)));
        let body = StreamBody::new(tokio_stream::iter([frame]));
        let body = messages::each(body, move || *counted.lock().unwrap() += 1);
        body.collect().await.unwrap();
        assert_eq!(*count.lock().unwrap(), expected);
    }
}
