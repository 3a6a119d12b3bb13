//! What an interceptor sees, what it doesn't see, and when it runs.

use std::sync::{Arc, Mutex};

use tonic::GrpcMethod;
use tonic::codegen::http;

use super::*;

/// What an interceptor was given: one request for each time it ran.
type Seen = Arc<Mutex<Vec<Request<()>>>>;

/// An interceptor that keeps a copy of what it sees.
fn spy() -> (
    impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone + use<>,
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

#[tokio::test]
async fn a_servers_interceptor_sees_metadata_and_no_method_once_a_call() {
    let (spy, seen) = spy();
    let (service, _) = super::log::logged(CalculatorServer::with_interceptor(Abacus, spy));
    let mut ann = CalculatorClient::with_interceptor(service, ANN);
    let mut maxima = ann
        .maximum(numbers(&[1.0, 2.0, 3.0]))
        .await
        .unwrap()
        .into_inner();
    while maxima.message().await.unwrap().is_some() {}
    let seen = seen.lock().unwrap();
    let [request] = &seen[..] else {
        panic!("three messages, and it ran {} times", seen.len());
    };
    let token = request.metadata().get("authorization").unwrap();
    assert_eq!(token, "Bearer token-of-ann");
    assert!(request.extensions().get::<http::Uri>().is_none());
    let headers = request.metadata().clone().into_headers();
    assert!(
        headers
            .values()
            .all(|value| value.to_str().is_ok_and(|it| !it.contains("Maximum")))
    );
}

#[tokio::test]
async fn a_clients_interceptor_knows_the_method() {
    let (spy, seen) = spy();
    let mut stub = CalculatorClient::with_interceptor(CalculatorServer::new(Abacus), spy);
    stub.square_root(MINUS_ONE).await.unwrap_err();
    let seen = seen.lock().unwrap();
    let method = seen[0].extensions().get::<GrpcMethod>().unwrap();
    assert_eq!(method.service(), "calculator.v1.Calculator");
    assert_eq!(method.method(), "SquareRoot");
}

#[tokio::test]
async fn a_clients_interceptor_that_refuses_sends_nothing() {
    let (url, mut lines) = start(Abacus).await;
    let status = stub(&url, SignIn(""))
        .await
        .square_root(MINUS_ONE)
        .await
        .unwrap_err();
    assert_eq!(status.message(), "sign in first");
    let status = stub(&url, SignIn("\n"))
        .await
        .square_root(MINUS_ONE)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    stub(&url, BOB)
        .await
        .square_root(MINUS_ONE)
        .await
        .unwrap_err();
    // The first line is Bob's.
    assert!(
        next(&mut lines)
            .await
            .ends_with("SquareRoot: InvalidArgument")
    );
}
