//! What a bomb costs in memory, as Linux measures it, with client and server in one process.

use std::env;
use std::fs;
use std::process::Command;

use http_body::Frame;
use http_body_util::StreamBody;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;
use tonic::codegen::Bytes;
use tower::ServiceExt;

use super::bombs::{MIB, bomb_in, send};
use super::negotiation::gzip;
use super::*;

/// Set for a test that runs in a process of its own.
const ALONE: &str = "COMPRESSION_TEST_ALONE";

#[tokio::test]
async fn a_bomb_costs_the_limit_in_memory_and_not_its_size() {
    if env::var_os(ALONE).is_none() {
        return run_alone("a_bomb_costs_the_limit_in_memory_and_not_its_size");
    }
    for &encoding in &BOTH {
        let channel = channel(start_alone(polyglot()).await).await;
        let message = bomb_in(encoding, 1024);
        let before = peak();
        for _ in 0..3 {
            let status = send(channel.clone(), encoding, message.clone()).await;
            assert_eq!(status.code(), Code::ResourceExhausted);
        }
        let grown = peak() - before;
        println!("{encoding}, three times 1 GiB: {} KiB", grown / 1024);
        assert!(grown < 32 * MIB, "{encoding}: {grown}");
    }
}

/// Without this, the test above could pass because it measures nothing.
#[tokio::test]
async fn a_bomb_below_a_limit_that_is_too_high_costs_its_size() {
    if env::var_os(ALONE).is_none() {
        return run_alone("a_bomb_below_a_limit_that_is_too_high_costs_its_size");
    }
    let office = polyglot().max_decoding_message_size(1024 * MIB);
    let channel = channel(start_alone(office).await).await;
    let message = bomb_in(Gzip, 64);
    let before = peak();
    // The checksum is wrong, but by then it is too late.
    let status = send(channel, Gzip, message).await;
    assert_eq!(status.code(), Code::Internal);
    let grown = peak() - before;
    println!("a bomb of 64 MiB: {} KiB", grown / 1024);
    assert!(grown > 48 * MIB, "{grown}");
}

/// Each call sends one whole message and doesn't end: the server waits, and holds the message.
#[tokio::test]
async fn two_hundred_calls_of_one_connection_hold_little_whatever_they_unpack_to() {
    if env::var_os(ALONE).is_none() {
        let test = "two_hundred_calls_of_one_connection_hold_little_whatever_they_unpack_to";
        return run_alone(test);
    }
    let channel = channel(start().await).await;
    for (what, length) in [("tonic's limit", 4 * MIB), ("the limit", MESSAGE_LIMIT)] {
        // A field: one byte of tag, up to four of length, and its text.
        let station = "x".repeat(length - 5);
        let days = Vec::new();
        let message = gzip(&Report { station, days }.encode_to_vec());
        assert!(message.len() < 8_192, "{what}: {} bytes", message.len());
        let message = Bytes::from(framed(1, &message));
        let before = peak();
        let calls: Vec<_> = (0..200)
            .map(|_| tokio::spawn(hold(channel.clone(), message.clone())))
            .collect();
        // Those that fit hold what they have, for as long as one looks.
        let over = async {
            while !calls.iter().all(JoinHandle::is_finished) && peak() - before < 64 * MIB {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(Duration::from_secs(2), over).await;
        let grown = peak() - before;
        println!("200 calls of {what}: {} KiB", grown / 1024);
        assert!(grown < 64 * MIB, "{what}: {} MiB", grown / MIB);
        calls.iter().for_each(|call| call.abort());
    }
}

async fn hold(channel: Channel, message: Bytes) {
    let first = tokio_stream::iter([Ok::<_, Status>(Frame::data(message))]);
    let body = StreamBody::new(first.chain(tokio_stream::pending()));
    let request = http::Request::post("/reports.v1.Reports/File")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", "gzip")
        .body(Body::new(body))
        .unwrap();
    let _ = channel.oneshot(request).await;
}

/// The most memory that this process has held so far, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kibibytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kibibytes.parse::<usize>().unwrap() * 1024
}

/// Runs one test of this file in a process of its own, where no other test needs memory.
fn run_alone(test: &str) {
    let finished = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("tests::memory::{test}"), "--nocapture"])
        .env(ALONE, "yes")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&finished.stdout);
    assert!(finished.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}
