//! Many calls on one connection, calls with a connection each, and channels that connect late.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use channels::proto::Number;
use channels::proto::calculator_client::CalculatorClient;
use channels::watched;
use conform::deadline::ClientDeadlineLayer;
use futures::future::try_join_all;
use futures::stream::{FuturesUnordered, TryStreamExt};
use tokio::time::{Instant, timeout};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tower::Layer;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::from_shared(url)?;
    let channel = endpoint.connect().await?;
    println!("the root of 16 is {}", square_root(&channel, 16.0).await?);

    let begin = Instant::now();
    try_join_all([900.0; 10].map(|value| square_root(&channel, value))).await?;
    let is_short = begin.elapsed() < Duration::from_millis(2 * 900);
    let comparison = if is_short { "less" } else { "more" };
    println!("ten calls of 900 ms at once took {comparison} time than two in a row");

    let calls = [1600.0, 900.0, 400.0, 100.0].map(|value| square_root(&channel, value));
    let roots: Vec<_> = FuturesUnordered::from_iter(calls).try_collect().await?;
    println!("roots of 1600, 900, 400 and 100, as they came: {roots:?}");

    for value in [1.0, 4.0] {
        let channel = endpoint.connect().await?;
        let root = square_root(&channel, value).await?;
        println!("over a connection of its own, the root of {value}: {root}");
    }

    for (name, endpoint) in [
        ("this server", endpoint),
        ("nobody", Endpoint::from_static("http://127.0.0.1:1")),
    ] {
        let (channel, states) = watched(&endpoint);
        let before = *states.borrow();
        let end = match square_root(&channel, 16.0).await {
            Ok(root) => root.to_string(),
            Err(status) => format!("{:?}", status.code()),
        };
        let after = *states.borrow();
        println!("a lazy channel to {name}: {before}, then {end}, then {after}");
    }
    Ok(())
}

async fn square_root(channel: &Channel, value: f64) -> Result<f64, Status> {
    let deadlines = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(10));
    let mut calculator = CalculatorClient::new(deadlines.layer(channel.clone()));
    let root = calculator.square_root(Number { value }).await?;
    Ok(root.into_inner().value)
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
        eprintln!("this client needs the server that `cargo 07 server` starts");
    }
    ExitCode::FAILURE
}
