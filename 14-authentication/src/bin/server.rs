//! Serves lesson 14 on one address until Ctrl-C, and prints who calls and who is refused.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::thread;

use authentication::certs::Certs;
use tokio::net::TcpListener;
use tokio::signal;
use tokio::sync::mpsc;

async fn run(address: &str) -> Result<(), Box<dyn Error>> {
    let certs = Certs::of_the_course();
    certs.ca()?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let (log, mut lines) = mpsc::channel(1024);
    // On a thread of its own: a terminal that doesn't read must not hold up calls, nor Ctrl-C.
    thread::spawn(move || {
        while let Some(line) = lines.blocking_recv() {
            println!("{line}");
        }
    });
    tokio::select! {
        served = authentication::serve(listener, &certs, log) => served,
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
