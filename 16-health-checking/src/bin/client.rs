//! Calls two backends in turn, and kills the database of each: calls go where they can be answered.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use conform::health::Health;
use conform::status::explain;
use health_checking::client::{Calculator, calculator, check, connect, pool, served_by};
use health_checking::proto::Number;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let alpha = connect(&url).await?;
    println!("{url}: {}", check(&alpha, "").await?.as_str_name());
    let second = env::args().nth(2);
    let second = second.unwrap_or("http://127.0.0.1:50061".into());
    let named = |error: Box<dyn Error>| format!("{second}: {}", explain(&*error));
    let beta = connect(&second).await.map_err(named)?;
    println!("{second}: {}", check(&beta, "").await?.as_str_name());

    let pool = pool(vec![(url, alpha), (second, beta)]);
    let mut calculator = calculator(pool.clone());
    let healthy = |all: &Vec<Health>| all.iter().filter(|one| one.is_healthy()).count();
    for (number, seconds, values) in [
        (2, 6, &[16.0, 16.0, 13.0][..]),
        (1, 1, &[16.0, 16.0, 13.0]),
        (0, 1, &[16.0]),
        (2, 6, &[16.0, 16.0]),
    ] {
        // Until the news has come, but not for ever.
        let mut health = pool.health();
        let news = health.wait_for(|all| healthy(all) == number);
        let _ = timeout(Duration::from_secs(seconds), news).await;
        println!("healthy: {} of 2", healthy(&pool.health().borrow()));
        for value in values {
            square_root(&mut calculator, *value).await?;
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// That nobody can answer is expected here, and printed. Any other error ends the program.
async fn square_root(calculator: &mut Calculator, value: f64) -> Result<(), Status> {
    match calculator.square_root(Number { value }).await {
        Ok(response) => {
            let (who, root) = (served_by(response.metadata()), response.get_ref().value);
            println!("  {who}: the root of {value} is {root}");
        }
        Err(status) if status.code() == Code::Unavailable => {
            println!("  {}: {}", served_by(status.metadata()), explain(&status));
        }
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
        eprintln!("this client needs the server that `cargo 16 server` starts");
    }
    ExitCode::FAILURE
}
