//! Makes 200 calls a second while the server is replaced, in three ways, and counts them.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use graceful_shutdown::is_prime;
use graceful_shutdown::load::{connect, follow_primes, make_calls};
use graceful_shutdown::proto::restart_client::RestartClient;
use graceful_shutdown::proto::{ReplaceRequest, Way};
use server_streaming::proto::calculator_client::CalculatorClient;
use tokio::time::{sleep, timeout};
use tonic::Code;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let connection = connect(url).await?;
    let calculator = CalculatorClient::new(connection.clone());
    let mut restart = RestartClient::new(connection);
    for way in [Way::Kill, Way::Drop, Way::Drain] {
        let mut primes = Vec::new();
        let on_prime = |prime, stream| primes.push((prime, stream));
        let stream = follow_primes(calculator.clone(), 2, on_prime);
        let calls = async {
            let replace = async {
                sleep(Duration::from_millis(250)).await;
                restart.replace(ReplaceRequest { way: way.into() }).await
            };
            let calls = make_calls(&calculator, 200, Duration::from_millis(5));
            let (answers, replaced) = tokio::join!(calls, replace);
            match replaced {
                // A worker that is killed may not come to its answer.
                Err(status) if status.code() != Code::Unavailable => Err(status),
                _ => Ok(answers),
            }
        };
        let answers = tokio::select! {
            end = stream => return end.map_err(Into::into),
            answers = calls => answers?,
        };
        let name = way.as_str_name();
        let (lost, twice) = (answers.contains(&0), answers.iter().any(|count| *count > 1));
        println!("{name}: 200 calls; some lost: {lost}; some answered twice: {twice}");
        let expected = (2..).filter(|number| is_prime(*number));
        let is_whole = primes.iter().map(|it| it.0).eq(expected.take(primes.len()));
        let streams = primes.chunk_by(|a, b| a.1 == b.1).count();
        println!("  primes in {streams} streams; without a gap: {is_whole}");
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
        eprintln!("this client needs the server that `cargo 18 server` starts");
    }
    ExitCode::FAILURE
}
