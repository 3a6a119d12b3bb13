//! Greets twice and takes two square roots: two stubs over one channel.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use conform::status::{escape, explain};
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Channel;
use unary::proto::calculator::Number;
use unary::proto::calculator::calculator_client::CalculatorClient;
use unary::proto::helloworld::HelloRequest;
use unary::proto::helloworld::greeter_client::GreeterClient;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let channel = Channel::from_shared(url)?.connect().await?;
    let mut greeter = GreeterClient::new(channel.clone());
    let mut calculator = CalculatorClient::new(channel);

    let name = "Ann".to_owned();
    let ann = HelloRequest { name };
    let hello = greeter.say_hello(ann.clone()).await?.into_inner();
    println!("{}", escape(&hello.message));
    let again = greeter.say_hello_again(ann).await?.into_inner();
    println!("{}", escape(&again.message));

    for value in [16.0, -4.0] {
        match calculator.square_root(Number { value }).await {
            Ok(root) => println!("the square root of {value} is {}", root.into_inner().value),
            Err(status) if status.code() == Code::InvalidArgument => {
                println!("{}", explain(&status))
            }
            Err(status) => return Err(status.into()),
        }
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
        eprintln!("this client needs the server that `cargo 01 server` starts");
    }
    ExitCode::FAILURE
}
