//! Ten slow calls on one connection, calls with a connection each, and what state a channel is in.

use std::env;
use std::error::Error;
use std::io;
use std::iter;
use std::process::ExitCode;
use std::time::Duration;

use channels::address::{Stream, dial};
use channels::calculator::Number;
use channels::calculator::calculator_client::CalculatorClient;
use channels::observer::observe;
use futures::future::try_join_all;
use futures::stream::{FuturesUnordered, TryStreamExt};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// On which no server listens.
const NOBODY: &str = "http://127.0.0.1:1";

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
    let endpoint = Endpoint::from_shared(url.to_owned())?;
    // Eager: without a server this fails.
    let channel = endpoint.connect().await?;
    // By its first answer the client knows the server's limits. Only then is it safe to send many at once.
    println!("the root of 16 is {}", square_root(&channel, 16.0).await?);

    let begin = Instant::now();
    try_join_all([900.0; 10].map(|value| square_root(&channel, value))).await?;
    let is_short = begin.elapsed() < Duration::from_millis(2 * 900);
    let comparison = if is_short { "less" } else { "more" };
    println!("ten calls of 900 ms at once took {comparison} time than two in a row");

    print!("a slow call and three faster ones, in the order of their answers:");
    let calls = [1600.0, 900.0, 400.0, 100.0].map(|value| square_root(&channel, value));
    let mut answers = FuturesUnordered::from_iter(calls);
    while let Some(root) = answers.try_next().await? {
        print!(" {root}");
    }
    println!();

    print!("two calls, each with a connection of its own:");
    for value in [1.0, 4.0] {
        print!(" {}", square_root(&endpoint.connect().await?, value).await?);
    }
    println!();

    println!("a lazy channel, on a slow road: {}", states(url).await?);
    println!("a lazy channel to nobody: {}", states(NOBODY).await?);
    Ok(())
}

/// Calls once over a lazy channel; returns its state before, its state meanwhile, the answer, and its state after.
async fn states(url: &str) -> Result<String, Box<dyn Error>> {
    let url = url.to_owned();
    let endpoint = Endpoint::from_shared(url.clone())?;
    let (connector, mut states) = observe(service_fn(move |_| dial_slowly(url.clone())));
    let channel = endpoint.connect_with_connector_lazy(connector);
    let before = *states.borrow_and_update();
    let call = tokio::spawn({
        let channel = channel.clone();
        async move { square_root(&channel, 16.0).await }
    });
    states.changed().await?;
    let meanwhile = *states.borrow_and_update();
    let answer = match call.await? {
        Ok(root) => root.to_string(),
        Err(status) => format!("{:?}", status.code()),
    };
    let after = *states.borrow();
    Ok(format!("{before}, {meanwhile}, {answer}, {after}"))
}

async fn dial_slowly(url: String) -> io::Result<TokioIo<Box<dyn Stream>>> {
    sleep(Duration::from_millis(300)).await;
    dial(&url).await
}

async fn square_root(channel: &Channel, value: f64) -> Result<f64, Status> {
    let mut calculator = CalculatorClient::new(channel.clone());
    let root = calculator.square_root(Number { value }).await?;
    Ok(root.into_inner().value)
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
