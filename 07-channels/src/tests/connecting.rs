//! When a channel connects: at once, or at its first call.

use super::*;

#[tokio::test]
async fn an_eager_channel_connects_before_its_first_call() {
    let (endpoint, mut lines) = start().await;
    let _channel = endpoint.connect().await.unwrap();
    assert_eq!(next_line(&mut lines).await, "connection 1");
}

#[tokio::test]
async fn an_eager_channel_fails_without_a_server() {
    let nobody = Endpoint::from_static(NOBODY);
    assert!(nobody.connect().await.is_err());
}

#[tokio::test]
async fn a_lazy_channel_connects_at_its_first_call() {
    let (endpoint, mut lines) = start().await;
    let lazy = endpoint.connect_lazy();
    // The server accepts in order: if the lazy channel had a connection, that would be the first.
    let eager = endpoint.connect().await.unwrap();
    assert_eq!(square_root(&eager, 0.0).await.unwrap(), 0.0);
    assert_eq!(next_line(&mut lines).await, "connection 1");
    assert_eq!(next_line(&mut lines).await, "1 call");
    assert_eq!(square_root(&lazy, 0.0).await.unwrap(), 0.0);
    assert_eq!(next_line(&mut lines).await, "connection 2");
}

#[tokio::test]
async fn a_lazy_channel_without_a_server_fails_at_the_call() {
    let lazy = Endpoint::from_static(NOBODY).connect_lazy();
    let failed = soon("a failed call", square_root(&lazy, 0.0)).await;
    assert_eq!(failed.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn the_connections_of_a_watched_channel_wait_for_no_acknowledgement() {
    let (endpoint, _lines) = start().await;
    let mut connector = connector();
    let connection = tower::Service::call(&mut connector, endpoint.uri().clone()).await;
    let stream = connection.unwrap().into_inner();
    assert!(stream.nodelay().unwrap(), "TCP_NODELAY");
}
