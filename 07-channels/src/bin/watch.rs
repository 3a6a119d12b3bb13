//! Calls once a second and prints the channel's state: stop the server and start it again meanwhile.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use channels::address::dial;
use channels::calculator::Number;
use channels::calculator::calculator_client::CalculatorClient;
use channels::observer::observe;
use tokio::signal;
use tokio::time::sleep;
use tonic::transport::Endpoint;
use tower::service_fn;

#[tokio::main]
async fn main() -> ExitCode {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "http://127.0.0.1:50051".to_owned());
    match run(&url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("calling {url} failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    tokio::select! {
        ended = call_for_ever(url.to_owned()) => ended,
        pressed = signal::ctrl_c() => Ok(pressed?),
    }
}

async fn call_for_ever(url: String) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::from_shared(url.clone())?;
    let scheme = endpoint.uri().scheme();
    scheme.ok_or("a URL begins with http:// or unix:")?;
    let (connector, states) = observe(service_fn(move |_| {
        let url = url.clone();
        async move { dial(&url).await }
    }));
    let mut calculator = CalculatorClient::new(endpoint.connect_with_connector_lazy(connector));
    loop {
        let before = *states.borrow();
        let answer = match calculator.square_root(Number { value: 16.0 }).await {
            Ok(root) => format!("the root of 16 is {}", root.into_inner().value),
            Err(status) => format!("{:?}", status.code()),
        };
        println!("{before}, then {answer}, then {}", *states.borrow());
        sleep(Duration::from_secs(1)).await;
    }
}
