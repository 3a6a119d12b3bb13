//! Serves the two backends of lesson 16 until Ctrl-C, and prints how they do.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::thread;

use tokio::net::TcpListener;
use tokio::signal;
use tokio::sync::mpsc;

async fn run(address: &str) -> Result<(), Box<dyn Error>> {
    let second = env::args().nth(2);
    let second = second.unwrap_or("127.0.0.1:50061".into());
    let alpha = TcpListener::bind(address).await?;
    let beta = TcpListener::bind(&second).await;
    let beta = beta.map_err(|error| format!("the other backend, {second}: {error}"))?;
    println!("listening on {}", alpha.local_addr()?);
    println!("listening on {}", beta.local_addr()?);
    let (log, mut lines) = mpsc::channel(1024);
    // On a thread of its own: a terminal that doesn't read must not hold up calls, nor Ctrl-C.
    thread::spawn(move || {
        while let Some(line) = lines.blocking_recv() {
            println!("{line}");
        }
    });
    tokio::select! {
        served = health_checking::serve_both(alpha, beta, log) => Ok(served?),
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
