//! Makes two seconds of traffic, then shows what a dashboard says about it.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use conform::metrics::scrape;
use opentelemetry_metrics::dashboard::{self, Row};
use opentelemetry_metrics::traffic;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Endpoint;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let numbers = env::args().nth(2).unwrap_or("127.0.0.1:9464".into());
    let missing = |error| format!("the numbers at {numbers}: {error}");
    let channel = Endpoint::new(url)?.connect().await?;
    let before = scrape(&*numbers).await.map_err(missing);
    let begin = Instant::now();
    traffic::make(channel).await?;
    let before = before?;
    let (rows, after) = loop {
        let after = scrape(&*numbers).await.map_err(missing)?;
        let rows = dashboard::rows(&before, &after, "grpc_server_call");
        // Until the server has counted the end of each of the twelve calls.
        if rows.values().map(Row::calls).sum::<f64>() >= 12.0 {
            break (rows, after);
        }
        sleep(Duration::from_millis(10)).await;
    };
    let seconds = begin.elapsed().as_secs_f64();

    chart("calls a second", &rows, 1.0, |row| row.calls() / seconds);
    chart("errors, per cent", &rows, 10.0, Row::error_percent);
    let part = |part| move |row: &Row| row.half_seconds(part);
    chart("p50, half seconds", &rows, 1.0, part(0.50));
    chart("p99, half seconds", &rows, 1.0, part(0.99));
    for (method, row) in &rows {
        println!("{method} ended with {:?}", row.ended);
    }
    for (method, row) in dashboard::rows(&before, &after, "grpc_client_attempt") {
        let calls = row.calls();
        println!("passed on to the back server: {calls} calls of {method}");
    }
    Ok(())
}

/// A line for each method, with one block for each `unit`.
fn chart(title: &str, rows: &BTreeMap<String, Row>, unit: f64, of: impl Fn(&Row) -> f64) {
    println!("{title}");
    for (method, row) in rows {
        let value = of(row).round();
        let bar = "█".repeat((value / unit).min(40.0) as usize);
        println!("  {method:10} {value:3} {bar}");
    }
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
        eprintln!("this client needs the server that `cargo 20 server` starts");
    }
    ExitCode::FAILURE
}
