//! No process outlives whoever started it.

use std::net::TcpStream;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc;
use std::time::Instant;

use super::*;
use crate::processes::{Children, Process, silent};
use crate::running::listening_on;

/// A server that listens on `address`.
fn server(children: &Children, address: &str) -> Process {
    let (sender, events) = mpsc::channel();
    let mut command = silent(&programs().programs["server"]);
    let process = children
        .spawn(command.arg(address), "server", &sender)
        .unwrap();
    assert!(events.iter().any(|event| listening_on(&event).is_some()));
    TcpStream::connect(address).unwrap();
    process
}

fn assert_gone(address: &str) {
    let error = TcpStream::connect(address).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_process_ends_with_its_guard() {
    let address = free_address();
    drop(server(&Children::default(), &address));
    assert_gone(&address);
}

#[test]
fn a_process_ends_with_a_panic() {
    let address = free_address();
    let panics = || {
        let _server = server(&Children::default(), &address);
        panic::resume_unwind(Box::new("on purpose"));
    };
    panic::catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
    assert_gone(&address);
}

#[test]
fn an_interrupt_ends_all_processes() {
    let children = Children::default();
    let addresses = [free_address(), free_address()];
    let servers = addresses.each_ref().map(|it| server(&children, it));
    drop(children.stop_all());
    addresses.iter().for_each(|it| assert_gone(it));
    for server in servers {
        assert!(server.ended().unwrap().is_some());
    }
}

#[test]
fn a_process_that_does_not_end_in_time_is_ended() {
    let limit = Duration::from_millis(300);
    let begin = Instant::now();
    let mut command = silent(&programs().programs["talk"]);
    let finished = Children::default().run(command.arg("hang"), limit).unwrap();
    assert!(begin.elapsed() >= limit);
    assert_eq!(finished.status, None);
}
