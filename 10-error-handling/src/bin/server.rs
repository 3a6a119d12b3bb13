//! Serves lesson 10 on one address until Ctrl-C, with a mail server behind it, and prints the log.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::thread;

use error_handling::log::Log;
use tokio::net::TcpListener;
use tokio::signal;
use tokio::sync::mpsc;

async fn run(address: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let listener = TcpListener::bind(address).await?;
    let mail = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    let (log, mut lines) = mpsc::channel(1024);
    // On a thread of its own: a terminal that doesn't read must not hold up calls, nor Ctrl-C.
    thread::spawn(move || {
        while let Some(line) = lines.blocking_recv() {
            println!("{line}");
        }
    });
    tokio::select! {
        served = error_handling::serve(listener, mail, Log::new(log)) => served,
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
