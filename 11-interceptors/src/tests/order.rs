//! The same layers in another order: other counts, other answers.

use std::convert::Infallible;

use tower::Service;
use tower::util::BoxCloneSyncService;

use super::*;
use crate::cache::CacheLayer;

type Boxed = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>;

fn boxed<S>(service: S) -> Boxed
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    BoxCloneSyncService::new(service)
}

/// Asks for the same root twice; both answers must be right.
async fn ask_twice(service: Boxed) {
    let mut stub = CalculatorClient::new(service);
    for _ in 0..2 {
        let root = stub.square_root(SIXTEEN).await.unwrap();
        assert_eq!(root.into_inner().value, 4.0);
    }
}

#[tokio::test(start_paused = true)]
async fn outside_of_the_cache_the_log_counts_two_calls() {
    let (note, mut lines) = note();
    let outside = ServiceBuilder::new()
        .layer(LogLayer::new(note))
        .layer(CacheLayer::new(&["SquareRoot"]));
    ask_twice(boxed(outside.service(CalculatorServer::new(Abacus)))).await;
    assert_eq!(
        written(&mut lines),
        ["SquareRoot: requests 1, replies 1, Ok"; 2]
    );
}

#[tokio::test(start_paused = true)]
async fn inside_of_the_cache_the_log_counts_one_call() {
    let (note, mut lines) = note();
    let inside = ServiceBuilder::new()
        .layer(CacheLayer::new(&["SquareRoot"]))
        .layer(LogLayer::new(note));
    ask_twice(boxed(inside.service(CalculatorServer::new(Abacus)))).await;
    assert_eq!(
        written(&mut lines),
        ["SquareRoot: requests 1, replies 1, Ok"]
    );
}

#[tokio::test]
async fn the_first_layer_of_a_server_is_the_outermost() {
    let (listener, url) = bind().await;
    let (outer, mut lines) = note();
    let inner: Note = Arc::new({
        let outer = outer.clone();
        move |_| outer("the inner log".to_owned())
    });
    let server = Server::builder()
        .layer(LogLayer::new(outer))
        .layer(LogLayer::new(inner))
        .add_service(CalculatorServer::new(Abacus));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let mut stub = CalculatorClient::new(connect(&url).await);
    stub.divide(SEVEN_BY_TWO).await.unwrap();
    // The response passes the inner one first.
    for expected in ["the inner log", "Divide: requests 1, replies 1, Ok"] {
        assert_eq!(soon(lines.recv()).await.unwrap(), expected);
    }
}

/// The service behind the two halves of the authorisation.
fn guarded<S>(
    service: S,
) -> impl Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    ServiceBuilder::new()
        .layer(MapResponseBodyLayer::new(Body::new))
        .layer(InterceptorLayer::new(crate::auth::identify))
        .layer(AsyncRequireAuthorizationLayer::new(crate::auth::ask(
            crate::auth::directory,
        )))
        .service(service)
}

#[tokio::test(start_paused = true)]
async fn a_cache_outside_of_the_authorisation_answers_strangers() {
    let cache = CacheLayer::new(&["SquareRoot"]);
    let leaky = ServiceBuilder::new()
        .layer(cache)
        .service(guarded(CalculatorServer::new(Abacus)));
    let mut nobody = CalculatorClient::new(leaky.clone());
    assert!(nobody.square_root(SIXTEEN).await.is_err());
    let mut ann = CalculatorClient::with_interceptor(leaky, ANN);
    ann.square_root(SIXTEEN).await.unwrap();
    let leaked = nobody.square_root(SIXTEEN).await.unwrap();
    assert_eq!(leaked.into_inner().value, 4.0);
}

#[tokio::test(start_paused = true)]
async fn a_cache_inside_of_the_authorisation_keeps_its_answers_from_strangers() {
    let cached = ServiceBuilder::new()
        .layer(CacheLayer::new(&["SquareRoot"]))
        .service(CalculatorServer::new(Abacus));
    let safe = guarded(cached);
    let mut ann = CalculatorClient::with_interceptor(safe.clone(), ANN);
    ann.square_root(SIXTEEN).await.unwrap();
    let mut nobody = CalculatorClient::new(safe);
    let status = nobody.square_root(SIXTEEN).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_log_inside_of_the_panic_handler_sees_no_status() {
    let (note, mut lines) = note();
    let outer = LogLayer::new(note.clone());
    let service = ServiceBuilder::new()
        .layer(outer)
        .layer(MapResponseBodyLayer::new(crate::panics::in_stream))
        .layer(CatchPanicLayer::custom(crate::panics::in_handler))
        .layer(LogLayer::new(note))
        .service(CalculatorServer::new(Abacus));
    let mut stub = CalculatorClient::new(service);
    stub.divide(Operands::default()).await.unwrap_err();
    assert_eq!(
        written(&mut lines),
        [
            "Divide: requests 1, replies 0, broken off",
            "Divide: requests 1, replies 0, Internal",
        ]
    );
}
