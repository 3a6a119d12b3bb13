//! Serves lesson 18 on one address until Ctrl-C, by a worker process that can be replaced.

use std::env;
use std::error::Error;
use std::process::ExitCode;

#[cfg(unix)]
use graceful_shutdown::supervisor;
use tokio::net::TcpListener;

async fn run(address: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    #[cfg(unix)]
    if let Some(listener) = supervisor::inherited()? {
        return tokio::select! {
            biased;
            // The wrong way, for comparison: it drops its server and leaves.
            _ = tokio::signal::ctrl_c() => Ok(()),
            () = supervisor::orphaned() => Ok(()),
            ended = graceful_shutdown::work(listener) => ended,
        };
    }
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    #[cfg(unix)]
    return supervisor::supervise(listener.into_std()?).await;
    #[cfg(not(unix))]
    graceful_shutdown::work(listener).await
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
