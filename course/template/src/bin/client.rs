//! Asks the server for a greeting.

use std::env;
use std::error::Error;
use std::iter;
use std::process::ExitCode;
use std::time::Duration;

use my_project::proto::GreetRequest;
use my_project::proto::greeter_client::GreeterClient;
use tonic::Request;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let mut greeter = GreeterClient::connect(url).await?;
    let name = "Ann".to_owned();
    let mut request = Request::new(GreetRequest { name });
    // Every call has a deadline: nobody waits for ever.
    request.set_timeout(Duration::from_secs(5));
    let reply = greeter.greet(request).await?.into_inner();
    println!("{}", reply.message);
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let url = env::args()
        .nth(1)
        .unwrap_or("http://127.0.0.1:50051".into());
    match run(url.clone()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("calling {url} failed: {}", cause(&*error));
            ExitCode::FAILURE
        }
    }
}

/// The innermost cause of an error: tonic itself says only "transport error".
fn cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
