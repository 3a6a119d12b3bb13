//! Calls that fail on purpose: which ones, and that they go no further.

use super::*;
use crate::faults::every;

#[tokio::test]
async fn every_third_call_fails_and_goes_no_further() {
    let (note, mut lines) = note();
    let service = ServiceBuilder::new()
        .layer(InterceptorLayer::new(every(3)))
        .layer(LogLayer::new(note))
        .service(CalculatorServer::new(Abacus));
    let mut stub = CalculatorClient::new(service);
    for call in 1..10 {
        let answer = stub.divide(SEVEN_BY_TWO).await;
        let reached = written(&mut lines).len();
        if call % 3 == 0 {
            assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
            assert_eq!(reached, 0);
        } else {
            assert_eq!(answer.unwrap().into_inner().value, 3.0);
            assert_eq!(reached, 1);
        }
    }
}

#[tokio::test]
async fn every_no_call_fails() {
    let mut stub = CalculatorClient::with_interceptor(CalculatorServer::new(Abacus), every(0));
    for _ in 0..10 {
        stub.divide(SEVEN_BY_TWO).await.unwrap();
    }
}

#[tokio::test]
async fn the_calls_of_all_connections_count_together() {
    let (listener, url) = bind().await;
    let server = Server::builder()
        .layer(InterceptorLayer::new(every(2)))
        .add_service(CalculatorServer::new(Abacus));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let mut first = CalculatorClient::new(connect(&url).await);
    let mut second = CalculatorClient::new(connect(&url).await);
    for _ in 0..3 {
        first.divide(SEVEN_BY_TWO).await.unwrap();
        let status = second.divide(SEVEN_BY_TWO).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
    }
}
