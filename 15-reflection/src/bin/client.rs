//! Asks a server what it can do, and calls what it has found. No `.proto` is compiled in.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use conform::reflection::{ReflectionClient, call_json, method_of, signature, to_json};
use conform::status::escape;
use interceptors::{Connection, connect};
use prost_reflect::DescriptorPool;
use reflection::members::ANN;
use tokio::time::timeout;
use tonic::Request;
use tonic::metadata::MetadataMap;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let channel = connect(url).await?;
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", ANN.parse()?);
    let mut server = ReflectionClient::new(channel.clone()).metadata(metadata);

    println!("services:");
    for service in server.services().await? {
        println!("  {}", escape(&service));
    }
    let types = server.types_of("calculator.v1.Calculator").await?;
    let calculator = types.get_service_by_name("calculator.v1.Calculator");
    let calculator = calculator.ok_or("no calculator")?;
    println!("{}:", calculator.name());
    for method in calculator.methods() {
        println!("  {}", signature(&method));
    }
    let ask = |name, json| ask(&channel, &types, name, json);
    ask("SquareRoot", r#"{"value": 16}"#).await?;
    ask("Factorize", r#"{"value": 360}"#).await?;
    ask("Maximum", r#"{"value": 3} {"value": 9} {"value": 4}"#).await?;
    if let Err(error) = server.types_of("helloworld.Greeter").await {
        println!("{error}");
    }
    Ok(())
}

/// Calls a method with messages written as JSON, and prints the replies as JSON.
async fn ask(
    channel: &Connection,
    types: &DescriptorPool,
    name: &str,
    json: &'static str,
) -> Result<(), Box<dyn Error>> {
    println!("{name} {json}");
    let method = method_of(types, &format!("calculator.v1.Calculator/{name}"));
    let method = method.ok_or("no such method")?;
    let replies = call_json(channel.clone(), &method, Request::new(()), json.as_bytes());
    let mut replies = replies.await?.into_inner();
    while let Some(reply) = replies.message().await? {
        println!("  {}", to_json(&reply)?);
    }
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
        eprintln!("this client needs the server that `cargo 15 server` starts");
    }
    ExitCode::FAILURE
}
