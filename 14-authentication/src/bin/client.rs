//! Calls as Ann, as Bob, with a stolen token, and as those who don't get as far as a call.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use authentication::certs::Certs;
use authentication::proto::Number;
use authentication::proto::calculator_client::CalculatorClient;
use authentication::{Connection, connect, endpoint};
use conform::status::explain;
use tokio::time::timeout;
use tonic::{Code, Response, Status};

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let certs = Certs::of_the_course();
    let stub = |certificate, token| -> Result<CalculatorClient<Connection>, Box<dyn Error>> {
        let endpoint = endpoint(url.clone(), &certs, certificate)?;
        Ok(CalculatorClient::new(connect(&endpoint, &certs, token)))
    };
    let sixteen = Number { value: 16.0 };
    let numbers = || tokio_stream::iter([9.0, 16.0, 4.0].map(|value| Number { value }));

    let mut ann = stub("ann", "ann")?;
    let root = ann.square_root(sixteen).await?;
    println!("Ann: the root is {}", root.into_inner().value);
    let mut maxima = ann.maximum(numbers()).await?.into_inner();
    while let Some(maximum) = maxima.message().await? {
        println!("Ann: the maximum is {}", maximum.value);
    }
    let mut bob = stub("bob", "bob")?;
    show("Bob", bob.square_root(Number { value: -1.0 }).await);
    show("Bob", bob.maximum(numbers()).await);
    let mut thief = stub("bob", "ann")?;
    show("Bob with Ann's token", thief.square_root(sixteen).await);
    let mut stranger = stub("stranger", "ann")?;
    show("a stranger", stranger.square_root(sixteen).await);
    let mut nobody = stub("", "ann")?;
    show("no certificate", nobody.square_root(sixteen).await);
    Ok(())
}

fn show<T>(who: &str, result: Result<Response<T>, Status>) {
    match result {
        Ok(_) => println!("{who}: no error"),
        // Which words it says them in depends on who is faster.
        Err(status) if status.code() == Code::Unavailable => println!("{who}: no connection"),
        Err(status) => println!("{who}: {}", explain(&status)),
    }
}

// The rest is the same in every client.

#[tokio::main(flavor = "current_thread")] // A flood of replies can't hold up the timer then.
async fn main() -> ExitCode {
    let url = env::args().nth(1);
    let url = url.unwrap_or("https://localhost:50051".into());
    let result = if url.starts_with("https://") {
        let run = conform::error_details::catch_malformed(run(url.clone()));
        let run = timeout(Duration::from_secs(30), run).await;
        run.unwrap_or(Err("no answer within 30 seconds".into()))
    } else {
        Err("the URL must begin with https:// (http:// is for the other lessons)".into())
    };
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let cause = conform::status::explain(&*error);
    eprintln!("calling {url} failed: {cause}");
    if conform::status::may_be_wrong_server(&*error) {
        eprintln!("this client needs the server that `cargo 14 server` starts");
    }
    ExitCode::FAILURE
}
