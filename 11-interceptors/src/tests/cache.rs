//! What is answered from the cache, what is not, and what passes through it unchanged.

use std::convert::Infallible;
use std::sync::Mutex;

use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tonic::codegen::Bytes;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::answers::{LONGEST, MOST};
use crate::cache::{CacheLayer, Cached};
use crate::log::Logged;

type Stub = CalculatorClient<Cached<Logged<CalculatorServer<Abacus>>>>;

/// A calculator behind a cache for `SquareRoot`; the lines are the calls that reach it.
fn cached() -> (Stub, UnboundedReceiver<String>) {
    let (note, lines) = note();
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(&["SquareRoot"]))
        .layer(LogLayer::new(note))
        .service(CalculatorServer::new(Abacus));
    (CalculatorClient::new(service), lines)
}

async fn root(stub: &mut Stub, value: f64) -> Result<f64, Status> {
    let root = stub.square_root(Number { value }).await?;
    Ok(root.into_inner().value)
}

#[tokio::test(start_paused = true)]
async fn the_same_question_is_asked_once_and_another_one_again() {
    let (mut stub, mut lines) = cached();
    for value in [16.0, 16.0, 25.0, 16.0, 25.0] {
        assert_eq!(root(&mut stub, value).await.unwrap(), value.sqrt());
    }
    assert_eq!(written(&mut lines).len(), 2);
}

#[tokio::test]
async fn a_method_that_is_not_declared_is_not_kept() {
    let (mut stub, mut lines) = cached();
    for _ in 0..2 {
        stub.divide(SEVEN_BY_TWO).await.unwrap();
        let numbers = tokio_stream::iter([SIXTEEN; 2]);
        let mut maxima = stub.maximum(numbers).await.unwrap().into_inner();
        while maxima.message().await.unwrap().is_some() {}
    }
    assert_eq!(written(&mut lines).len(), 4);
}

#[tokio::test]
async fn an_error_is_not_kept() {
    let (mut stub, mut lines) = cached();
    for _ in 0..2 {
        let status = root(&mut stub, -1.0).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("-1"));
    }
    assert_eq!(written(&mut lines).len(), 2);
}

#[tokio::test]
async fn an_error_after_messages_is_not_kept() {
    let (note, mut lines) = note();
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(&["Maximum"]))
        .layer(LogLayer::new(note))
        .service(CalculatorServer::new(Abacus));
    let mut stub = CalculatorClient::new(service);
    for _ in 0..2 {
        let numbers = tokio_stream::iter([1.0, f64::NAN].map(|value| Number { value }));
        let mut maxima = stub.maximum(numbers).await.unwrap().into_inner();
        assert!(maxima.message().await.unwrap().is_some());
        let status = maxima.message().await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let line = "Maximum: requests 2, replies 1, InvalidArgument";
        assert_eq!(written(&mut lines), [line]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_oldest_answer_is_forgotten() {
    let (mut stub, mut lines) = cached();
    for value in 0..MOST {
        root(&mut stub, value as f64).await.unwrap();
    }
    root(&mut stub, 0.0).await.unwrap();
    assert_eq!(written(&mut lines).len(), MOST);
    root(&mut stub, MOST as f64).await.unwrap();
    root(&mut stub, 1.0).await.unwrap();
    assert_eq!(written(&mut lines).len(), 1);
    root(&mut stub, 0.0).await.unwrap();
    assert_eq!(written(&mut lines).len(), 1);
}

/// Asks a service that sends back what it gets, with a header and trailers, through a cache. Returns how
/// often it was asked, and the last answer.
async fn echo(frames: Vec<Result<Frame<Bytes>, Status>>) -> (usize, http::Response<Body>) {
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(&["Echo"]))
        .service(service_fn(move |request: http::Request<Body>| {
            *count.lock().unwrap() += 1;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            trailers.insert("cost", http::HeaderValue::from_static("1"));
            let end = async move { Some(Ok(trailers)) };
            let mut response =
                http::Response::new(Body::new(request.into_body().with_trailers(end)));
            let asked = http::HeaderValue::from(*count.lock().unwrap());
            response.headers_mut().insert("asked", asked);
            async { Ok::<_, Infallible>(response) }
        }));
    let mut last = http::Response::default();
    for _ in 0..2 {
        let again = frames.iter().map(|frame| match frame {
            Ok(frame) => Ok(Frame::data(frame.data_ref().cloned().unwrap_or_default())),
            Err(status) => Err(status.clone()),
        });
        let body = Body::new(StreamBody::new(stream::iter(again.collect::<Vec<_>>())));
        let request = http::Request::post("/Echo").body(body).unwrap();
        last = service.clone().oneshot(request).await.unwrap();
    }
    let asked = *asked.lock().unwrap();
    (asked, last)
}

#[tokio::test]
async fn headers_and_trailers_are_kept_with_the_answer() {
    let (asked, answer) = echo(vec![Ok(Frame::data(Bytes::from("abc")))]).await;
    assert_eq!(asked, 1);
    assert_eq!(answer.headers()["asked"], "1");
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["cost"], "1");
    assert_eq!(body.to_bytes(), "abc");
}

#[tokio::test]
async fn what_is_too_long_is_passed_on_unchanged_and_not_kept() {
    let bytes: Vec<u8> = (0..2 * LONGEST).map(|index| (index % 251) as u8).collect();
    let frames = bytes.chunks(1000).map(Bytes::copy_from_slice);
    let (asked, answer) = echo(frames.map(Frame::data).map(Ok).collect()).await;
    assert_eq!(asked, 2);
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["cost"], "1");
    assert_eq!(body.to_bytes(), bytes);
    let frames = bytes[..LONGEST].chunks(1000).map(Bytes::copy_from_slice);
    let (asked, answer) = echo(frames.map(Frame::data).map(Ok).collect()).await;
    assert_eq!(asked, 1, "as long as may be");
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), bytes[..LONGEST]);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_passed_on_as_it_is_and_not_kept() {
    let broken = Err(Status::data_loss("half a message"));
    let (asked, answer) = echo(vec![Ok(Frame::data(Bytes::from("abc"))), broken]).await;
    assert_eq!(asked, 2);
    let mut body = answer.into_body();
    let first = body.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "abc");
    let status = body.frame().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DataLoss);
}

#[tokio::test(start_paused = true)]
#[ignore = "exercise 2: an answer is good for a minute"]
async fn exercise_2_forgets_an_answer_after_a_minute() {
    let (mut stub, mut lines) = cached();
    root(&mut stub, 16.0).await.unwrap();
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(root(&mut stub, 16.0).await.unwrap(), 4.0);
    assert_eq!(written(&mut lines).len(), 1);
    // To be asked for does not make an answer younger.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(root(&mut stub, 16.0).await.unwrap(), 4.0);
    assert_eq!(written(&mut lines).len(), 1, "asked once more");
    tokio::time::sleep(Duration::from_secs(30)).await;
    root(&mut stub, 16.0).await.unwrap();
    assert_eq!(written(&mut lines).len(), 0, "the new answer is kept");
}
