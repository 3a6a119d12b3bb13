//! Hangs up on a bank in every way, and prints what the two sides make of each call.

use std::env;
use std::error::Error;
use std::iter;
use std::process::ExitCode;
use std::time::Duration;

use cancellation::bank::bank_client::BankClient;
use cancellation::bank::{BalanceSheet, Coin, Desks, Order, Pages};
use cancellation::follow::Follower;
use deadlines::client_layer::{ClientDeadlineLayer, ClientDeadlines};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tower::Layer;

type Stub = BankClient<ClientDeadlines<Channel>>;

#[tokio::main]
async fn main() -> ExitCode {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "http://127.0.0.1:50051".to_owned());
    match run(&url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("calling {url} failed: {}", reason(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let channel = Channel::from_shared(url.to_owned())?.connect().await?;
    let mut bank: Stub = BankClient::new(ClientDeadlineLayer.layer(channel));
    let mut other = bank.clone();
    let mut journal = Follower::new(bank.journal(()).await?);
    println!("call                the client says   the server says");

    bank.set_desks(Desks { open: false }).await?;
    let call = other.transfer_naively(order("1"));
    let client = journal.hang_up_at("south: credit 1: begins", call).await?;
    let server = journal.after("north: transfer 1: ").await?;
    show("transfer 1, naive", client, server);
    journal.after("south: credit 1: stopped").await?;
    show_balances(&mut bank).await?;
    let call = other.transfer(order("2"));
    let client = journal.hang_up_at("south: credit 2: begins", call).await?;
    journal.after("north: transfer 2: goes on alone").await?;
    bank.set_desks(Desks { open: true }).await?;
    let server = journal.after("north: transfer 2: ").await?;
    show("transfer 2", client, server);
    show_balances(&mut bank).await?;
    let client = bank.transfer(order("2")).await;
    let server = journal.after("north: transfer 2: ").await?;
    show("transfer 2, again", client, server);

    bank.set_desks(Desks { open: false }).await?;
    let mut hasty = Request::new(order("3"));
    hasty.set_timeout(Duration::from_secs(1));
    let client = other.transfer(hasty).await;
    journal.after("north: transfer 3: goes on alone").await?;
    bank.set_desks(Desks { open: true }).await?;
    let server = journal.after("north: transfer 3: ").await?;
    show("transfer 3, 1 s", client, server);
    show_balances(&mut bank).await?;

    let (sender, coins) = mpsc::channel(2);
    sender.send(Coin { value: 10 }).await?;
    sender.send(Coin { value: 3 }).await?;
    let client = other.deposit(ReceiverStream::new(coins)).await;
    // The sender learns of it, too.
    sender.closed().await;
    journal.after("north: deposit: begins").await?;
    let server = journal.after("north: deposit: ").await?;
    show("deposit, false coin", client, server);
    let (sender, coins) = mpsc::channel(1);
    sender.send(Coin { value: 10 }).await?;
    let call = other.deposit(ReceiverStream::new(coins));
    let client = journal.hang_up_at("north: deposit: begins", call).await?;
    let server = journal.after("north: deposit: ").await?;
    show("deposit", client, server);
    show_balances(&mut bank).await?;

    let call = other.audit(Pages { count: 10_000 });
    let client = journal.hang_up_at("north: audit: begins", call).await?;
    let server = journal.after("north: audit: ").await?;
    show("audit", client, server);
    // To drop a stream is to hang up, too.
    drop(journal);
    Ok(())
}

fn order(id: &str) -> Order {
    Order {
        id: id.to_owned(),
        to: "Ben".to_owned(),
        coins: 30,
    }
}

fn show<T>(call: &str, client: Result<T, Status>, server: String) {
    let code = client.map_or_else(|status| status.code(), |_| Code::Ok);
    println!("{call:<20}{:<18}{server}", format!("{code:?}"));
}

async fn show_balances(bank: &mut Stub) -> Result<(), Status> {
    let BalanceSheet { ann, ben } = bank.balances(()).await?.into_inner();
    println!("  Ann has {ann}, Ben has {ben}, together {}", ann + ben);
    Ok(())
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
