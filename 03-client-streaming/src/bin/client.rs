//! Uploads readings four times: some, none, one that is refused, and some without an end.

use std::env;
use std::error::Error;
use std::iter;
use std::process::ExitCode;

use client_streaming::calculator::calculator_client::CalculatorClient;
use client_streaming::calculator::{Number, Summary};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Response, Status};

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

    // Readings that are all there already: an iterator will do.
    let readings = [19.5, 21.5, 20.5, 22.5].map(|value| Number { value });
    show(calculator.summarize(tokio_stream::iter(readings)).await);
    show(calculator.summarize(tokio_stream::empty()).await);

    // Readings that are still to come: a channel, whose sender stays open here.
    let (sender, readings) = mpsc::channel(4);
    for value in [19.5, f64::NAN, 20.5] {
        sender.send(Number { value }).await?;
    }
    show(calculator.summarize(ReceiverStream::new(readings)).await);
    sender.closed().await;
    println!("the sender was told to stop while the upload was still open");

    let (sender, readings) = mpsc::channel(1);
    let mut stub = calculator.clone();
    let upload = tokio::spawn(async move { stub.summarize(ReceiverStream::new(readings)).await });
    for value in [19.5, 21.5] {
        sender.send(Number { value }).await?;
    }
    // The first reading is on its way, or there were no room for the second. Calls begin in order: once
    // a later call is answered, the server knows of this one.
    let _refused = calculator.summarize(tokio_stream::empty()).await;
    println!("hanging up in the middle of an upload");
    upload.abort();
    // A sender that is dropped ends its upload in good order. This one outlives the call.
    sender.closed().await;
    Ok(())
}

fn show(reply: Result<Response<Summary>, Status>) {
    match reply.map(Response::into_inner) {
        Ok(Summary {
            count,
            mean,
            minimum,
            maximum,
        }) => println!("{count} readings: mean {mean}, minimum {minimum}, maximum {maximum}"),
        Err(status) => println!("{:?}: {}", status.code(), status.message()),
    }
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
