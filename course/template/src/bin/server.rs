//! Serves on one address until Ctrl-C.

use std::env;
use std::error::Error;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal;

async fn run(address: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    tokio::select! {
        served = my_project::serve(listener) => Ok(served?),
        interrupted = signal::ctrl_c() => Ok(interrupted?),
    }
}

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
