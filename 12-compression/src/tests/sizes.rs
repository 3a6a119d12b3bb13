//! What compression saves and what it costs, in each encoding and each direction.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

#[tokio::test]
async fn every_encoding_works_in_every_direction_beside_every_other() {
    let (stub, scale) = weighed(start_alone(polyglot()).await).await;
    let year = year::of("Bergen");
    for &there in ENCODINGS {
        for &back in ENCODINGS {
            let mut stub = stub.clone().send_compressed(there).accept_compressed(back);
            let report = stub.fetch(bergen()).await.unwrap().into_inner();
            assert_eq!(report, year);
            let (request, reply) = only(scale.read());
            assert_eq!(request.encoding, named(there));
            assert_eq!(reply.encoding, named(back));

            let receipt = stub.file(year.clone()).await.unwrap().into_inner();
            assert_eq!(receipt.days, 365);
            let (request, _) = only(scale.read());
            assert_eq!(request.encoding, named(there));
            assert!(request.bytes < year.encoded_len() / 3, "{request}");
        }
    }
}

#[tokio::test]
async fn a_report_shrinks_to_less_than_a_third() {
    let (stub, scale) = weighed(start().await).await;
    let plain = year::of("Bergen").encoded_len();
    for encoding in [Gzip, Deflate] {
        let mut stub = stub.clone().accept_compressed(encoding);
        stub.fetch(bergen()).await.unwrap();
        let (_, reply) = only(scale.read());
        assert_eq!(reply.encoding, named(encoding));
        assert!(reply.bytes < plain / 3, "{reply} of {plain}");
    }
}

#[tokio::test]
async fn a_tiny_message_grows() {
    let (stub, scale) = weighed(start().await).await;
    let plain = bergen().encoded_len();
    let mut stub = stub.send_compressed(Gzip);
    for station in [bergen(), Station::default()] {
        let plain = station.encoded_len();
        stub.fetch(station).await.unwrap();
        let (request, _) = only(scale.read());
        assert_eq!(request.encoding, named(Gzip));
        assert!(request.bytes >= plain + 18, "{request} of {plain}");
    }
    assert_eq!(plain, 8);
}

#[tokio::test]
async fn a_request_and_its_reply_may_use_different_encodings() {
    let (stub, scale) = weighed(start().await).await;
    for (there, back) in [
        (Some(Gzip), Some(Deflate)),
        (Some(Gzip), None),
        (None, Some(Deflate)),
    ] {
        let mut stub = stub.clone();
        if let Some(encoding) = there {
            stub = stub.send_compressed(encoding);
        }
        if let Some(encoding) = back {
            stub = stub.accept_compressed(encoding);
        }
        stub.fetch(bergen()).await.unwrap();
        let (request, reply) = only(scale.read());
        assert_eq!(request.encoding, there.and_then(named));
        assert_eq!(reply.encoding, back.and_then(named));
    }
}

/// Counts what the socket carries towards the client, frames and headers and all.
#[tokio::test]
async fn the_connection_carries_fewer_bytes() {
    let server = start().await.trim_start_matches("http://").to_owned();
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", front.local_addr().unwrap());
    let carried = Arc::new(AtomicUsize::new(0));
    let counter = carried.clone();
    tokio::spawn(async move {
        let (client, _) = front.accept().await.unwrap();
        let server = TcpStream::connect(server).await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let mut buffer = [0; 4096];
        loop {
            let length = from_server.read(&mut buffer).await.unwrap();
            counter.fetch_add(length, Ordering::SeqCst);
            to_client.write_all(&buffer[..length]).await.unwrap();
        }
    });

    let mut stub = ReportsClient::new(channel(url).await);
    // The first call of a connection also carries its opening.
    stub.fetch(bergen()).await.unwrap();
    let before = carried.swap(0, Ordering::SeqCst);
    assert!(before > 7700, "{before}");
    stub.fetch(bergen()).await.unwrap();
    let plain = carried.swap(0, Ordering::SeqCst);
    let mut stub = stub.accept_compressed(Gzip);
    stub.fetch(bergen()).await.unwrap();
    let zipped = carried.swap(0, Ordering::SeqCst);
    assert!(zipped < plain / 3, "{zipped} of {plain}");
}
