//! Exits with 0 if a server, or one of its services, is SERVING, and with 1 if it isn't.

use std::env;
use std::process::ExitCode;

use conform::status::escape;
use health_checking::probe::probe;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let (url, service) = match &arguments[..] {
        [url] => (url, ""),
        [url, service] => (url, &**service),
        _ => {
            eprintln!("usage: probe URL [SERVICE]");
            return ExitCode::FAILURE;
        }
    };
    match probe(url, service).await {
        Ok(()) => {
            println!("SERVING");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{url}: {}", escape(&why));
            ExitCode::FAILURE
        }
    }
}
