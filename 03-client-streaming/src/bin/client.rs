//! Uploads readings four times: all at once, one by one, none, and one too many.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use client_streaming::proto::calculator_client::CalculatorClient;
use client_streaming::proto::{Number, Summary};
use conform::status::explain;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Response, Status};

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let mut calculator = CalculatorClient::connect(url).await?;

    // Readings that are all there already.
    let readings = [19.5, 21.5, 20.5, 22.5].map(|value| Number { value });
    show(calculator.summarize(tokio_stream::iter(readings)).await)?;

    // Readings that are still to come.
    let (sender, readings) = mpsc::channel(4);
    tokio::spawn(async move {
        for value in [18.0, 18.5, 19.0] {
            sleep(Duration::from_millis(100)).await;
            if sender.send(Number { value }).await.is_err() {
                // The server has answered already.
                return;
            }
        }
    });
    show(calculator.summarize(ReceiverStream::new(readings)).await)?;

    show(calculator.summarize(tokio_stream::empty()).await)?;

    // An upload that this client never finishes: `sender` is still there.
    let (sender, readings) = mpsc::channel(4);
    for value in [19.5, f64::NAN, 20.5] {
        sender.send(Number { value }).await?;
    }
    show(calculator.summarize(ReceiverStream::new(readings)).await)?;
    match timeout(Duration::from_secs(1), sender.closed()).await {
        Ok(()) => println!("nobody takes any more readings"),
        Err(_) => println!("no word on further readings"),
    }
    Ok(())
}

fn show(result: Result<Response<Summary>, Status>) -> Result<(), Status> {
    match result {
        Ok(response) => {
            let Summary {
                count,
                mean,
                minimum,
                maximum,
            } = response.into_inner();
            println!("count {count}, mean {mean}, minimum {minimum}, maximum {maximum}");
        }
        Err(status) if status.code() == Code::InvalidArgument => println!("{}", explain(&status)),
        Err(status) => return Err(status),
    }
    Ok(())
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
        eprintln!("this client needs the server that `cargo 03 server` starts");
    }
    ExitCode::FAILURE
}
