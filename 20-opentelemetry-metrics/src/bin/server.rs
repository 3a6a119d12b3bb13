//! Serves lesson 20 on one address, and its numbers on a second one, until Ctrl-C.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::thread;

use tokio::net::TcpListener;
use tokio::signal;
use tokio::sync::mpsc;

async fn run(address: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let listener = TcpListener::bind(address).await?;
    let numbers = env::args().nth(2).unwrap_or("127.0.0.1:9464".into());
    let taken = |error| format!("the numbers' address, {numbers}: {error}");
    let numbers = TcpListener::bind(&numbers).await.map_err(taken)?;
    println!("listening on {}", listener.local_addr()?);
    println!("numbers on http://{}/metrics", numbers.local_addr()?);
    let (log, mut lines) = mpsc::channel(1024);
    // On a thread of its own: a terminal that doesn't read must not hold up calls, nor Ctrl-C.
    thread::spawn(move || {
        while let Some(line) = lines.blocking_recv() {
            println!("{line}");
        }
    });
    tokio::select! {
        served = opentelemetry_metrics::serve(listener, numbers, log) => served,
        interrupted = signal::ctrl_c() => Ok(interrupted?),
    }
}

// The rest is the same in every server.

#[tokio::main]
async fn main() -> ExitCode {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:50051".into());
    match run(&address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serving on {address} failed: {error}");
            ExitCode::FAILURE
        }
    }
}
