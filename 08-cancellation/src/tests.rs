//! A bank to test, callers who hang up on it, and the exercises.

use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic::{Code, Response, Status};

use super::*;
use crate::bank::bank_client::BankClient;
use crate::bank::{BalanceSheet, Coin, Order, Pages};
use crate::hang_up::unless_cancelled;

mod early;
mod spawned;
mod tap;
mod transfers;
mod ways;

type Stub = BankClient<Channel>;
type Lines = UnboundedReceiver<String>;

/// Serves on a free port; returns where, and the journal.
async fn serve_bank() -> (Endpoint, Lines) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr().unwrap()));
    let (journal, lines) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, journal));
    (endpoint.unwrap(), lines)
}

async fn start() -> (Stub, Lines) {
    let (endpoint, lines) = serve_bank().await;
    (Stub::new(endpoint.connect_lazy()), lines)
}

fn order(id: &str, to: &str, coins: u32) -> Order {
    Order {
        id: id.to_owned(),
        to: to.to_owned(),
        coins,
    }
}

async fn set_desks(stub: &Stub, open: bool) {
    let desks = bank::Desks { open };
    stub.clone().set_desks(desks).await.unwrap();
}

/// What Ann and Ben have.
async fn balances(stub: &Stub) -> (i64, i64) {
    let BalanceSheet { ann, ben } = stub.clone().balances(()).await.unwrap().into_inner();
    (ann, ben)
}

/// The time is a guard against waiting for ever, not a measure.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.unwrap()
}

/// The journal's next lines are these.
async fn expect(lines: &mut Lines, expected: &[&str]) {
    for line in expected {
        assert_eq!(soon(lines.recv()).await.unwrap(), *line);
    }
}

/// Makes a call, and hangs up when the journal says `line`.
async fn hang_up_at<T>(
    lines: &mut Lines,
    line: &str,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let token = CancellationToken::new();
    let hang_up = async {
        expect(lines, &[line]).await;
        token.cancel();
    };
    let both = async { tokio::join!(unless_cancelled(&token, call), hang_up) };
    soon(both).await.0
}

#[tokio::test]
#[ignore = "exercise 1: a loader that stops with its call"]
async fn exercise_1_the_loader_stops_with_its_call() {
    let (mut stub, mut lines) = start().await;
    let mut pages = stub
        .statement(Pages { count: 3 })
        .await
        .unwrap()
        .into_inner();
    for number in 1..=3 {
        let page = pages.message().await.unwrap().unwrap();
        assert_eq!(page.number, number);
    }
    assert_eq!(pages.message().await.unwrap(), None);
    expect(
        &mut lines,
        &["north: statement: begins", "north: statement: done"],
    )
    .await;

    // Once while it waits for a clerk, and once while it waits for its reader.
    for open in [false, true] {
        set_desks(&stub, open).await;
        let pages = stub.statement(Pages { count: u64::MAX }).await.unwrap();
        expect(&mut lines, &["north: statement: begins"]).await;
        drop(pages);
        expect(&mut lines, &["north: statement: stopped"]).await;
    }
}

#[tokio::test]
#[ignore = "exercise 2: coins kept aside for as long as a call lasts"]
async fn exercise_2_coins_are_held_as_long_as_the_call_lasts() {
    let (mut stub, mut lines) = start().await;
    for _ in 0..3 {
        let mut held = stub.hold(Coin { value: 50 }).await.unwrap().into_inner();
        assert_eq!(held.message().await.unwrap().unwrap().coins, 50);
        assert_eq!(balances(&stub).await, (50, 100));
        let status = stub.transfer(order("1", "Ben", 60)).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        expect(&mut lines, &["north: transfer 1: refused"]).await;
        drop(held);
        expect(&mut lines, &["north: hold: released"]).await;
        assert_eq!(balances(&stub).await, (100, 100));
    }
    stub.transfer(order("1", "Ben", 60)).await.unwrap();
    let status = stub.hold(Coin { value: 50 }).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(balances(&stub).await, (40, 160));
}
