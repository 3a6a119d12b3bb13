//! Uploads that break off: what tonic alone makes of them, and what `uploads::watch` does.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const BROKE_OFF: &str = "an upload broke off";
const UPLOADS: usize = 20;

/// Cancels uploads half-way, one after the other, and returns the journal's lines.
async fn cancel_uploads(url: String, lines: &mut UnboundedReceiver<String>) -> Vec<String> {
    let stub = Stub::connect(url).await.unwrap();
    let mut journal = Vec::new();
    for _ in 0..UPLOADS {
        let (_sender, upload) = open_upload(&stub).await;
        upload.abort();
        journal.push(next_line(lines).await);
    }
    journal
}

/// tonic-0.14.9/src/codec/decode.rs takes a request that was reset with CANCEL for one that has ended.
#[tokio::test]
async fn tonic_takes_a_cancelled_upload_for_a_finished_one() {
    let (url, mut lines) = start_with_tonic_alone().await;
    let journal = cancel_uploads(url, &mut lines).await;
    // Not always all of them: where the reset comes between two steps of hyper, the handler is dropped.
    assert!(journal.iter().any(|line| line == "summarized 2 readings"));
}

#[tokio::test]
async fn a_cancelled_upload_is_not_finished() {
    let (url, mut lines) = start().await;
    let journal = cancel_uploads(url.clone(), &mut lines).await;
    assert_eq!(journal, [BROKE_OFF; UPLOADS]);
    assert_serves(&url, &mut lines).await;
}

/// On two threads the reset can also come between two steps of hyper, which then drops the handler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_upload_is_not_finished_on_two_threads() {
    let (url, mut lines) = start().await;
    let journal = cancel_uploads(url.clone(), &mut lines).await;
    assert_eq!(journal, [BROKE_OFF; UPLOADS]);
    assert_serves(&url, &mut lines).await;
}

#[tokio::test]
async fn an_upload_whose_connection_is_dropped_is_not_finished() {
    let (url, mut lines) = start().await;
    let stub = Stub::connect(url.clone()).await.unwrap();
    let (_sender, upload) = open_upload(&stub).await;
    // Without a stub and a call the channel closes its connection.
    drop(stub);
    upload.abort();
    assert_eq!(next_line(&mut lines).await, BROKE_OFF);
    assert_serves(&url, &mut lines).await;
}

#[tokio::test]
async fn an_upload_of_a_client_that_vanishes_is_not_finished() {
    let (url, mut lines) = start().await;
    let half_a_reading = &READING[..READING.len() / 2];
    for sent in [&[][..], READING, &READING.repeat(3), half_a_reading] {
        drop(upload(&url, &[], sent).await);
        assert_eq!(next_line(&mut lines).await, BROKE_OFF);
        assert_serves(&url, &mut lines).await;
    }
}

#[tokio::test]
async fn an_upload_that_is_reset_is_not_finished_whatever_the_reason() {
    let (url, mut lines) = start().await;
    // From NO_ERROR to HTTP_1_1_REQUIRED, and one that nobody knows.
    for reason in (0..=13).chain([77]) {
        let mut open = upload(&url, &[], READING).await;
        open.write_all(&reset(reason)).await.unwrap();
        assert_eq!(next_line(&mut lines).await, BROKE_OFF, "reason {reason}");
        assert_serves(&url, &mut lines).await;
    }
}

/// hyper-1.12.0/src/body/incoming.rs ends a body without an error at a reset with NO_ERROR.
#[tokio::test]
async fn hyper_takes_a_reset_without_an_error_for_the_end() {
    let (url, mut lines) = start_with_tonic_alone().await;
    let mut open = upload(&url, &[], &READING.repeat(2)).await;
    open.write_all(&reset(0)).await.unwrap();
    assert_eq!(next_line(&mut lines).await, "summarized 2 readings");
}

/// A server drops the handler of a call whose deadline is over: no `Err` reaches it.
#[tokio::test]
async fn an_upload_that_outlives_its_deadline_is_not_finished() {
    let (url, mut lines) = start().await;
    let _open = upload(&url, &[("grpc-timeout", "50m")], READING).await;
    assert_eq!(next_line(&mut lines).await, BROKE_OFF);
    assert_serves(&url, &mut lines).await;
}

#[tokio::test]
async fn an_upload_that_is_cancelled_after_its_end_is_finished() {
    let (url, mut lines) = start().await;
    let mut open = upload(&url, &[], &READING.repeat(2)).await;
    let end = frame(0, 1, 1, &[]);
    open.write_all(&[end, reset(8)].concat()).await.unwrap();
    assert_eq!(next_line(&mut lines).await, "summarized 2 readings");
}

/// A `Number` of 2, as gRPC frames it.
const READING: &[u8] = &[0, 0, 0, 0, 9, 0x09, 0, 0, 0, 0, 0, 0, 0, 0x40];

/// Calls Summarize by hand, with `headers` and `payload`, and waits until the server has read it all.
async fn upload(url: &str, headers: &[(&str, &str)], payload: &[u8]) -> TcpStream {
    let address = url.trim_start_matches("http://");
    // POST, http, and then numbers of names: of :path, of :authority, of content-type.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (&[0x04][..], "/calculator.v1.Calculator/Summarize"),
        (&[0x01], address),
        (&[0x0f, 0x10], "application/grpc"),
    ] {
        block.extend([name, &text(value)].concat());
    }
    for (name, value) in headers {
        block.extend([&[0], &text(name)[..], &text(value)].concat());
    }
    let bytes = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        frame(1, 4, 1, &block),
        frame(0, 0, 1, payload),
        frame(6, 0, 0, b"are you?"),
    ];
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&bytes.concat()).await.unwrap();
    let answer = frame(6, 1, 0, b"are you?");
    let mut read = Vec::new();
    while !read.windows(answer.len()).any(|bytes| bytes == answer) {
        assert_ne!(soon(stream.read_buf(&mut read)).await.unwrap(), 0);
    }
    stream
}

fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn reset(reason: u32) -> Vec<u8> {
    frame(3, 0, 1, &reason.to_be_bytes())
}

/// An HTTP/2 frame: length, type, flags, stream, payload.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}
