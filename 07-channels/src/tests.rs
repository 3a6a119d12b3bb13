//! What a channel promises, and the exercises.

use futures::future::{join_all, poll_immediate, try_join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::Instant;
use tonic::Code;
use tonic::transport::Server;
use wire::testing::soon;

use super::*;
use crate::proto::calculator_client::CalculatorClient;

mod at_once;
mod connecting;
mod exercises;
mod limit;
mod outage;
mod states;
#[cfg(unix)]
mod unix;

/// A number that takes a minute, which no test waits for.
const LONG: f64 = 60_000.0;
/// On which no server listens.
const NOBODY: &str = "http://127.0.0.1:1";

/// The lesson's own server: where it is, and its log.
async fn start() -> (Endpoint, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr().unwrap()));
    let (log, lines) = mpsc::channel(1024);
    tokio::spawn(serve(listener, log));
    (endpoint.unwrap(), lines)
}

async fn square_root(channel: &Channel, value: f64) -> Result<f64, Status> {
    let mut calculator = CalculatorClient::new(channel.clone());
    let root = calculator.square_root(Number { value }).await?;
    Ok(root.into_inner().value)
}

async fn next_line(lines: &mut Receiver<String>) -> String {
    soon("a line of the log", lines.recv()).await.unwrap()
}

/// Reads the log until `calls` calls are done. Returns how many connections there were, and how
/// many calls at once.
async fn count(lines: &mut Receiver<String>, calls: usize) -> (usize, usize) {
    let (mut connections, mut done, mut most) = (0, 0, 0);
    while done < calls {
        let line = next_line(lines).await;
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["connection", _] => connections += 1,
            ["1", "call"] => (done, most) = (done + 1, most.max(1)),
            [begun, "calls,", "at", "most", at_once, "at", "once"] => {
                done += begun.parse::<usize>().unwrap();
                most = most.max(at_once.parse().unwrap());
            }
            _ => panic!("an unknown line in the log: {line}"),
        }
    }
    (connections, most)
}
