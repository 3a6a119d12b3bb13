//! Over real connections: what is covered, and what tonic alone covers.

use crate::testing::{self, Replies, Requests, Test};

use super::*;

async fn listen() -> (TcpIncoming, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener.into(), Endpoint::from_shared(url).unwrap())
}

/// A server with the layer.
async fn start() -> (Endpoint, UnboundedReceiver<String>) {
    let (sleepy, lines) = sleepy();
    let (incoming, endpoint) = listen().await;
    let server = Server::builder()
        .layer(ServerDeadlineLayer::new())
        .add_service(GreeterServer::new(sleepy));
    tokio::spawn(server.serve_with_incoming(incoming));
    (endpoint, lines)
}

/// A server of tonic alone.
async fn start_alone() -> (Endpoint, UnboundedReceiver<String>) {
    let (sleepy, lines) = sleepy();
    let (incoming, endpoint) = listen().await;
    let server = Server::builder().add_service(GreeterServer::new(sleepy));
    tokio::spawn(server.serve_with_incoming(incoming));
    (endpoint, lines)
}

fn stub(endpoint: &Endpoint) -> GreeterClient<ClientDeadline<tonic::transport::Channel>> {
    GreeterClient::new(ClientDeadlineLayer::new().layer(endpoint.connect_lazy()))
}

/// A connection that never comes about.
fn never_connects() -> tonic::transport::Channel {
    let connector = service_fn(|_: Uri| {
        pending::<Result<hyper_util::rt::TokioIo<tokio::net::TcpStream>, std::io::Error>>()
    });
    Endpoint::from_static("http://127.0.0.1:1").connect_with_connector_lazy(connector)
}

/// The time is a guard against waiting for ever, not a measure.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.unwrap()
}

async fn line(lines: &mut UnboundedReceiver<String>, start: &str) {
    let line = soon(lines.recv()).await.unwrap();
    assert!(line.starts_with(start), "{line}, not {start}");
}

#[tokio::test]
async fn a_call_ends_with_deadline_exceeded_whoever_serves_it() {
    for (endpoint, _lines) in [start().await, start_alone().await] {
        for _ in 0..20 {
            let mut stub = stub(&endpoint);
            let call = stub.greet(within(millis(20), name("3600000")));
            assert_eq!(soon(call).await.unwrap_err().code(), Code::DeadlineExceeded);
        }
    }
}

#[tokio::test]
async fn a_server_of_tonic_alone_is_told_to_stop() {
    let (endpoint, mut lines) = start_alone().await;
    let request = within(millis(1000), name("10"));
    let mut replies = stub(&endpoint)
        .greet_often(request)
        .await
        .unwrap()
        .into_inner();
    line(&mut lines, "began").await;
    let end = loop {
        if let Err(status) = replies.message().await {
            break status;
        }
    };
    assert_eq!(end.code(), Code::DeadlineExceeded);
    // The client still holds the stream; the deadline alone has cancelled the call.
    line(&mut lines, "stopped").await;
    drop(replies);
}

