//! Blocking code at the client, which is fine, and in a handler, which is not.

use std::panic;
use std::thread;

use tokio::runtime;
use tokio::task::spawn_blocking;

use super::*;
use crate::blocking::Calculator as BlockingCalculator;

/// Serves in a runtime of `threads` threads, for as long as the test program runs.
pub fn start_elsewhere(threads: usize) -> (String, UnboundedReceiver<String>) {
    let machine = machine(threads);
    let (endpoint, lines) = machine.block_on(start());
    std::mem::forget(machine);
    (endpoint.uri().to_string(), lines)
}

fn machine(threads: usize) -> runtime::Runtime {
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all();
    builder.build().unwrap()
}

#[test]
fn blocking_code_calls_without_a_runtime_of_its_own() {
    let (url, mut lines) = start_elsewhere(1);
    let mut calculator = BlockingCalculator::connect(&url).unwrap();
    assert_eq!(calculator.square_root(16.0).unwrap(), 4.0);
    assert_eq!(calculator.square_root(100.0).unwrap(), 10.0);
    let status = calculator.square_root(-1.0).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(lines.blocking_recv().unwrap(), "connection 1");
    for _ in 0..3 {
        assert_eq!(lines.blocking_recv().unwrap(), "1 call");
    }
    assert!(BlockingCalculator::connect(NOBODY).is_err());
    assert!(BlockingCalculator::connect("nonsense").is_err());
}

#[test]
fn blocking_code_learns_at_its_next_call_that_the_server_is_gone() {
    let machine = machine(1);
    let (endpoint, _lines) = machine.block_on(start());
    let mut calculator = BlockingCalculator::connect(&endpoint.uri().to_string()).unwrap();
    assert_eq!(calculator.square_root(16.0).unwrap(), 4.0);
    drop(machine);
    calculator.square_root(16.0).unwrap_err();
    let status = calculator.square_root(16.0).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_blocking_client_panics_in_async_code() {
    let (endpoint, _lines) = start().await;
    let url = endpoint.uri().to_string();
    let panic = panic::catch_unwind(|| BlockingCalculator::connect(&url)).unwrap_err();
    let message = panic.downcast_ref::<&str>().unwrap();
    assert!(
        message.starts_with("Cannot start a runtime from within a runtime"),
        "{message}"
    );
}

/// How a handler waits.
#[derive(Clone, Copy)]
enum Wait {
    OnItsThread,
    OnAnother,
    ForACallThatBlocks,
}

struct Careless {
    wait: Wait,
    journal: UnboundedSender<String>,
}

#[tonic::async_trait]
impl Calculator for Careless {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let Number { value } = request.into_inner();
        self.journal.send(format!("{value} begun")).unwrap();
        let time = Duration::from_secs_f64(value / 1000.0);
        match self.wait {
            Wait::OnItsThread => thread::sleep(time),
            Wait::OnAnother => spawn_blocking(move || thread::sleep(time)).await.unwrap(),
            Wait::ForACallThatBlocks => drop(BlockingCalculator::connect(NOBODY)),
        }
        self.journal.send(format!("{value} done")).unwrap();
        Ok(Response::new(Number { value }))
    }
}

/// A careless calculator that has one thread for all of its calls.
fn start_careless(wait: Wait) -> (runtime::Runtime, Endpoint, UnboundedReceiver<String>) {
    let machine = machine(1);
    let (journal, lines) = mpsc::unbounded_channel();
    let url = machine.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = CalculatorServer::new(Careless { wait, journal });
        let server = Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        url
    });
    (machine, Endpoint::from_shared(url).unwrap(), lines)
}

/// The journal of a call that waits a second, and another that comes while it does and does not wait.
fn journal_of_two(wait: Wait) -> Vec<String> {
    let (_machine, endpoint, mut lines) = start_careless(wait);
    machine(1).block_on(async {
        let channel = endpoint.connect().await.unwrap();
        let long = channel.clone();
        let long = tokio::spawn(async move { square_root(&long, 1000.0).await });
        let mut journal = vec![next_line(&mut lines).await];
        square_root(&channel, 0.0).await.unwrap();
        soon(long).await.unwrap().unwrap();
        for _ in 0..3 {
            journal.push(next_line(&mut lines).await);
        }
        journal
    })
}

#[test]
fn a_handler_that_blocks_its_thread_holds_up_the_others() {
    assert_eq!(
        journal_of_two(Wait::OnItsThread),
        ["1000 begun", "1000 done", "0 begun", "0 done"]
    );
}

#[test]
fn a_handler_that_blocks_another_thread_holds_up_nobody() {
    assert_eq!(
        journal_of_two(Wait::OnAnother),
        ["1000 begun", "0 begun", "0 done", "1000 done"]
    );
}

#[test]
fn a_handler_that_uses_a_blocking_client_panics() {
    let (_machine, endpoint, mut lines) = start_careless(Wait::ForACallThatBlocks);
    let status = machine(1).block_on(async {
        let channel = endpoint.connect().await.unwrap();
        square_root(&channel, 0.0).await.unwrap_err()
    });
    assert_eq!(status.code(), Code::Cancelled, "tonic's word for a panic");
    assert_eq!(lines.blocking_recv().unwrap(), "0 begun");
    assert!(lines.try_recv().is_err(), "it was never done");
}
