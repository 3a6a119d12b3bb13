//! What tonic 0.14 does with a deadline without this lesson's layers.

use tokio::time::Instant;

use super::sleeper::serve_alone;
use super::*;
use crate::calculator::calculator_server::Calculator;
use crate::timeout::GRPC_TIMEOUT;

#[tokio::test]
async fn tonic_alone_reports_cancelled() {
    let (endpoint, _lines) = serve_alone().await;
    let mut stub = CalculatorClient::new(endpoint.connect_lazy());
    let status = stub.square_root(within(50, HOUR)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Cancelled, "Timeout expired")
    );
}

#[tokio::test]
async fn tonic_alone_covers_only_the_wait_for_headers() {
    let (endpoint, _lines) = serve_alone().await;
    let mut stub = CalculatorClient::new(endpoint.connect_lazy());
    let begin = Instant::now();
    let request = within(500, Integer { value: 10 });
    let mut replies = stub.factorize(request).await.unwrap().into_inner();
    while begin.elapsed() < Duration::from_millis(800) {
        assert!(replies.message().await.unwrap().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn tonic_alone_does_not_cover_connecting() {
    let connector = tower::service_fn(|_: Uri| {
        std::future::pending::<Result<hyper_util::rt::TokioIo<tokio::net::TcpStream>, std::io::Error>>(
        )
    });
    let never = Endpoint::from_static("http://127.0.0.1:1")
        .timeout(Duration::from_millis(50))
        .connect_with_connector_lazy(connector);
    let mut stub = CalculatorClient::new(never);
    let call = stub.square_root(within(50, HOUR));
    assert!(
        timeout(Duration::from_secs(3600), call).await.is_err(),
        "pending after an hour"
    );
}

/// Asks another server for every square root, as one would without thinking of deadlines.
struct Relay {
    back: CalculatorClient<Channel>,
    whole: bool,
}

#[tonic::async_trait]
impl Calculator for Relay {
    async fn square_root(
        &self,
        request: Request<Number>,
    ) -> Result<tonic::Response<Number>, Status> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let onward = if self.whole {
            request
        } else {
            Request::new(request.into_inner())
        };
        self.back.clone().square_root(onward).await
    }
}

#[tokio::test]
async fn tonic_alone_does_not_pass_a_deadline_on() {
    for (whole, expected) in [
        (false, "began without grpc-timeout"),
        (true, "began with grpc-timeout 5S"),
    ] {
        let (endpoint, mut lines) = serve_alone().await;
        let back = CalculatorClient::new(endpoint.connect_lazy());
        let mut relay = CalculatorClient::new(CalculatorServer::new(Relay { back, whole }));
        let mut request = Request::new(Number { value: 0.0 });
        request
            .metadata_mut()
            .insert(GRPC_TIMEOUT, "5S".parse().unwrap());
        relay.square_root(request).await.unwrap();
        // The whole request carries the whole five seconds, though a part of them is spent.
        assert_eq!(line_with(&mut lines, "began").await, expected);
    }
}

#[tokio::test]
async fn tonic_alone_overlooks_a_malformed_timeout() {
    let (endpoint, mut lines) = serve_alone().await;
    let mut stub = CalculatorClient::new(endpoint.connect_lazy());
    let mut request = Request::new(Number { value: 0.0 });
    request
        .metadata_mut()
        .insert(GRPC_TIMEOUT, "soon".parse().unwrap());
    assert!(stub.square_root(request).await.is_ok());
    line_with(&mut lines, "done").await;
}

#[tokio::test]
async fn tonic_alone_reads_a_plus_sign() {
    let (endpoint, _lines) = serve_alone().await;
    let mut stub = CalculatorClient::new(endpoint.connect_lazy());
    let mut request = Request::new(HOUR);
    request
        .metadata_mut()
        .insert(GRPC_TIMEOUT, "+50m".parse().unwrap());
    assert_eq!(
        stub.square_root(request).await.unwrap_err().code(),
        Code::Cancelled
    );
}
