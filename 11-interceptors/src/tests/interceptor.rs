//! What an interceptor sees, what it does not see, and what a layer in the same place does.

use std::sync::Mutex;

use tokio_stream::wrappers::ReceiverStream;
use tonic::GrpcMethod;

use super::*;

/// What an interceptor was given, one entry for each time it ran.
type Seen = Arc<Mutex<Vec<Request<()>>>>;

/// An interceptor that keeps a copy of what it sees.
fn spy() -> (
    impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone,
    Seen,
) {
    let seen = Seen::default();
    let kept = seen.clone();
    let spy = move |request: Request<()>| {
        let (metadata, extensions, ()) = request.into_parts();
        let copy = Request::from_parts(metadata.clone(), extensions.clone(), ());
        kept.lock().unwrap().push(copy);
        Ok(Request::from_parts(metadata, extensions, ()))
    };
    (spy, seen)
}

/// A server of tonic alone whose service has an interceptor that keeps what it sees.
async fn start_with_spy() -> (Channel, Seen) {
    let (listener, url) = bind().await;
    let (spy, seen) = spy();
    let service = CalculatorServer::with_interceptor(Abacus, spy);
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (connect(&url).await, seen)
}

#[tokio::test]
async fn a_servers_interceptor_sees_metadata_and_no_method() {
    let (channel, seen) = start_with_spy().await;
    let mut stub = CalculatorClient::with_interceptor(channel, ANN);
    stub.divide(SEVEN_BY_TWO).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(
        seen[0].metadata().get("authorization").unwrap(),
        "Bearer token-of-ann"
    );
    assert!(seen[0].extensions().get::<GrpcMethod>().is_none());
    assert!(seen[0].extensions().get::<http::Uri>().is_none());
    let headers = seen[0].metadata().clone().into_headers();
    assert!(headers.values().all(|value| value != "Divide"));
}

#[tokio::test]
async fn a_clients_interceptor_knows_the_method() {
    let (channel, _lines) = start().await;
    let (spy, seen) = spy();
    let mut stub = CalculatorClient::with_interceptor(channel, spy);
    stub.divide(SEVEN_BY_TWO).await.unwrap_err();
    let seen = seen.lock().unwrap();
    let method = seen[0].extensions().get::<GrpcMethod>().unwrap();
    assert_eq!(method.service(), "calculator.v1.Calculator");
    assert_eq!(method.method(), "Divide");
}

#[tokio::test]
async fn an_interceptor_runs_once_a_call_not_once_a_connection_or_message() {
    let (channel, seen) = start_with_spy().await;
    let mut stub = CalculatorClient::new(channel);
    for calls in 1..4 {
        let numbers = tokio_stream::iter([SIXTEEN; 5]);
        let mut maxima = stub.maximum(numbers).await.unwrap().into_inner();
        while maxima.message().await.unwrap().is_some() {}
        assert_eq!(seen.lock().unwrap().len(), calls);
    }
}

#[tokio::test]
async fn an_interceptor_has_run_before_the_response_is_known_and_a_layer_sees_it() {
    let (listener, url) = bind().await;
    let (note, mut lines) = note();
    let (heard, log) = (note.clone(), LogLayer::new(note));
    let service = CalculatorServer::with_interceptor(Abacus, move |request| {
        heard("the interceptor has run".to_owned());
        Ok(request)
    });
    let server = Server::builder().layer(log).add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let mut stub = CalculatorClient::new(connect(&url).await);
    let (numbers, receiver) = mpsc::channel(1);
    let maxima = stub.maximum(ReceiverStream::new(receiver)).await.unwrap();
    let mut maxima = maxima.into_inner();
    numbers.send(SIXTEEN).await.unwrap();
    assert_eq!(maxima.message().await.unwrap(), Some(SIXTEEN));
    assert_eq!(written(&mut lines), ["the interceptor has run"]);
    numbers.send(Number { value: f64::NAN }).await.unwrap();
    maxima.message().await.unwrap_err();
    let line = "Maximum: requests 2, replies 1, InvalidArgument";
    assert_eq!(soon(lines.recv()).await.unwrap(), line);
}

#[tokio::test]
async fn a_clients_interceptor_that_refuses_sends_nothing() {
    let (channel, mut lines) = start().await;
    let refuse = |_: Request<()>| Err(Status::failed_precondition("not today"));
    let mut stub = CalculatorClient::with_interceptor(channel.clone(), refuse);
    let status = stub.divide(SEVEN_BY_TWO).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let mut stub = CalculatorClient::with_interceptor(channel, ANN);
    stub.divide(SEVEN_BY_TWO).await.unwrap();
    let first = soon(lines.recv()).await.unwrap();
    assert_eq!(first, "Divide: requests 1, replies 1, Ok");
}

#[tokio::test]
async fn the_interceptor_of_a_service_is_inside_of_every_layer_of_the_server() {
    let (listener, url) = bind().await;
    let (note, mut lines) = note();
    let service = CalculatorServer::with_interceptor(Abacus, crate::auth::identify);
    let server = Server::builder()
        .layer(LogLayer::new(note))
        .add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let mut stub = CalculatorClient::new(connect(&url).await);
    stub.divide(SEVEN_BY_TWO).await.unwrap_err();
    let line = soon(lines.recv()).await.unwrap();
    assert_eq!(line, "Divide: requests 0, replies 0, Unauthenticated");
}
