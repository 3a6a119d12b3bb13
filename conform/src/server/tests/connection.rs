//! Connections that begin no call.

use std::io::{ErrorKind, IoSlice};

use futures::StreamExt;

use super::raw::*;
use super::*;

/// What a stranger may send who begins no call.
fn beginnings() -> Vec<(&'static str, Vec<u8>)> {
    let block = headers(0);
    let (half, _) = block.split_at(block.len() / 2);
    vec![
        ("nothing", Vec::new()),
        ("half a preface", PREFACE[..10].to_vec()),
        ("a preface", PREFACE.to_vec()),
        ("settings", opening()),
        (
            "a header block without an end",
            [opening(), frame(HEADERS, 0, 1, half)].concat(),
        ),
        (
            "half a frame of headers",
            [
                opening(),
                frame(HEADERS, END_HEADERS, 1, &block)[..20].to_vec(),
            ]
            .concat(),
        ),
        (
            "a ping",
            [opening(), frame(PING, 0, 0, b"are you?")].concat(),
        ),
        ("half a request of HTTP/1", b"GET / HTTP/1.1\r\n".to_vec()),
        ("half a greeting of TLS", vec![22, 3, 1, 2, 0, 1]),
    ]
}

#[tokio::test]
async fn a_connection_that_begins_no_call_is_closed() {
    for (what, bytes) in beginnings() {
        let server = start(|incoming| incoming.first_request_timeout(millis(100))).await;
        let begin = Instant::now();
        let mut raw = Raw::connect(&server).await;
        raw.send(&bytes).await;
        raw.closed().await;
        if bytes.is_empty() || bytes.starts_with(PREFACE) {
            assert!(
                begin.elapsed() >= millis(100),
                "{what}: {:?}",
                begin.elapsed()
            );
        }
    }
}

#[tokio::test]
async fn a_connection_that_pings_without_end_is_closed() {
    let server = start(|incoming| incoming.first_request_timeout(millis(100))).await;
    let mut raw = Raw::connect(&server).await;
    raw.send(&opening()).await;
    // Never reads: in the end the server can't write its answers, and so doesn't read either.
    let pings = frame(PING, 0, 0, b"are you?").repeat(1000);
    let flood = async { while raw.0.write_all(&pings).await.is_ok() {} };
    soon(flood).await;
}

#[tokio::test]
async fn a_connection_that_has_begun_a_call_stays() {
    let server = start(|incoming| incoming.first_request_timeout(millis(2000))).await;
    let mut stub = server.stub().await;
    let name = "2200".to_owned();
    let first = soon(stub.greet(Name { name })).await.unwrap();
    // The same connection, long after.
    let second = soon(stub.greet(Name::default())).await.unwrap();
    assert_eq!(first.into_inner(), second.into_inner());
}

#[tokio::test]
async fn tonic_alone_keeps_a_connection_that_begins_no_call() {
    let server = start_alone().await;
    for (what, bytes) in beginnings() {
        let mut raw = Raw::connect(&server).await;
        raw.send(&bytes).await;
        if bytes.is_empty() || bytes.starts_with(PREFACE) {
            assert!(raw.stays_open().await, "{what}");
        }
    }
}

/// A connection and its client.
async fn pair(first_request_timeout: Duration) -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut incoming = incoming(listener).first_request_timeout(first_request_timeout);
    let (client, accepted) = tokio::join!(TcpStream::connect(address), incoming.next());
    (accepted.unwrap().unwrap(), client.unwrap())
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn small_frames_go_out_at_once() {
    let (connection, _client) = pair(HOUR).await;
    assert!(connection.stream.get_ref().nodelay().unwrap());
}

#[tokio::test]
async fn tonic_alone_leaves_small_frames_waiting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut incoming = TcpIncoming::from(listener);
    let (_client, accepted) = tokio::join!(TcpStream::connect(address), incoming.next());
    assert!(!accepted.unwrap().unwrap().nodelay().unwrap());
}

#[tokio::test]
async fn the_clock_stops_at_the_first_call() {
    let (mut connection, mut client) = pair(HOUR).await;
    let mut read = Vec::new();
    let call = [opening(), frame(HEADERS, END_HEADERS, 1, &headers(0))].concat();
    let (last, rest) = call.split_last().unwrap();
    client.write_all(rest).await.unwrap();
    while read.len() < rest.len() {
        soon(connection.read_buf(&mut read)).await.unwrap();
    }
    assert!(connection.waiting.is_some());
    client.write_all(&[*last]).await.unwrap();
    soon(connection.read_buf(&mut read)).await.unwrap();
    assert!(connection.waiting.is_none());
    assert_eq!(read, call);
}

#[tokio::test]
async fn after_its_time_a_connection_neither_reads_nor_writes() {
    let (mut connection, mut client) = pair(Duration::ZERO).await;
    client.write_all(&opening()).await.unwrap();
    sleep(millis(5)).await;
    let error = soon(connection.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let error = soon(connection.write(b"a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let slices = [IoSlice::new(b"a"), IoSlice::new(b"b")];
    let error = soon(connection.write_vectored(&slices)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn what_is_written_arrives_in_one_piece_or_in_several() {
    let (mut connection, mut client) = pair(HOUR).await;
    assert!(tokio::io::AsyncWrite::is_write_vectored(&connection));
    let slices = [IoSlice::new(b"one, "), IoSlice::new(b"two")];
    assert_eq!(connection.write_vectored(&slices).await.unwrap(), 8);
    connection.write_all(b", three").await.unwrap();
    connection.flush().await.unwrap();
    connection.shutdown().await.unwrap();
    let mut read = String::new();
    soon(client.read_to_string(&mut read)).await.unwrap();
    assert_eq!(read, "one, two, three");
}
