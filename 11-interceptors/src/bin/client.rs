//! The same layers on the client: their order, faults made on purpose, and who may call what.

use std::env;
use std::error::Error;
use std::iter;
use std::process::ExitCode;
use std::sync::Arc;

use interceptors::auth::SignIn;
use interceptors::cache::CacheLayer;
use interceptors::calculator::calculator_client::CalculatorClient;
use interceptors::calculator::{Number, Operands};
use interceptors::faults;
use interceptors::log::LogLayer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::InterceptorLayer;
use tonic::transport::Channel;
use tonic::{Response, Status};
use tower::ServiceBuilder;

const ANN: SignIn = SignIn("token-of-ann");
const BOB: SignIn = SignIn("token-of-bob");
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
    let channel = Channel::from_shared(url.to_owned())?.connect().await?;
    let log = LogLayer::new(Arc::new(|line| println!("  log: {line}")));
    let cache = || CacheLayer::new(&["SquareRoot"]);

    println!("the log outside of the cache:");
    let outside = ServiceBuilder::new().layer(&log).layer(cache());
    let service = outside.service(channel.clone());
    let mut calculator = CalculatorClient::with_interceptor(service, ANN);
    for _ in 0..2 {
        show(calculator.square_root(SIXTEEN).await);
    }

    println!("the log inside of the cache:");
    let inside = ServiceBuilder::new().layer(cache()).layer(&log);
    let service = inside.service(channel.clone());
    let mut calculator = CalculatorClient::with_interceptor(service, ANN);
    for _ in 0..2 {
        show(calculator.square_root(SIXTEEN).await);
    }

    println!("every second call fails on purpose:");
    let faulty = ServiceBuilder::new()
        .layer(&log)
        .layer(InterceptorLayer::new(faults::every(2)));
    let service = faulty.service(channel.clone());
    let mut calculator = CalculatorClient::with_interceptor(service, ANN);
    for left in [7.0, 9.0] {
        let numbers = Operands { left, right: 2.0 };
        show(calculator.divide(numbers).await);
    }

    println!("one call, three messages each way:");
    let service = ServiceBuilder::new().layer(&log).service(channel);
    let mut calculator = CalculatorClient::with_interceptor(service.clone(), ANN);
    let (numbers, receiver) = mpsc::channel(1);
    let maxima = calculator.maximum(ReceiverStream::new(receiver)).await?;
    let mut maxima = maxima.into_inner();
    for value in [9.0, 16.0, 4.0] {
        numbers.send(Number { value }).await?;
        maxima.message().await?;
    }
    drop(numbers);
    while maxima.message().await?.is_some() {}

    println!("nobody, Bob, and Ann divide by zero:");
    let zero = Operands::default();
    show(CalculatorClient::new(service.clone()).divide(zero).await);
    for who in [BOB, ANN] {
        let mut calculator = CalculatorClient::with_interceptor(service.clone(), who);
        show(calculator.divide(zero).await);
    }
    Ok(())
}

fn show(answer: Result<Response<Number>, Status>) {
    match answer {
        Ok(number) => println!("  {}", number.into_inner().value),
        Err(status) => println!("  {:?}: {}", status.code(), status.message()),
    }
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