#[tokio::test]
async fn a_call_with_an_open_upload_is_reset_too() {
    let (endpoint, mut lines) = start_alone().await;
    let upload = stream::iter([name("a")]).chain(stream::pending());
    let request = within(millis(1000), upload);
    let mut replies = stub(&endpoint)
        .greet_each(request)
        .await
        .unwrap()
        .into_inner();
    line(&mut lines, "began").await;
    assert!(replies.message().await.unwrap().is_some());
    let status = soon(replies.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    line(&mut lines, "stopped").await;
    drop(replies);
}

/// hyper doesn't poll the replies while it waits for room in the window.
#[tokio::test]
async fn a_reader_that_stalls_does_not_keep_the_handlers_stream() {
    let (log, mut lines) = mpsc::unbounded_channel();
    let flood = Test(move |_: Requests| -> BoxFuture<_, _> {
        let stopped = Stopped(Some(log.clone()));
        let replies: Replies = Box::pin(stream::repeat_with(move || {
            let _stopped = &stopped;
            Ok(Bytes::from(vec![0; 60_000]))
        }));
        Box::pin(ready(Ok(Response::new(replies))))
    });
    let limit = ServerDeadlineLayer::new().limit(millis(500));
    let server = testing::serve(limit, flood).await;
    let window = server.endpoint().initial_stream_window_size(65_535);
    let begin = Instant::now();
    let mut replies = testing::stream(window.connect_lazy(), stream::empty())
        .await
        .unwrap();
    line(&mut lines, "stopped").await;
    assert!(begin.elapsed() >= millis(500), "{:?}", begin.elapsed());
    // Who reads on gets what is under way, and then the end.
    let end = loop {
        if let Err(status) = soon(replies.message()).await {
            break status;
        }
    };
    assert_eq!(end.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn replies_that_nobody_reads_are_reset_at_the_deadline() {
    let (endpoint, mut lines) = start_alone().await;
    let request = within(millis(1000), name("3600000"));
    let mut replies = stub(&endpoint)
        .greet_often(request)
        .await
        .unwrap()
        .into_inner();
    line(&mut lines, "began").await;
    line(&mut lines, "stopped").await;
    let status = soon(replies.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn connecting_is_covered() {
    let mut stub = GreeterClient::new(ClientDeadlineLayer::new().layer(never_connects()));
    let call = stub.greet(within(millis(20), name("0")));
    assert_eq!(soon(call).await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn queueing_is_covered() {
    let (endpoint, mut lines) = start().await;
    let stub = stub(&endpoint.concurrency_limit(1));
    let mut first = stub.clone();
    tokio::spawn(async move { first.greet(name("3600000")).await });
    line(&mut lines, "began").await;
    let mut second = stub;
    let call = second.greet(within(millis(20), name("0")));
    assert_eq!(soon(call).await.unwrap_err().code(), Code::DeadlineExceeded);
    assert!(
        lines.try_recv().is_err(),
        "the second call never left the queue"
    );
}

#[tokio::test]
async fn an_endpoints_own_timeout_is_a_deadline_too() {
    let (endpoint, _lines) = start().await;
    let mut stub = stub(&endpoint.timeout(millis(20)));
    let call = stub.greet(name("3600000"));
    assert_eq!(soon(call).await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn tonic_alone_says_cancelled() {
    let (endpoint, _lines) = start_alone().await;
    let mut stub = GreeterClient::new(endpoint.connect_lazy());
    let status = stub
        .greet(within(millis(20), name("3600000")))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
}

#[tokio::test]
async fn tonic_alone_lets_a_stream_outlive_its_deadline() {
    let (endpoint, _lines) = start_alone().await;
    let mut stub = GreeterClient::new(endpoint.connect_lazy());
    let begin = Instant::now();
    let request = within(millis(300), name("20"));
    let mut replies = stub.greet_often(request).await.unwrap().into_inner();
    while begin.elapsed() < millis(600) {
        assert!(replies.message().await.unwrap().is_some());
    }
}

#[tokio::test]
async fn tonic_alone_waits_for_a_connection_past_the_deadline() {
    let mut stub = GreeterClient::new(never_connects());
    let call = timeout(millis(300), stub.greet(within(millis(20), name("0"))));
    assert!(call.await.is_err());
}

#[tokio::test]
async fn tonic_alone_overlooks_a_malformed_timeout() {
    let (endpoint, _lines) = start_alone().await;
    let mut stub = GreeterClient::new(endpoint.connect_lazy());
    let mut request = Request::new(name("0"));
    request
        .metadata_mut()
        .insert("grpc-timeout", "soon".parse().unwrap());
    assert!(stub.greet(request).await.is_ok());
}

#[test]
#[should_panic = "unrealistically large"]
fn tonic_alone_panics_at_a_long_timeout() {
    Request::new(()).set_timeout(20_000 * YEAR);
}
