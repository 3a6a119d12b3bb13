//! Hangs up on a bank, and counts the coins after each call.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use cancellation::proto::Order;
use cancellation::proto::bank_client::BankClient;
use conform::deadline::{ClientDeadline, ClientDeadlineLayer};
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tower::Layer;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let channel = Endpoint::from_shared(url)?.connect().await?;
    let deadlines = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(5));
    let mut bank = BankClient::new(deadlines.layer(channel));

    cancel_early("transfer 1, naive", bank.transfer_naively(order("1"))).await?;
    print_balances(&mut bank).await?;
    let receipt = bank.transfer_naively(order("1")).await?.into_inner();
    println!("transfer 1, again: done before: {}", receipt.done_before);
    print_balances(&mut bank).await?;

    cancel_early("transfer 2, safe", bank.transfer(order("2"))).await?;
    print_balances(&mut bank).await?;
    println!("a second later:");
    sleep(Duration::from_secs(1)).await;
    print_balances(&mut bank).await?;
    let receipt = bank.transfer(order("2")).await?.into_inner();
    println!("transfer 2, again: done before: {}", receipt.done_before);
    print_balances(&mut bank).await?;

    cancel_early("audit", bank.audit(())).await?;
    Ok(())
}

/// Gives a call half a second, and drops it then.
async fn cancel_early<T>(
    name: &str,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<(), Status> {
    let Ok(answer) = timeout(Duration::from_millis(500), call).await else {
        println!("{name}: hung up after half a second");
        return Ok(());
    };
    answer.map(|_| println!("{name}: answered"))
}

fn order(id: &str) -> Order {
    Order {
        id: id.into(),
        to: "Ben".into(),
        coins: 30,
    }
}

async fn print_balances(bank: &mut BankClient<ClientDeadline<Channel>>) -> Result<(), Status> {
    let balances = bank.get_balances(()).await?.into_inner();
    println!("  Ann has {}, Ben has {}", balances.ann, balances.ben);
    Ok(())
}

// The rest is the same in every client.

#[tokio::main(flavor = "current_thread")] // A flood of replies can't hold up the timer then.
async fn main() -> ExitCode {
    let url = env::args().nth(1);
    let url = url.unwrap_or("http://127.0.0.1:50051".into());
    let result = if url.starts_with("http://") {
        let run = conform::error_details::catch_malformed(run(url.clone()));
        let run = timeout(Duration::from_secs(30), run).await;
        run.unwrap_or(Err("no answer within 30 seconds".into()))
    } else {
        Err("the URL must begin with http:// (https:// is for lesson 14)".into())
    };
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let cause = conform::status::explain(&*error);
    eprintln!("calling {url} failed: {cause}");
    if conform::status::may_be_wrong_server(&*error) {
        eprintln!("this client needs the server that `cargo 08 server` starts");
    }
    ExitCode::FAILURE
}
