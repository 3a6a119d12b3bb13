//! Calls with deadlines: with tonic alone, with this lesson's layer, and over a slow network.

use std::env;
use std::error::Error;
use std::iter;
use std::process::ExitCode;
use std::time::Duration;

use deadlines::calculator::calculator_client::CalculatorClient;
use deadlines::calculator::{Integer, Number};
use deadlines::client_layer::ClientDeadlineLayer;
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;
use tonic::{IntoRequest, Request, Response, Status};
use tower::{Layer, ServiceBuilder};

/// Twice the product of two large primes: one factor at once, the next after many seconds.
const HARD: Integer = Integer {
    value: 18_446_743_746_004_446_658,
};
const SIXTEEN: Number = Number { value: 16.0 };

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
    let channel = endpoint.connect().await?;

    println!("tonic alone:");
    let hasty = endpoint.clone().timeout(Duration::from_millis(200));
    let mut calculator = CalculatorClient::new(hasty.connect().await?);
    show("200 ms", calculator.square_root(SIXTEEN).await);
    let hasty = endpoint.timeout(Duration::from_millis(700));
    let mut calculator = CalculatorClient::new(hasty.connect().await?);
    let mut factors = calculator.factorize(HARD).await?.into_inner();
    factors.message().await?;
    match timeout(Duration::from_secs(1), factors.message()).await {
        Ok(_) => println!("  factors within 700 ms: an end"),
        Err(_) => println!("  factors within 700 ms: still waiting a second later"),
    }
    drop(factors);

    println!("with the layer:");
    let mut calculator = CalculatorClient::new(ClientDeadlineLayer.layer(channel.clone()));
    show("200 ms", calculator.square_root(within(200, SIXTEEN)).await);
    show(
        "2000 ms",
        calculator.square_root(within(2000, SIXTEEN)).await,
    );
    for (time, request) in [
        ("2000 ms", within(2000, HARD)),
        ("no time set", HARD.into_request()),
    ] {
        println!("  factors within {time}:");
        let mut factors = calculator.factorize(request).await?.into_inner();
        let status = loop {
            match factors.message().await {
                Ok(Some(factor)) => println!("    {}", factor.value),
                Ok(None) => break Status::ok("that is all"),
                Err(status) => break status,
            }
        };
        println!("    {:?}: {}", status.code(), status.message());
    }

    println!("over a network on which answers travel for a second:");
    let slow = ServiceBuilder::new()
        .layer(ClientDeadlineLayer)
        .map_future(|answer| async {
            let answer = answer.await;
            sleep(Duration::from_secs(1)).await;
            answer
        })
        .service(channel);
    let mut calculator = CalculatorClient::new(slow);
    show(
        "1000 ms",
        calculator.square_root(within(1000, SIXTEEN)).await,
    );
    Ok(())
}

fn within<T>(millis: u64, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_millis(millis));
    request
}

fn show(time: &str, root: Result<Response<Number>, Status>) {
    print!("  a square root within {time}: ");
    match root {
        Ok(root) => println!("{}", root.into_inner().value),
        Err(status) => println!("{:?}: {}", status.code(), status.message()),
    }
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
