//! With tonic's own channel.

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use super::*;
use crate::testing::{call, endpoint, soon, unary};

async fn echo(request: tonic::Request<Bytes>) -> Result<tonic::Response<Bytes>, Status> {
    Ok(tonic::Response::new(request.into_inner()))
}

#[tokio::test]
async fn tonic_alone_fails_at_once_and_tries_with_each_call() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    let nobody = service_fn(move |_: tonic::codegen::http::Uri| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Err::<hyper_util::rt::TokioIo<tokio::io::DuplexStream>, _>(no_connection()) }
    });
    let channel = endpoint("127.0.0.1:1".parse().unwrap()).connect_with_connector_lazy(nobody);
    for _ in 0..3 {
        let answer = channel.clone().oneshot(request(Some(true))).await;
        assert_eq!(status(answer.map_err(Into::into)).code(), Code::Unavailable);
    }
    assert_eq!(attempts.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn calls_wait_for_a_server_that_comes_and_for_one_that_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let layer = WaitForReadyLayer::new().by_default(WaitForReady(true));
    let channel = layer.layer(endpoint(address).connect_lazy());
    for message in ["the first", "the second"] {
        let calls = [channel.clone(), channel.clone()].map(|channel| call(channel, message));
        let server = soon(async {
            // They have failed once.
            while channel.gate.last_failure().is_none() {
                tokio::task::yield_now().await;
            }
            let listener = TcpListener::bind(address).await.unwrap();
            let (stop, stopped) = oneshot::channel::<()>();
            let server = Server::builder()
                .add_service(unary(echo))
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                    let _ = stopped.await;
                });
            (tokio::spawn(server), stop)
        });
        let (answers, (server, stop)) = tokio::join!(join_all(calls), server);
        for answer in answers {
            assert_eq!(answer.unwrap().into_inner(), message);
        }
        // Its connections end too, before the next calls.
        drop(stop);
        soon(server).await.unwrap().unwrap();
    }
}
