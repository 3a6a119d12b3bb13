//! Says who asks, and prints what the server says before and after its messages.

use std::env;
use std::error::Error;
use std::iter;
use std::process::ExitCode;

use futures::stream;
use metadata::apart::{self, Apart};
use metadata::calculator::calculator_client::CalculatorClient;
use metadata::calculator::{Integer, Number};
use metadata::caller::{from_ann, said};
use metadata::guard;
use metadata::limit::Limited;
use tonic::Extensions;
use tonic::transport::Channel;
use tower::ServiceBuilder;

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
    let channel = ServiceBuilder::new()
        .map_response(apart::keep)
        .layer_fn(Limited::new)
        .service(channel);
    let mut calculator = CalculatorClient::with_interceptor(channel, guard::interceptor);

    let nine = Number { value: 9.0 };
    let numbers = [nine, Number { value: 16.0 }];

    let unary = calculator.square_root(from_ann(nine)).await?;
    show("SquareRoot", unary.extensions());

    let mut factors = calculator
        .factorize(from_ann(Integer { value: 60 }))
        .await?;
    while factors.get_mut().message().await?.is_some() {}
    show("Factorize", factors.extensions());

    let summary = calculator
        .summarize(from_ann(stream::iter(numbers)))
        .await?;
    show("Summarize", summary.extensions());

    let mut maxima = calculator.maximum(from_ann(stream::iter(numbers))).await?;
    while maxima.get_mut().message().await?.is_some() {}
    show("Maximum", maxima.extensions());

    let mut reserved = from_ann(nine);
    reserved.metadata_mut().insert("grpc-cost", 1.into());
    let mut large = from_ann(nine);
    let letter = "x".repeat(20_000).parse()?;
    large.metadata_mut().insert("letter", letter);
    for request in [from_ann(Number { value: -4.0 }), reserved, large] {
        if let Err(status) = calculator.square_root(request).await {
            println!("{:?}: {}", status.code(), status.message());
            println!("  trailers: {}", said(status.metadata()));
        }
    }
    Ok(())
}

fn show(method: &str, extensions: &Extensions) {
    let Some(apart) = extensions.get::<Apart>() else {
        return;
    };
    println!("{method}");
    println!("  headers: {}", said(apart.headers()));
    println!("  trailers: {}", said(&apart.trailers()));
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
