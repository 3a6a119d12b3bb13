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
