//! Calls with a deadline that is too short, long enough, and longer than the server allows.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use conform::deadline::{ClientDeadline, ClientDeadlineLayer};
use conform::status::escape;
use deadlines::proto::calculator_client::CalculatorClient;
use deadlines::proto::{Integer, Number};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tower::Layer;

type Calculator = CalculatorClient<ClientDeadline<Channel>>;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let channel = Channel::from_shared(url)?.connect().await?;
    let mut calculator = Calculator::new(ClientDeadlineLayer::new().layer(channel));
    for millis in [100, 1_000] {
        println!("a square root within {millis} ms:");
        show_late(square_root(&mut calculator, millis).await)?;
    }
    for millis in [400, 1_000, 60_000] {
        println!("factors within {millis} ms:");
        show_late(factors(&mut calculator, millis).await)?;
    }
    Ok(())
}

async fn square_root(calculator: &mut Calculator, millis: u64) -> Result<(), Status> {
    let mut request = Request::new(Number { value: 16.0 });
    request.set_timeout(Duration::from_millis(millis));
    let root = calculator.square_root(request).await?.into_inner();
    println!("  {}", root.value);
    Ok(())
}

async fn factors(calculator: &mut Calculator, millis: u64) -> Result<(), Status> {
    // Twice the product of two large primes: one factor at once, the next after seconds.
    let mut request = Request::new(Integer {
        value: 720_000_009_600_000_014,
    });
    request.set_timeout(Duration::from_millis(millis));
    let mut factors = calculator.factorize(request).await?.into_inner();
    while let Some(factor) = factors.message().await? {
        println!("  {}", factor.value);
    }
    println!("  that is all");
    Ok(())
}

/// Being late is expected here, and printed. Any other error ends the program.
fn show_late(end: Result<(), Status>) -> Result<(), Status> {
    match end {
        Err(status) if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => {
            println!("  {:?}: {}", status.code(), escape(status.message()));
            Ok(())
        }
        other => other,
    }
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
        eprintln!("this client needs the server that `cargo 05 server` starts");
    }
    ExitCode::FAILURE
}
