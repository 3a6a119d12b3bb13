//! What the bank promises when its callers hang up, and the exercises.

use std::fmt::Debug;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::mpsc::{self, Receiver};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use wire::testing::soon;

use super::*;
use crate::bank::MAX_TRANSFERS;
use crate::ledger::{MAX_ORDERS, Step};
use crate::proto::bank_client::BankClient;
use crate::proto::{Balance, Balances, CreditReply, Order, branch_server};
use crate::tests::faulty::{Fault, Kind, start_with};

mod coins;
mod exercises;
mod faulty;
mod limits;
mod stopping;

type Client = BankClient<Channel>;
type Lines = Receiver<String>;

/// The lesson's own server: a client, its URL and the log.
async fn start() -> (Client, String, Lines) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (log, lines) = mpsc::channel(1024);
    tokio::spawn(serve(listener, log));
    (connect(&url), url, lines)
}

fn connect(url: &str) -> Client {
    Client::new(
        Endpoint::from_shared(url.to_owned())
            .unwrap()
            .connect_lazy(),
    )
}

fn order(id: impl ToString, to: &str, coins: u32) -> Order {
    let (id, to) = (id.to_string(), to.to_owned());
    Order { id, to, coins }
}

/// What Ann and Ben have.
async fn balances(bank: &Client) -> (i64, i64) {
    let reply = soon("the balances", async {
        bank.clone().get_balances(()).await
    });
    let Balances { ann, ben } = reply.await.unwrap().into_inner();
    (ann, ben)
}

/// The log's next lines are these.
async fn expect(lines: &mut Lines, expected: &[&str]) {
    for line in expected {
        let next = soon(&format!("the line {line:?}"), lines.recv()).await;
        assert_eq!(next.as_deref(), Some(*line), "the log's next line");
    }
}

/// Drops `call` when the log says `line`.
async fn cancel_at<T: Debug>(lines: &mut Lines, line: &str, call: impl Future<Output = T>) {
    let expected = [line];
    tokio::select! {
        result = call => panic!("answered before the log said {line:?}: {result:?}"),
        () = expect(lines, &expected) => {}
    }
}

fn code<T: Debug>(result: Result<T, Status>) -> Code {
    result.expect_err("an error").code()
}
