//! Serves lesson 17 on one address until Ctrl-C, channelz on another, and prints its log.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::thread;

use tokio::net::TcpListener;
use tokio::signal;

async fn run(address: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let channelz = env::args().nth(2);
    let channelz = channelz.unwrap_or("127.0.0.1:50061".into());
    let mut lines = debugging::log::install()?;
    let listener = TcpListener::bind(address).await?;
    let bound = TcpListener::bind(&channelz).await;
    let bound = bound.map_err(|error| format!("channelz on {channelz}: {error}"))?;
    let (address, channelz) = (listener.local_addr()?, bound.local_addr()?);
    println!("listening on {address}, channelz on {channelz}");
    // On a thread of its own: a terminal that doesn't read must not hold up calls, nor Ctrl-C.
    thread::spawn(move || {
        while let Some(line) = lines.blocking_recv() {
            println!("{line}");
        }
    });
    tokio::select! {
        served = debugging::serve(listener, bound) => served,
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
