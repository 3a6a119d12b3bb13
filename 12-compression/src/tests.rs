//! The two exercises, and what all tests of this lesson use.

use tonic::transport::Channel;

use super::*;
use crate::reports::reports_client::ReportsClient;
use crate::scale::{Reading, Scale, Weighing, Weight};

mod bombs;
#[cfg(target_os = "linux")]
mod memory;
mod negotiation;
mod secret;
mod sizes;
mod streams;

type Stub = ReportsClient<Weighing<Channel>>;

/// Serves on a free port and returns its URL.
async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener));
    url
}

/// Serves `office` as it is, without what this lesson adds.
async fn start_alone(office: ReportsServer<Office>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let incoming = TcpIncoming::from(listener);
    let server = Server::builder().add_service(office);
    tokio::spawn(server.serve_with_incoming(incoming));
    url
}

/// An office that reads and writes every encoding.
fn polyglot() -> ReportsServer<Office> {
    ENCODINGS
        .iter()
        .fold(ReportsServer::new(Office), |office, &encoding| {
            office.accept_compressed(encoding).send_compressed(encoding)
        })
}

async fn channel(url: String) -> Channel {
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}

/// A stub that compresses nothing and accepts nothing compressed, and its scale.
async fn weighed(url: String) -> (Stub, Scale) {
    let scale = Scale::default();
    let stub = ReportsClient::new(scale.under(channel(url).await));
    (stub, scale)
}

fn bergen() -> Station {
    let name = "Bergen".to_owned();
    Station { name }
}

/// The only message of each direction.
fn only(reading: Reading) -> (Weight, Weight) {
    let ([request], [reply]) = (&reading.requests[..], &reading.replies[..]) else {
        panic!("one message each way: {reading:?}");
    };
    (request.clone(), reply.clone())
}

fn named(encoding: CompressionEncoding) -> Option<String> {
    Some(encoding.to_string())
}

#[tokio::test]
#[ignore = "exercise 1: compress only what is worth it"]
async fn exercise_1_compresses_only_replies_of_a_kibibyte_or_more() {
    let (stub, scale) = weighed(start().await).await;
    let mut stub = stub.accept_compressed(Gzip);
    stub.file(year::of("Bergen")).await.unwrap();
    assert_eq!(only(scale.read()).1.encoding, None);
    stub.fetch(bergen()).await.unwrap();
    assert_eq!(only(scale.read()).1.encoding, named(Gzip));
}

#[tokio::test]
#[ignore = "exercise 2: keep the pass apart"]
async fn exercise_2_keeps_the_pass_apart() {
    let (stub, scale) = weighed(start().await).await;
    let stub = stub.accept_compressed(Gzip);
    let text = "rain ".repeat(20);
    let words = Words { text };
    let response = stub.clone().look_up_apart(words).await.unwrap();
    assert_eq!(response.metadata().get("pass").unwrap(), PASS);
    assert_eq!(response.get_ref().pass, "");
    assert!(response.get_ref().text.starts_with("rain"));
    assert_eq!(only(scale.read()).1.encoding, named(Gzip));

    let guessed = eavesdropper::guess(1, async |text| {
        let text = text.to_owned();
        stub.clone().look_up_apart(Words { text }).await?;
        Ok(only(scale.read()).1.bytes)
    });
    assert_eq!(guessed.await.unwrap(), None);
}
