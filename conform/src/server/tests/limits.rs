//! What `builder` limits.

use super::raw::*;
use super::*;

const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Opens so many calls on one connection, and leaves them open.
async fn open_calls(server: &Running, count: u32) -> (Raw, Vec<Frame>) {
    let mut bytes = opening();
    for call in 0..count {
        bytes.extend(frame(HEADERS, END_HEADERS, 2 * call + 1, &headers(0)));
    }
    let mut raw = Raw::connect(server).await;
    raw.send(&bytes).await;
    let frames = raw.answers().await;
    (raw, frames)
}

fn reasons(frames: &[Frame], kind: u8) -> Vec<u32> {
    let frames = frames.iter().filter(|frame| frame.kind == kind);
    frames.map(Frame::reason).collect()
}

/// What the server says in its settings of `id`.
fn setting(frames: &[Frame], id: u16) -> Option<u32> {
    let settings = frames.iter().find(|frame| frame.kind == SETTINGS)?;
    let mut entries = settings.payload.chunks_exact(6);
    let entry = entries.find(|entry| entry[..2] == id.to_be_bytes())?;
    Some(u32::from_be_bytes(entry[2..].try_into().unwrap()))
}

#[tokio::test]
async fn calls_past_the_limit_are_refused_and_others_are_served() {
    let server = start(|incoming| incoming).await;
    let (mut raw, frames) = open_calls(&server, MAX_CONCURRENT_STREAMS + 50).await;
    assert_eq!(reasons(&frames, RST_STREAM), [REFUSED_STREAM; 50]);
    let first = frames.iter().find(|frame| frame.kind == RST_STREAM);
    assert_eq!(first.unwrap().stream, 2 * MAX_CONCURRENT_STREAMS + 1);
    assert_eq!(setting(&frames, 3), Some(MAX_CONCURRENT_STREAMS));
    soon(server.stub().await.greet(Name::default()))
        .await
        .unwrap();
    // The connection itself is still in order.
    raw.send(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()))
        .await;
    let again = 2 * (MAX_CONCURRENT_STREAMS + 50) + 1;
    raw.send(&frame(HEADERS, END_HEADERS, again, &headers(0)))
        .await;
    assert_eq!(reasons(&raw.answers().await, RST_STREAM), [0; 0]);
}

#[tokio::test]
async fn tonic_alone_takes_any_number_of_calls() {
    let server = start_alone().await;
    let (_raw, frames) = open_calls(&server, 5000).await;
    assert_eq!(reasons(&frames, RST_STREAM), [0; 0]);
    assert_eq!(setting(&frames, 3), None);
}

/// Headers that promise a byte of content, and end without it: the server has to reset the stream.
fn malformed(stream: u32) -> Vec<u8> {
    let block = [&headers(0)[..], &[0x0f, 0x0d, 1, b'1']].concat();
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

async fn offend(server: &Running, count: usize) -> Vec<Frame> {
    let mut raw = Raw::connect(server).await;
    raw.send(&opening()).await;
    let mut frames = Vec::new();
    // In pieces, so that the server's resets are read as they come.
    for piece in 0..count.div_ceil(100) {
        let faults = (piece * 100)..count.min((piece + 1) * 100);
        let mut left = faults.len();
        let mut bytes = Vec::new();
        for fault in faults {
            bytes.extend(malformed(u32::try_from(2 * fault + 1).unwrap()));
        }
        raw.send(&bytes).await;
        // Not up to a ping: one that is unread when the server closes makes it reset the
        // connection, and the reset overtakes the GOAWAY.
        while left > 0
            && let Some(frame) = raw.frame().await
        {
            left -= usize::from(frame.kind == RST_STREAM);
            frames.push(frame);
        }
    }
    frames.extend(raw.answers().await);
    frames
}

#[tokio::test]
async fn a_peer_whose_faults_pass_the_limit_loses_its_connection() {
    let server = start(|incoming| incoming).await;
    let frames = offend(&server, MAX_LOCAL_ERROR_RESET_STREAMS).await;
    let resets = reasons(&frames, RST_STREAM);
    assert_eq!(resets, [PROTOCOL_ERROR; MAX_LOCAL_ERROR_RESET_STREAMS]);
    assert_eq!(reasons(&frames, GOAWAY), [0; 0]);
    let frames = offend(&server, MAX_LOCAL_ERROR_RESET_STREAMS + 1).await;
    assert_eq!(reasons(&frames, GOAWAY), [ENHANCE_YOUR_CALM]);
}

#[tokio::test]
async fn tonic_alone_bears_any_number_of_faults() {
    let server = start_alone().await;
    let frames = offend(&server, 3 * MAX_LOCAL_ERROR_RESET_STREAMS).await;
    assert_eq!(reasons(&frames, GOAWAY), [0; 0]);
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let server = start(|incoming| incoming).await;
    let mut bytes = opening();
    for call in 0..1000 {
        bytes.extend(frame(HEADERS, END_HEADERS, 2 * call + 1, &headers(0)));
        bytes.extend(frame(RST_STREAM, 0, 2 * call + 1, &8_u32.to_be_bytes()));
    }
    let mut raw = Raw::connect(&server).await;
    raw.send(&bytes).await;
    let frames = raw.answers().await;
    assert_eq!(reasons(&frames, GOAWAY), [ENHANCE_YOUR_CALM]);
    soon(server.stub().await.greet(Name::default()))
        .await
        .unwrap();
}

#[tokio::test]
async fn headers_past_the_limit_are_refused() {
    let server = start(|incoming| incoming).await;
    for (more, is_refused) in [(15 * 1024, false), (17 * 1024, true)] {
        let block = headers(more);
        let (first, rest) = block.split_at(16_000.min(block.len()));
        let mut bytes = opening();
        let ends = if rest.is_empty() { END_HEADERS } else { 0 };
        bytes.extend(frame(HEADERS, ends, 1, first));
        if !rest.is_empty() {
            bytes.extend(frame(CONTINUATION, END_HEADERS, 1, rest));
        }
        let mut raw = Raw::connect(&server).await;
        raw.send(&bytes).await;
        let mut frames = raw.answers().await;
        frames.extend(raw.answers().await);
        assert_eq!(setting(&frames, 6), Some(MAX_HEADER_LIST_SIZE));
        // The handler waits for names; what the server says at once is the refusal.
        let answered = frames.iter().any(|frame| frame.kind == HEADERS);
        assert_eq!(answered, is_refused, "{frames:?}");
    }
}

#[tokio::test]
async fn settings_without_end_are_too_many_and_others_are_served() {
    let server = start(|incoming| incoming).await;
    let mut stub = server.stub().await;
    soon(stub.greet(Name::default())).await.unwrap();
    let settings = frame(SETTINGS, 0, 0, &[]).repeat(1000);
    let mut raw = Raw::connect(&server).await;
    raw.send(&[opening(), settings.repeat(3)].concat()).await;
    let mut last = None;
    while let Some(frame) = raw.frame().await {
        last = Some(frame);
    }
    let last = last.unwrap();
    assert_eq!((last.kind, last.reason()), (GOAWAY, ENHANCE_YOUR_CALM));
    assert_eq!(last.payload[8..], *b"too_many_answers");
    // Whose answers are read, so that the server goes on reading.
    let (mut read, mut write) = Raw::connect(&server).await.0.into_split();
    write.write_all(&opening()).await.unwrap();
    let flood = async { while write.write_all(&settings).await.is_ok() {} };
    let mut answers = Vec::new();
    let _ = soon(async { tokio::join!(flood, read.read_to_end(&mut answers)) }).await;
    soon(stub.greet(Name::default())).await.unwrap();
}
