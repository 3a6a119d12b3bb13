//! Serves lesson 13 on one address until Ctrl-C, and prints how the work for each download ended.

use std::env;
use std::error::Error;
use std::process::ExitCode;

use flow_control::film;
use flow_control::shelf::Shelf;
use tokio::net::TcpListener;
use tokio::signal;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> ExitCode {
    let address = env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:50051".to_owned());
    match run(&address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serving on {address} failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(address: &str) -> Result<(), Box<dyn Error>> {
    film::store(film::FOLDER)?;
    let shelf = Shelf::new(film::FOLDER)?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let (journal, mut lines) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            println!("{line}");
        }
    });
    tokio::select! {
        served = flow_control::serve(listener, shelf, journal) => Ok(served?),
        pressed = signal::ctrl_c() => Ok(pressed?),
    }
}
