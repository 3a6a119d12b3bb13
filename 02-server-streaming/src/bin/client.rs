//! Reads prime factors as they arrive, and hangs up when it has waited long enough.

use std::env;
use std::error::Error;
use std::iter;
use std::process::ExitCode;
use std::time::Duration;

use server_streaming::calculator::Integer;
use server_streaming::calculator::calculator_client::CalculatorClient;
use tokio::time::timeout;
use tonic::transport::Channel;

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
    let mut calculator = CalculatorClient::new(channel);

    let value = 18_446_743_979_220_271_189;
    println!("factors of {value}:");
    let mut factors = calculator.factorize(Integer { value }).await?.into_inner();
    match timeout(Duration::from_secs(1), factors.message()).await {
        Ok(factor) => println!("  {:?}, sooner than expected", factor?),
        Err(_elapsed) => println!("  none after a second; hanging up"),
    }
    drop(factors);

    // The last factor of the first of these is long in coming; the others do not wait for it.
    for value in [60_000_000_000_000_366, 1, 0] {
        println!("factors of {value}:");
        match calculator.factorize(Integer { value }).await {
            Ok(response) => {
                let mut factors = response.into_inner();
                while let Some(factor) = factors.message().await? {
                    println!("  {}", factor.value);
                }
                println!("  that is all");
            }
            Err(status) => println!("  {:?}: {}", status.code(), status.message()),
        }
    }
    Ok(())
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
