//! What compression saves and what it costs, in each encoding and each direction.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::message_sizes::total;

#[tokio::test]
async fn every_encoding_works_in_every_direction_beside_every_other() {
    let (stub, sizes) = measured(start_alone(polyglot()).await).await;
    let year = year::report("Bergen");
    for &there in &BOTH {
        for &back in &BOTH {
            let mut stub = stub.clone().send_compressed(there).accept_compressed(back);
            let report = stub.fetch(bergen()).await.unwrap().into_inner();
            assert_eq!(report, year);
            let (request, reply) = only(sizes.take());
            assert_eq!(request.encoding, named(there));
            assert_eq!(reply.encoding, named(back));

            let receipt = stub.file(year.clone()).await.unwrap().into_inner();
            assert_eq!(receipt.days, 365);
            let (request, _) = only(sizes.take());
            assert_eq!(request.encoding, named(there));
            assert!(request.bytes as usize * 3 < year.encoded_len(), "{request}");
        }
    }
}

#[tokio::test]
async fn a_tiny_message_grows() {
    let (stub, sizes) = measured(start().await).await;
    let plain = bergen().encoded_len();
    let mut stub = stub.send_compressed(Gzip);
    for station in [bergen(), Station::default()] {
        let plain = station.encoded_len();
        stub.fetch(station).await.unwrap();
        let (request, _) = only(sizes.take());
        assert_eq!(request.encoding, named(Gzip));
        assert!(request.bytes as usize >= plain + 18, "{request} of {plain}");
    }
    assert_eq!(plain, 8);
}

#[tokio::test]
async fn a_request_and_its_reply_may_use_different_encodings() {
    let (stub, sizes) = measured(start().await).await;
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
        let (request, reply) = only(sizes.take());
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

#[test]
fn a_total_says_how_many_messages_and_how_they_travelled() {
    let size = |bytes, encoding: Option<&str>| MessageSize {
        bytes,
        encoding: encoding.map(str::to_owned),
    };
    let gzip = Some("gzip");
    for (sizes, expected) in [
        (&[][..], "nothing"),
        (&[size(3, None)], "3 bytes, plain"),
        (&[size(3, gzip), size(4, gzip)], "2 messages, 7 bytes, gzip"),
        (
            &[size(3, gzip), size(4, None)],
            "2 messages, 7 bytes, mixed",
        ),
    ] {
        assert_eq!(total(sizes), expected);
    }
}
