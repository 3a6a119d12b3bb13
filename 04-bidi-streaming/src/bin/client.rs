//! Asks for a running maximum number by number, then lets two guests meet in the chat room.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use bidi_streaming::guest;
use bidi_streaming::proto::calculator::Number;
use bidi_streaming::proto::calculator::calculator_client::CalculatorClient;
use bidi_streaming::proto::chat::Line;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    maximum(&url).await?;
    chat(&url).await
}

async fn maximum(url: &str) -> Result<(), Box<dyn Error>> {
    let mut calculator = CalculatorClient::connect(url.to_owned()).await?;
    let (numbers, stream) = mpsc::channel(1);
    // Before the call: many servers answer nothing until the first number has come.
    numbers.send(Number { value: 3.0 }).await?;
    let maxima = calculator.maximum(ReceiverStream::new(stream)).await?;
    let mut maxima = maxima.into_inner();
    let mut next = [1.0, 4.0].into_iter();
    while let Some(largest) = maxima.message().await? {
        println!("the largest so far is {}", largest.value);
        let Some(value) = next.next() else { break };
        numbers.send(Number { value }).await?;
    }
    // The half-close. The server has answered all numbers, and ends the call.
    drop(numbers);
    println!("after the half-close: {:?}", maxima.message().await?);
    Ok(())
}

async fn chat(url: &str) -> Result<(), Box<dyn Error>> {
    let (ann, mut ann_hears) = guest::enter(url, "Ann").await?;
    let (bob, mut bob_hears) = guest::enter(url, "Bob").await?;
    show("Ann", ann_hears.message().await?);
    ann.send(Line::new("", "Hello, Bob.")).await?;
    show("Bob", bob_hears.message().await?);
    bob.send(Line::new("", "Hello, Ann.")).await?;
    show("Ann", ann_hears.message().await?);
    drop(bob); // He leaves.
    show("Ann", ann_hears.message().await?);
    drop(ann);
    show("Ann", ann_hears.message().await?);
    Ok(())
}

fn show(name: &str, line: Option<Line>) {
    let line = line.map_or("no more".into(), |line| line.show());
    println!("{name} hears {line}");
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
        eprintln!("this client needs the server that `cargo 04 server` starts");
    }
    ExitCode::FAILURE
}
