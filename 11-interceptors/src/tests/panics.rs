//! Panics in handlers and in streams: with tonic alone, with tower-http alone, and with this lesson's stack.

use futures::{StreamExt, stream};
use tokio::task::yield_now;
use tonic::codegen::BoxStream;
use tonic::{Response, Streaming};

use super::*;
use crate::calculator::calculator_server::Calculator;

/// Panics in its handler for `Divide`, and after the first message of `Maximum`.
struct Broken;

#[tonic::async_trait]
impl Calculator for Broken {
    async fn divide(&self, _: Request<Operands>) -> Result<Response<Number>, Status> {
        panic!("a secret")
    }

    async fn maximum(
        &self,
        _: Request<Streaming<Number>>,
    ) -> Result<Response<BoxStream<Number>>, Status> {
        let panic = stream::once(async {
            // As long as a stream has more at once, tonic collects its messages and sends none.
            yield_now().await;
            panic!("a secret")
        });
        let numbers = stream::iter([Ok(SIXTEEN)]).chain(panic);
        Ok(Response::new(Box::pin(numbers)))
    }
}

/// The numbers and the status that `Maximum` ends with.
async fn maxima(channel: Channel) -> (usize, Result<(), Status>) {
    let mut stub = CalculatorClient::new(channel);
    let numbers = tokio_stream::iter([SIXTEEN]);
    let mut maxima = match stub.maximum(numbers).await {
        Ok(response) => response.into_inner(),
        Err(status) => return (0, Err(status)),
    };
    for count in 0.. {
        match maxima.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return (count, Ok(())),
            Err(status) => return (count, Err(status)),
        }
    }
    unreachable!()
}

/// Serves `Broken` with layers on it.
macro_rules! start_broken {
    ($($layer:expr),*) => {{
        let (listener, url) = bind().await;
        let server = Server::builder()
            $(.layer($layer))*
            .add_service(CalculatorServer::new(Broken));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        connect(&url).await
    }};
}

#[tokio::test]
async fn tonic_alone_turns_a_panic_into_cancelled() {
    let channel = start_broken!();
    let mut stub = CalculatorClient::new(channel.clone());
    let status = stub.divide(SEVEN_BY_TWO).await.unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    let (_, end) = maxima(channel).await;
    assert_eq!(end.unwrap_err().code(), Code::Cancelled);
}

#[tokio::test]
async fn tower_http_alone_does_not_see_a_panic_in_a_stream() {
    let channel = start_broken!(CatchPanicLayer::custom(crate::panics::in_handler));
    let mut stub = CalculatorClient::new(channel.clone());
    let status = stub.divide(SEVEN_BY_TWO).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    let (_, end) = maxima(channel).await;
    assert_eq!(end.unwrap_err().code(), Code::Cancelled);
}

#[tokio::test]
async fn a_panic_is_internal_and_keeps_its_words_and_the_next_call_is_served() {
    let channel = start_broken!(
        MapResponseBodyLayer::new(crate::panics::in_stream),
        CatchPanicLayer::custom(crate::panics::in_handler)
    );
    let mut stub = CalculatorClient::new(channel.clone());
    for _ in 0..3 {
        let status = stub.divide(SEVEN_BY_TWO).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.message(), "the calculator broke down");
        let (count, end) = maxima(channel.clone()).await;
        assert_eq!(count, 1, "what was sent before the panic arrives");
        let status = end.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.message(), "the calculator broke down");
    }
}

#[tokio::test]
async fn the_server_survives_a_handler_that_panics() {
    let (channel, mut lines) = start().await;
    let mut stub = CalculatorClient::with_interceptor(channel, ANN);
    let status = stub.divide(Operands::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(
        soon(lines.recv()).await.unwrap(),
        "Divide: requests 1, replies 0, Internal"
    );
    stub.divide(SEVEN_BY_TWO).await.unwrap();
}
