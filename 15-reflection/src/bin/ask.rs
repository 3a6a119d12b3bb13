//! Lists, describes and calls the services of any server that has reflection.

use std::env;
use std::error::Error;
use std::process::ExitCode;

use conform::deadline::ClientDeadlineLayer;
use conform::error_details::{SanitizeDetails, catch_malformed};
use conform::reflection::{
    Command, OPTIONS, Question, ReflectionClient, call_json, metadata_lines, status_of, to_json,
};
use conform::status::{ClientStatus, escape, explain};
use interceptors::Connection;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::Request;
use tonic::metadata::MetadataMap;
use tower::Layer;

const USAGE: &str = "\
ask [OPTIONS] URL                        lists the services of a server
ask [OPTIONS] URL NAME                   prints the .proto file that declares NAME
ask [OPTIONS] URL SERVICE/METHOD [JSON]  calls; without JSON, the messages come from stdin";

const STATUS: &str = "Exit status: 0; 64 + the code of a call's status; 2 for a wrong command; 1";

async fn run(command: &Command) -> Result<(), Box<dyn Error>> {
    let channel = SanitizeDetails::new(command.connect().await?);
    let channel = ClientStatus::new(ClientDeadlineLayer::new().layer(channel));
    let mut server = ReflectionClient::new(channel.clone()).metadata(command.metadata.clone());
    match &command.question {
        Question::Services => {
            for service in server.services().await? {
                println!("{}", escape(&service));
            }
        }
        Question::Text(name) => print!("{}", server.text_of(name).await?),
        Question::Call { method, .. } => {
            let method = server.method(method).await?;
            let called = make_call(command, channel, &method).await;
            if let Some(status) = called.as_ref().err().and_then(|error| status_of(&**error)) {
                show(command, "trailer", status.metadata());
                let known = DescriptorPool::decode(tonic_types::pb::FILE_DESCRIPTOR_SET)?;
                for line in server.detail_lines(status, &known).await {
                    eprintln!("detail {line}");
                }
            }
            called?;
        }
    }
    Ok(())
}

async fn make_call(
    command: &Command,
    channel: ClientStatus<Connection>,
    method: &MethodDescriptor,
) -> Result<(), Box<dyn Error>> {
    let mut request = Request::new(());
    *request.metadata_mut() = command.metadata.clone();
    request.set_timeout(command.deadline);
    let json = command.question.input();
    let mut response = call_json(channel, method, request, json).await?;
    show(command, "header", response.metadata());
    while let Some(reply) = response.get_mut().message().await? {
        println!("{}", to_json(&reply)?);
    }
    let trailers = response.get_mut().trailers().await?;
    show(command, "trailer", &trailers.unwrap_or_default());
    Ok(())
}

fn show(command: &Command, what: &str, metadata: &MetadataMap) {
    for line in metadata_lines(metadata)
        .iter()
        .filter(|_| command.is_verbose)
    {
        eprintln!("{what} {line}");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = match Command::parse(env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("{}\n{USAGE}\n\n{OPTIONS}\n\n{STATUS}", explain(&error));
            return ExitCode::from(2);
        }
    };
    let url = command.url.trim_end_matches('/');
    if url.starts_with("https://") && !cfg!(feature = "tls") {
        eprintln!("TLS has to be built in first: cargo 15 ask --features tls -- {url} …");
        return ExitCode::from(2);
    }
    let Err(error) = catch_malformed(run(&command)).await else {
        return ExitCode::SUCCESS;
    };
    eprintln!("asking {url} failed: {}", command.explain(&*error));
    ExitCode::from(status_of(&*error).map_or(1, |status| 64 + status.code() as u8))
}
