//! Makes six calls, two of which fail, and asks channelz which backend it was.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use conform::channelz::pb::channelz_client::ChannelzClient;
use conform::deadline::ClientDeadlineLayer;
use conform::status::{escape, explain};
use debugging::call_id::CALL_ID;
use debugging::proto::Number;
use debugging::proto::calculator_client::CalculatorClient;
use debugging::tree;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tower::Layer;

/// What a backend in trouble ends a call with.
const MAY_FAIL: [Code; 2] = [Code::DeadlineExceeded, Code::Unavailable];

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let channel = Endpoint::from_shared(url)?.connect().await?;
    let deadlines = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(5));
    let mut calculator = CalculatorClient::new(deadlines.layer(channel));
    for number in 1..=6 {
        let id = format!("client-{number}");
        let value = f64::from(number * number);
        let mut request = Request::new(Number { value });
        request.metadata_mut().insert(CALL_ID, id.parse()?);
        match calculator.square_root(request).await {
            Ok(response) => {
                let backend = response.metadata().get("served-by");
                let backend = backend.and_then(|name| name.to_str().ok());
                let backend = escape(backend.unwrap_or("nobody"));
                println!("{id}: {}, served by {backend}", response.get_ref().value);
            }
            Err(status) if MAY_FAIL.contains(&status.code()) => {
                println!("{id}: {}", explain(&status));
            }
            Err(status) => return Err(status.into()),
        }
    }

    let url = env::args().nth(2);
    let url = url.unwrap_or("http://127.0.0.1:50061".into());
    let channel = Endpoint::from_shared(url.clone())?.connect().await;
    let channel = channel.map_err(|error| format!("channelz at {url}: {}", explain(&error)))?;
    let (tree, steps) = tree::read(&mut ChannelzClient::new(channel)).await?;
    println!("{}\n{}", tree.join("\n"), steps.join("\n"));
    Ok(())
}

// The rest is the same in every client.

#[tokio::main(flavor = "current_thread")] // A flood of replies can't hold up the timer then.
async fn main() -> ExitCode {
    let url = env::args().nth(1);
    let url = url.unwrap_or("http://127.0.0.1:50051".into());
    let result = if url.starts_with("http://") {
        let run = conform::error_details::catch_malformed(run(url.clone()));
        let run = timeout(Duration::from_secs(30), run).await;
        run.unwrap_or(Err("no answer within 30 seconds".into()))
    } else {
        Err("the URL must begin with http:// (https:// is for lesson 14)".into())
    };
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let cause = conform::status::explain(&*error);
    eprintln!("calling {url} failed: {cause}");
    if conform::status::may_be_wrong_server(&*error) {
        eprintln!("this client needs the server that `cargo 17 server` starts");
    }
    ExitCode::FAILURE
}
