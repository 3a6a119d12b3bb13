//! Reads the factors of four numbers, and hangs up when the first takes too long.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use conform::status::explain;
use server_streaming::proto::Integer;
use server_streaming::proto::calculator_client::CalculatorClient;
use tokio::time::timeout;
use tonic::Code;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let mut calculator = CalculatorClient::connect(url).await?;

    let value = 18_446_743_979_220_271_189;
    println!("factors of {value}:");
    let first = async {
        let mut factors = calculator.factorize(Integer { value }).await?.into_inner();
        factors.message().await
    };
    // The call too: many servers answer nothing at all before their first message.
    match timeout(Duration::from_secs(1), first).await {
        Ok(Ok(Some(_))) => println!("  an answer within a second"),
        Ok(Ok(None)) => println!("  that is all"),
        Ok(Err(status)) => return Err(status.into()),
        Err(_) => println!("  none after a second; hanging up"),
    }

    for value in [60_000_000_000_000_366, 1, 0] {
        println!("factors of {value}:");
        match calculator.factorize(Integer { value }).await {
            Ok(response) => {
                let mut factors = response.into_inner();
                while let Some(factor) = factors.message().await? {
                    println!("  {}", factor.value);
                }
                println!("  that is all");
            }
            Err(status) if status.code() == Code::InvalidArgument => {
                println!("  {}", explain(&status))
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
        eprintln!("this client needs the server that `cargo 02 server` starts");
    }
    ExitCode::FAILURE
}
