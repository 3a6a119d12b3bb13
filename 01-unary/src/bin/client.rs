//! Greets twice and takes two square roots: two stubs over one channel.

use std::env;
use std::error::Error;
use std::iter;
use std::process::ExitCode;

use tonic::transport::Channel;
use unary::calculator::Number;
use unary::calculator::calculator_client::CalculatorClient;
use unary::helloworld::HelloRequest;
use unary::helloworld::greeter_client::GreeterClient;

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
    let mut greeter = GreeterClient::new(channel.clone());
    let mut calculator = CalculatorClient::new(channel);

    let ann = HelloRequest {
        name: "Ann".to_owned(),
    };
    println!(
        "{}",
        greeter.say_hello(ann.clone()).await?.into_inner().message
    );
    println!(
        "{}",
        greeter.say_hello_again(ann).await?.into_inner().message
    );

    for value in [16.0, -4.0] {
        match calculator.square_root(Number { value }).await {
            Ok(root) => println!("the square root of {value} is {}", root.into_inner().value),
            Err(status) => println!("{:?}: {}", status.code(), status.message()),
        }
    }
    Ok(())
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
