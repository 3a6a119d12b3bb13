//! Calls as Ann, as Bob, as nobody; with the same log around the channel as around the server.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use conform::status::explain;
use interceptors::auth::SignIn;
use interceptors::log::LogLayer;
use interceptors::proto::Number;
use interceptors::proto::calculator_client::CalculatorClient;
use tokio::time::timeout;
use tonic::{Response, Status};
use tower::ServiceBuilder;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let channel = ServiceBuilder::new()
        .layer(LogLayer::new(|line| println!("  log: {line}")))
        .service(interceptors::connect(url).await?);
    let sixteen = Number { value: 16.0 };
    let numbers = || tokio_stream::iter([9.0, 16.0, 4.0].map(|value| Number { value }));

    let mut ann = CalculatorClient::with_interceptor(channel.clone(), SignIn("token-of-ann"));
    let root = ann.square_root(sixteen).await?;
    println!("Ann: the root is {}", root.into_inner().value);
    let mut maxima = ann.maximum(numbers()).await?.into_inner();
    while let Some(maximum) = maxima.message().await? {
        println!("Ann: the maximum is {}", maximum.value);
    }
    let mut bob = CalculatorClient::with_interceptor(channel.clone(), SignIn("token-of-bob"));
    show("Bob", bob.maximum(numbers()).await);
    show("Bob", bob.square_root(Number { value: -1.0 }).await);
    let mut eve = CalculatorClient::with_interceptor(channel.clone(), SignIn("token-of-eve"));
    show("Eve", eve.square_root(sixteen).await);
    let mut nobody = CalculatorClient::new(channel.clone());
    show("nobody", nobody.square_root(sixteen).await);
    let mut kay = CalculatorClient::with_interceptor(channel, SignIn(""));
    show("Kay", kay.square_root(sixteen).await);
    Ok(())
}

fn show<T>(who: &str, result: Result<Response<T>, Status>) {
    match result {
        Ok(_) => println!("{who}: no error"),
        Err(status) => println!("{who}: {}", explain(&status)),
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
        eprintln!("this client needs the server that `cargo 11 server` starts");
    }
    ExitCode::FAILURE
}
