//! A limit on concurrent streams: calls beyond it wait for their turn.

use conform::deadline::ClientDeadlineLayer;
use tonic::Request;
use tower::Layer;

use super::*;

/// The lesson's calculator with another server's settings.
async fn start_with(mut server: Server) -> (Endpoint, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr().unwrap()));
    let (log, lines) = mpsc::channel(1024);
    let incoming = counted(conform::server::incoming(listener), log.clone());
    let server = server.add_service(CalculatorServer::new(Abacus::new(log)));
    tokio::spawn(server.serve_with_incoming(incoming));
    (endpoint.unwrap(), lines)
}

fn within_100_ms() -> Request<Number> {
    let mut request = Request::new(Number { value: 0.0 });
    request.set_timeout(Duration::from_millis(100));
    request
}

#[tokio::test]
async fn calls_beyond_the_servers_limit_queue() {
    for limit in [1, 2] {
        let server = Server::builder().max_concurrent_streams(limit);
        let (endpoint, mut lines) = start_with(server).await;
        let channel = endpoint.connect().await.unwrap();
        // With the first answer the client knows the limit.
        square_root(&channel, 0.0).await.unwrap();
        let calls = [100.0; 10].map(|value| square_root(&channel, value));
        assert_eq!(try_join_all(calls).await.unwrap(), [10.0; 10]);
        let counted = count(&mut lines, 11).await;
        assert_eq!(
            counted,
            (1, limit as usize),
            "connections, and calls at once"
        );
    }
}

/// Until the server's settings have come the client knows of no limit, and the server refuses
/// what is too much. gRPC's other libraries send such a call again.
#[tokio::test]
async fn tonic_fails_calls_beyond_the_limit_on_a_new_connection() {
    let server = Server::builder().max_concurrent_streams(1);
    let (endpoint, _lines) = start_with(server).await;
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
    let (endpoint, _lines) = start_with(server).await;
    let channel = endpoint.connect().await.unwrap();
    square_root(&channel, 0.0).await.unwrap();
    let mut first = Box::pin(square_root(&channel, LONG));
    assert!(poll_immediate(&mut first).await.is_none());

    let mut layered = CalculatorClient::new(ClientDeadlineLayer::new().layer(channel.clone()));
    let late = soon("the deadline", layered.square_root(within_100_ms())).await;
    assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
    assert!(poll_immediate(&mut first).await.is_none());
}

/// `Endpoint::concurrency_limit` is a queue of the client's own. tonic's timer doesn't run there.
#[tokio::test(start_paused = true)]
async fn tonic_alone_does_not_cover_the_queue_of_the_clients_own_limit() {
    let (endpoint, mut lines) = start().await;
    let channel = endpoint.concurrency_limit(1).connect().await.unwrap();
    let mut first = Box::pin(square_root(&channel, LONG));
    assert!(poll_immediate(&mut first).await.is_none());
    assert_eq!(next_line(&mut lines).await, "connection 1");

    let mut alone = CalculatorClient::new(channel.clone());
    let call = alone.square_root(within_100_ms());
    let waits_on = tokio::time::timeout(Duration::from_secs(10), call).await;
    assert!(
        waits_on.is_err(),
        "tonic now covers this queue: {waits_on:?}"
    );

    let mut layered = CalculatorClient::new(ClientDeadlineLayer::new().layer(channel.clone()));
    let late = soon("the deadline", layered.square_root(within_100_ms())).await;
    assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
}
