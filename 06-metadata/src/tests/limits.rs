//! How large metadata may be, in both directions, and what happens past that.

use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Endpoint;

use super::*;
use crate::limit::Limited;

const KIB: usize = 1024;

/// A request with a caller of so many letters, whom the server repeats in its headers.
fn long(letters: usize) -> Request<Number> {
    let mut request = Request::new(Number { value: 9.0 });
    let caller = "x".repeat(letters).parse().unwrap();
    request.metadata_mut().insert("caller", caller);
    request
}

/// A server that takes 64 KiB of headers.
async fn start_roomy() -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (journal, _) = mpsc::unbounded_channel();
    tokio::spawn(
        Server::builder()
            .http2_max_header_list_size(64 * KIB as u32)
            .add_service(CalculatorServer::new(Abacus { journal }))
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    Channel::from_shared(url).unwrap()
}

#[tokio::test]
async fn tonic_calls_a_request_past_the_servers_limit_unknown() {
    let (channel, mut lines) = start().await;
    let mut stub = CalculatorClient::new(channel);
    stub.square_root(long(15 * KIB)).await.unwrap();
    soon(lines.recv()).await.unwrap();
    for letters in [16 * KIB, 60 * KIB] {
        let status = stub.square_root(long(letters)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unknown);
        assert!(status.message().contains("431"), "{status}");
    }
    // The handler was not asked, and the connection goes on.
    stub.square_root(from_ann(Number { value: 9.0 }))
        .await
        .unwrap();
    assert!(soon(lines.recv()).await.unwrap().starts_with("Ann"));
}

#[tokio::test]
async fn a_request_past_four_times_the_limit_ends_the_calls_beside_it() {
    let (channel, _lines) = start().await;
    let mut stub = CalculatorClient::new(channel);
    let (_sender, requests) = mpsc::unbounded_channel();
    let requests = UnboundedReceiverStream::new(requests);
    let neighbour = soon(stub.maximum(from_ann(requests))).await;
    let mut neighbour = neighbour.unwrap().into_inner();
    let status = stub.square_root(long(64 * KIB)).await.unwrap_err();
    assert_ne!(status.code(), Code::Ok);
    let status = soon(neighbour.message()).await.unwrap_err();
    assert_ne!(status.code(), Code::Ok);
}

#[tokio::test]
async fn a_request_past_the_clients_own_limit_is_resource_exhausted_and_not_sent() {
    let (channel, mut lines) = start().await;
    let mut stub = CalculatorClient::new(Limited::new(channel));
    for letters in [8 * KIB, 20_000, 64 * KIB] {
        let status = stub.square_root(long(letters)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("8192"), "{status}");
    }
    stub.square_root(long(7 * KIB)).await.unwrap();
    assert!(soon(lines.recv()).await.unwrap().starts_with("xxx"));
}

#[tokio::test]
async fn the_limit_counts_as_http2_does() {
    let (channel, _lines) = start().await;
    // Name, value, and 32 bytes for each header: `te: trailers`, the content type, and the caller.
    let size = (2 + 8 + 32) + (12 + 16 + 32) + (6 + 100 + 32);
    for (limit, passes) in [(size, true), (size - 1, false)] {
        let mut stub = CalculatorClient::new(Limited::with_limit(channel.clone(), limit));
        assert_eq!(stub.square_root(long(100)).await.is_ok(), passes);
    }
}

#[tokio::test]
async fn a_servers_refusal_is_internal_as_the_mapping_of_http_codes_says() {
    let (channel, _lines) = start().await;
    let mut stub = CalculatorClient::new(Limited::with_limit(channel, usize::MAX));
    let status = stub.square_root(long(20_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("the server"), "{status}");
}

#[tokio::test]
async fn both_limits_can_be_raised() {
    let channel = start_roomy()
        .await
        .http2_max_header_list_size(64 * KIB as u32);
    let mut stub = stub(channel.connect().await.unwrap());
    let response = stub.square_root(long(20_000)).await.unwrap();
    assert_eq!(response.metadata().get("asked-by").unwrap().len(), 20_000);
}

#[tokio::test]
async fn tonic_calls_a_response_past_the_clients_limit_internal() {
    let channel = start_roomy().await.connect().await.unwrap();
    let mut stub = CalculatorClient::new(channel);
    let status = stub.square_root(long(20_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");
    stub.square_root(long(10_000)).await.unwrap();
}
