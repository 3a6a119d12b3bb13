//! What a bomb costs in memory, as Linux measures it, with client and server in one process.

use std::env;
use std::fs;
use std::process::Command;

use super::bombs::{MIB, bomb_in, send};
use super::*;

/// Set for a test that runs in a process of its own.
const ALONE: &str = "COMPRESSION_TEST_ALONE";

#[tokio::test]
async fn a_bomb_costs_the_limit_in_memory_and_not_its_size() {
    if env::var_os(ALONE).is_none() {
        return run_alone("a_bomb_costs_the_limit_in_memory_and_not_its_size");
    }
    for &encoding in &BOTH {
        // This lesson's own server reads gzip only.
        let url = match encoding {
            Gzip => start().await,
            _ => start_alone(polyglot()).await,
        };
        let channel = channel(url).await;
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
