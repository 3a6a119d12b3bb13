//! The same layers in another order: other lines, other answers.

use tower::ServiceBuilder;

use super::log::{logged, take};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_log_inside_of_the_authorisation_never_hears_of_those_who_are_refused() {
    let (inner, inside) = logged(CalculatorServer::new(Abacus));
    let authorized = AsyncRequireAuthorizationLayer::new(auth::authorize).layer(inner);
    let (service, outside) = logged(InterceptorLayer::new(auth::identify).layer(authorized));
    for who in [BOB, SignIn("token-of-eve")] {
        let mut stub = CalculatorClient::with_interceptor(service.clone(), who);
        stub.square_root(MINUS_ONE).await.unwrap_err();
    }
    let expected = ["SquareRoot: InvalidArgument", "SquareRoot: Unauthenticated"];
    assert_eq!(take(&outside), expected);
    assert_eq!(take(&inside), expected[..1]);
}

#[tokio::test(start_paused = true)]
async fn a_log_inside_of_the_panic_layer_never_hears_the_status() {
    let (inner, inside) = logged(CalculatorServer::new(Clumsy));
    let (service, outside) = logged(CatchPanicLayer::new().layer(inner));
    let mut stub = CalculatorClient::new(service);
    stub.square_root(MINUS_ONE).await.unwrap_err();
    assert_eq!(take(&inside), ["SquareRoot: broken off"]);
    assert_eq!(take(&outside), ["SquareRoot: Unknown"]);
}

#[tokio::test(start_paused = true)]
async fn the_first_layer_of_a_builder_is_the_outermost() {
    let (write, mut lines) = mpsc::unbounded_channel();
    let layer = |name: &'static str| {
        let write = write.clone();
        LogLayer::new(move |_| write.send(name).unwrap())
    };
    let service = ServiceBuilder::new()
        .layer(layer("first"))
        .layer(layer("second"))
        .service(CalculatorServer::new(Abacus));
    let mut stub = CalculatorClient::new(service);
    stub.square_root(MINUS_ONE).await.unwrap_err();
    // On the way back, the innermost comes first.
    assert_eq!(lines.try_recv().unwrap(), "second");
    assert_eq!(lines.try_recv().unwrap(), "first");
}

#[tokio::test(start_paused = true)]
async fn without_the_interceptor_the_authorisation_lets_nobody_in() {
    let authorize = AsyncRequireAuthorizationLayer::new(auth::authorize);
    let service = authorize.layer(CalculatorServer::new(Abacus));
    let mut ann = CalculatorClient::with_interceptor(service, ANN);
    let status = ann.square_root(MINUS_ONE).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}
