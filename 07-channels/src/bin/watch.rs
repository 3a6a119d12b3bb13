//! Calls once a second and prints the channel's state. Stop the server meanwhile, and start it.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use channels::proto::Number;
use channels::proto::calculator_client::CalculatorClient;
use channels::watched;
use conform::deadline::ClientDeadlineLayer;
use tokio::time::sleep;
use tonic::transport::Endpoint;
use tower::Layer;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let (channel, states) = watched(&Endpoint::from_shared(url)?);
    let deadlines = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(5));
    let mut calculator = CalculatorClient::new(deadlines.layer(channel));
    loop {
        let before = *states.borrow();
        let end = match calculator.square_root(Number { value: 16.0 }).await {
            Ok(root) => format!("the root of 16 is {}", root.into_inner().value),
            Err(status) => format!("{:?}", status.code()),
        };
        println!("{before}, then {end}, then {}", *states.borrow());
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let url = env::args()
        .nth(1)
        .unwrap_or("http://127.0.0.1:50051".into());
    let result = if url.starts_with("http://") {
        run(url.clone()).await
    } else {
        Err("the URL must begin with http:// (https:// is for lesson 14)".into())
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = conform::status::explain(&*error);
            eprintln!("calling {url} failed: {cause}");
            ExitCode::FAILURE
        }
    }
}
