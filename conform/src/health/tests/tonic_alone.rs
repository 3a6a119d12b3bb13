//! What tonic-health and tonic do without this module.

use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic_health::server::health_reporter;

use super::*;
use crate::testing::{call, soon, unary};

#[tokio::test]
async fn tonic_alone_ends_the_watch_of_an_unknown_service_and_tells_no_news_as_news() {
    let (reporter, service) = health_reporter();
    let mut stub = HealthClient::new(service);
    let status = stub.watch(asked("a")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let status = stub.list(pb::HealthListRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);

    let mut answers = stub.watch(asked("")).await.unwrap().into_inner();
    for _ in 0..2 {
        let answer = soon(answers.message()).await.unwrap().unwrap();
        assert_eq!(answer.status(), Serving);
        let serving = tonic_health::ServingStatus::Serving;
        reporter.set_service_status("", serving).await;
    }
}

#[tokio::test(start_paused = true)]
async fn tonic_alone_drains_for_ever_while_somebody_watches() {
    let (_reporter, service) = health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (drain, begin) = oneshot::channel();
    let server = Server::builder()
        .add_service(service)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), begin.map(drop));
    let server = tokio::spawn(server);
    let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
    let mut answers = HealthClient::new(channel)
        .watch(asked(""))
        .await
        .unwrap()
        .into_inner();
    assert!(answers.message().await.unwrap().is_some());
    drain.send(()).unwrap();
    assert!(timeout(SECOND * 3600, server).await.is_err());
}

#[tokio::test]
async fn tonic_alone_calls_backends_that_are_dead() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = crate::testing::endpoint(listener.local_addr().unwrap());
    drop(listener);
    let alive =
        unary(async |request: tonic::Request<_>| Ok(tonic::Response::new(request.into_inner())));
    let alive = crate::testing::serve(tower::layer::util::Identity::new(), alive).await;
    let channel = Channel::balance_list([dead, alive.endpoint()].into_iter());
    let mut failed = 0;
    for _ in 0..50 {
        failed += usize::from(call(channel.clone(), "x").await.is_err());
    }
    assert!(failed > 0, "no call went to a dead backend");
}
