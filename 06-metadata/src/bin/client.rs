//! Says who asks, and prints what the server says before and after its messages.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use conform::deadline::ClientDeadlineLayer;
use conform::status::escape;
use metadata::caller::from_zoe;
use metadata::proto::calculator_client::CalculatorClient;
use metadata::proto::{Integer, Number};
use tokio::time::timeout;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};
use tower::Layer;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let channel = Channel::from_shared(url)?.connect().await?;
    let deadlines = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(10));
    let mut calculator = CalculatorClient::new(deadlines.layer(channel));
    let numbers = [9.0, 16.0].map(|value| Number { value });

    println!("SquareRoot");
    let root = calculator.square_root(from_zoe(numbers[0])).await?;
    show("headers and trailers", root.metadata());

    println!("Factorize");
    let factors = calculator.factorize(from_zoe(Integer { value: 60 }));
    read(factors.await?).await?;

    println!("Summarize");
    let readings = from_zoe(tokio_stream::iter(numbers));
    let summary = calculator.summarize(readings).await?;
    show("headers and trailers", summary.metadata());

    println!("Maximum");
    let maxima = calculator.maximum(from_zoe(tokio_stream::iter(numbers)));
    read(maxima.await?).await?;

    println!("SquareRoot of -4");
    let root = calculator.square_root(from_zoe(Number { value: -4.0 }));
    let status = root.await.err().ok_or("-4 should have no square root")?;
    println!("  {:?}: {}", status.code(), escape(status.message()));
    show("trailers", status.metadata());
    Ok(())
}

async fn read<T>(response: Response<Streaming<T>>) -> Result<(), Status> {
    show("headers", response.metadata());
    let mut messages = response.into_inner();
    while messages.message().await?.is_some() {}
    show("trailers", &messages.trailers().await?.unwrap_or_default());
    Ok(())
}

/// Prints the server's own names, not those of gRPC and HTTP.
fn show(what: &str, metadata: &MetadataMap) {
    let mut words = Vec::new();
    for name in ["served-by", "cost"] {
        for value in metadata.get_all(name) {
            let value = String::from_utf8_lossy(value.as_bytes());
            words.push(format!("{name} {value}"));
        }
    }
    println!("  {what}: {}", escape(&words.join(", ")));
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
        eprintln!("this client needs the server that `cargo 06 server` starts");
    }
    ExitCode::FAILURE
}
