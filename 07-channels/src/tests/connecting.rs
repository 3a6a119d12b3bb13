//! When a channel connects, and how often.

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
    // The server accepts in order: were there a connection of the lazy channel, it would be the first.
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
    let status = soon(square_root(&lazy, 0.0)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn clones_share_one_connection() {
    let (endpoint, mut lines) = start().await;
    let clones = vec![endpoint.connect_lazy(); 10];
    let calls = clones.iter().map(|clone| square_root(clone, 100.0));
    try_join_all(calls).await.unwrap();
    assert_eq!(count(&mut lines, 10).await.0, 1);
}

#[tokio::test]
async fn a_channel_for_each_call_costs_a_connection_for_each_call() {
    let (endpoint, mut lines) = start().await;
    for _ in 0..10 {
        let channel = endpoint.connect().await.unwrap();
        square_root(&channel, 0.0).await.unwrap();
    }
    assert_eq!(count(&mut lines, 10).await.0, 10);
}
