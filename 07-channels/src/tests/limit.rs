//! A server's limit on concurrent streams: calls beyond it wait for their turn.

use deadlines::client_layer::ClientDeadlineLayer;
use futures::future::join_all;
use tower::Layer;

use super::*;

/// As the parent's `start`, with a server's settings.
pub async fn start(mut server: Server) -> (Endpoint, UnboundedReceiver<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr().unwrap()));
    let (journal, lines) = mpsc::unbounded_channel();
    let server = server.add_service(abacus(journal.clone()));
    let incoming = counted(TcpIncoming::from(listener), journal);
    tokio::spawn(server.serve_with_incoming(incoming));
    (endpoint.unwrap(), lines)
}

#[tokio::test]
async fn calls_beyond_the_servers_limit_queue() {
    for limit in [1, 2] {
        let server = Server::builder().max_concurrent_streams(limit);
        let (endpoint, mut lines) = start(server).await;
        let channel = endpoint.connect().await.unwrap();
        // With the first answer the client knows the limit.
        square_root(&channel, 0.0).await.unwrap();
        let calls = [100.0; 10].map(|value| square_root(&channel, value));
        assert_eq!(try_join_all(calls).await.unwrap(), [10.0; 10]);
        assert_eq!(count(&mut lines, 11).await, (1, limit as usize));
    }
}

/// Until the server's settings have arrived the client knows of no limit, and the server refuses what is
/// too much. gRPC's other libraries send such a call again.
#[tokio::test]
async fn tonic_fails_calls_beyond_the_limit_on_a_new_connection() {
    let server = Server::builder().max_concurrent_streams(1);
    let (endpoint, _lines) = start(server).await;
    let channel = endpoint.connect_lazy();
    let calls = [100.0; 4].map(|value| square_root(&channel, value));
    let [first, others @ ..] = &join_all(calls).await[..] else {
        panic!("no calls");
    };
    assert_eq!(first.as_ref().unwrap(), &10.0);
    for other in others {
        assert_eq!(other.as_ref().unwrap_err().code(), Code::Unavailable);
    }
    assert_eq!(square_root(&channel, 0.0).await.unwrap(), 0.0);
}

#[tokio::test]
async fn a_deadline_covers_the_queue() {
    let server = Server::builder().max_concurrent_streams(1);
    let (endpoint, mut lines) = start(server).await;
    let channel = endpoint.connect().await.unwrap();
    square_root(&channel, 0.0).await.unwrap();
    assert_eq!(count(&mut lines, 1).await, (1, 1));
    let mut first = Box::pin(square_root(&channel, HOURS));
    assert!(poll_immediate(&mut first).await.is_none());

    let within = || {
        let mut request = tonic::Request::new(Number { value: 0.0 });
        request.set_timeout(Duration::from_millis(100));
        request
    };
    let mut alone = CalculatorClient::new(channel.clone());
    let status = soon(alone.square_root(within())).await.unwrap_err();
    assert_eq!(status.code(), Code::Cancelled, "tonic's word for it");
    let mut layered = CalculatorClient::new(ClientDeadlineLayer.layer(channel.clone()));
    let status = soon(layered.square_root(within())).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(poll_immediate(&mut first).await.is_none());
}

/// `Endpoint::concurrency_limit` is another queue, at the client. tonic's timer does not run there.
#[tokio::test]
async fn only_lesson_05_covers_the_queue_of_the_clients_own_limit() {
    let (endpoint, _lines) = start(Server::builder()).await;
    let channel = endpoint.concurrency_limit(1).connect().await.unwrap();
    let mut first = Box::pin(square_root(&channel, HOURS));
    assert!(poll_immediate(&mut first).await.is_none());

    let mut request = tonic::Request::new(Number { value: 0.0 });
    request.set_timeout(Duration::from_millis(100));
    let mut layered = CalculatorClient::new(ClientDeadlineLayer.layer(channel.clone()));
    let status = soon(layered.square_root(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);

    let mut request = tonic::Request::new(Number { value: 0.0 });
    request.set_timeout(Duration::from_millis(100));
    let mut alone = CalculatorClient::new(channel.clone());
    let call = alone.square_root(request);
    assert!(timeout(Duration::from_millis(800), call).await.is_err());
}
