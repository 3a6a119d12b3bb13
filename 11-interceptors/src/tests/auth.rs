//! Who is let in, who is not, and that asking takes nobody else's time.

use std::convert::Infallible;

use tokio::sync::Notify;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::auth::{Caller, Token, ask, directory, identify};

#[tokio::test]
async fn a_call_without_a_token_is_unauthenticated() {
    let (channel, _lines) = start().await;
    for value in [
        &b"token-of-ann"[..],
        b"Basic token-of-ann",
        b"Bearer \xff",
        b"",
    ] {
        let value = tonic::metadata::AsciiMetadataValue::try_from(value).unwrap();
        let mut request = Request::new(SEVEN_BY_TWO);
        request.metadata_mut().insert("authorization", value);
        let mut stub = CalculatorClient::new(channel.clone());
        let status = stub.divide(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(status.message(), "this call has no token");
    }
}

#[tokio::test]
async fn a_token_of_nobody_is_unauthenticated() {
    let (channel, _lines) = start().await;
    let mut stub = CalculatorClient::with_interceptor(channel, SignIn("token-of-eve"));
    let status = stub.divide(SEVEN_BY_TWO).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), "nobody has this token");
}

#[tokio::test]
async fn bob_may_take_roots_and_may_not_divide() {
    let (channel, _lines) = start().await;
    let mut stub = CalculatorClient::with_interceptor(channel, SignIn("token-of-bob"));
    let status = stub.divide(SEVEN_BY_TWO).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.message(), "Bob may not call Divide");
    let status = stub.square_root(Number { value: -1.0 }).await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::InvalidArgument,
        "the handler was asked"
    );
}

#[tokio::test]
async fn a_stream_needs_a_token_as_well() {
    let (channel, _lines) = start().await;
    let mut stub = CalculatorClient::new(channel.clone());
    let numbers = tokio_stream::iter([SIXTEEN]);
    let status = stub.maximum(numbers).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let mut stub = CalculatorClient::with_interceptor(channel, ANN);
    let maxima = stub.maximum(tokio_stream::iter([SIXTEEN])).await.unwrap();
    let first = maxima.into_inner().message().await.unwrap();
    assert_eq!(first, Some(SIXTEEN));
}

#[tokio::test]
async fn others_are_served_while_the_directory_is_asked() {
    let answer = Arc::new(Notify::new());
    let wait = answer.clone();
    let slow_for_ann = move |token: Token| {
        let wait = wait.clone();
        async move {
            if token.0 == "token-of-ann" {
                wait.notified().await;
            }
            directory(token).await
        }
    };
    let (listener, url) = bind().await;
    let server = Server::builder()
        .layer(InterceptorLayer::new(identify))
        .layer(AsyncRequireAuthorizationLayer::new(ask(slow_for_ann)))
        .add_service(CalculatorServer::new(Abacus));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let channel = connect(&url).await;
    let mut ann = CalculatorClient::with_interceptor(channel.clone(), ANN);
    let mut bob = CalculatorClient::with_interceptor(channel, SignIn("token-of-bob"));
    let waiting = tokio::spawn(async move { ann.divide(SEVEN_BY_TWO).await });
    let minus_one = Number { value: -1.0 };
    let status = soon(bob.square_root(minus_one)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(!waiting.is_finished());
    answer.notify_one();
    soon(waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_handler_learns_who_calls() {
    let handler = service_fn(async |request: http::Request<Body>| {
        let caller = request.extensions().get::<Caller>().unwrap();
        let mut response = http::Response::new(Body::empty());
        let name = http::HeaderValue::from_static(caller.name);
        response.headers_mut().insert("caller", name);
        Ok::<_, Infallible>(response)
    });
    let service = ServiceBuilder::new()
        .layer(InterceptorLayer::new(identify))
        .layer(AsyncRequireAuthorizationLayer::new(ask(directory)))
        .service(handler);
    let request = http::Request::post("/calculator.v1.Calculator/Divide")
        .header("authorization", "Bearer token-of-ann")
        .body(Body::empty())
        .unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.headers()["caller"], "Ann");
}

#[tokio::test]
async fn without_the_interceptor_the_layer_lets_nobody_in() {
    let service = ServiceBuilder::new()
        .layer(AsyncRequireAuthorizationLayer::new(ask(directory)))
        .service(CalculatorServer::new(Abacus));
    let mut stub = CalculatorClient::with_interceptor(service, ANN);
    let status = stub.divide(SEVEN_BY_TWO).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}
