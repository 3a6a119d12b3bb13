//! Plays both orders: answer by answer and all at once, then two people in a chat room.

use std::env;
use std::error::Error;
use std::iter;
use std::process::ExitCode;

use bidi_streaming::calculator::Number;
use bidi_streaming::calculator::calculator_client::CalculatorClient;
use bidi_streaming::chat::Line;
use bidi_streaming::guest;
use futures::stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

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
    let channel = guest::connect(url).await?;
    calculate(CalculatorClient::new(channel.clone())).await?;
    talk(channel).await
}

async fn calculate(mut calculator: CalculatorClient<Channel>) -> Result<(), Box<dyn Error>> {
    let (numbers, sent) = mpsc::channel(1);
    let answers = calculator.maximum(ReceiverStream::new(sent)).await?;
    let mut answers = answers.into_inner();
    for value in [3.0, 1.0, f64::INFINITY] {
        numbers.send(Number { value }).await?;
        if let Some(largest) = answers.message().await? {
            println!("{value} sent, the largest so far is {}", largest.value);
        }
    }
    // Not this end but the server decides that no more numbers are needed.
    numbers.closed().await;
    println!("the server has ended the call");

    let numbers = [3.0, 1.0, 4.0].map(|value| Number { value });
    let mut answers = calculator.sort(stream::iter(numbers)).await?.into_inner();
    print!("3 1 4 sent, sorted this is");
    while let Some(next) = answers.message().await? {
        print!(" {}", next.value);
    }
    println!();
    Ok(())
}

async fn talk(channel: Channel) -> Result<(), Box<dyn Error>> {
    let (ann, mut ann_hears) = guest::enter(channel.clone(), "Ann").await?;
    let (bob, mut bob_hears) = guest::enter(channel, "Bob").await?;
    print_next("Ann", &mut ann_hears).await?;
    ann.send(Line::new("", "Hello, Bob.")).await?;
    print_next("Bob", &mut bob_hears).await?;
    bob.send(Line::new("", "Hello, Ann.")).await?;
    print_next("Ann", &mut ann_hears).await?;
    // Nothing more can come from a sender that is dropped: Bob leaves.
    drop(bob);
    print_next("Ann", &mut ann_hears).await?;
    drop(ann);
    // The end of the call: now the room is empty.
    Ok(print_next("Ann", &mut ann_hears).await?)
}

async fn print_next(name: &str, heard: &mut Streaming<Line>) -> Result<(), Status> {
    if let Some(line) = heard.message().await? {
        println!("{name} hears {line}");
    }
    Ok(())
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
