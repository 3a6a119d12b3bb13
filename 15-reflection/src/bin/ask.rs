//! Lists, describes and calls the services of any server that has reflection.

use std::error::Error;
use std::io::{Cursor, Read, stdin};
use std::process::ExitCode;
use std::time::Duration;

use conform::error_details::catch_malformed;
use conform::reflection::{
    ReflectionClient, add_metadata, call_json, metadata_lines, status_of, to_json,
};
use conform::status::{ClientStatus, escape, explain};
use interceptors::{Connection, connect};
use lexopt::prelude::*;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tokio::time::timeout;
use tonic::Request;
use tonic::metadata::MetadataMap;

const USAGE: &str = "\
ask [OPTIONS] URL                        lists the services of a server
ask [OPTIONS] URL NAME                   prints the .proto file that declares NAME
ask [OPTIONS] URL SERVICE/METHOD [JSON]  calls; without JSON, the messages come from stdin

  -H 'name: value'      metadata of each call; of a name in -bin, the value is base64
  --deadline SECONDS    of a call, 30 unless told
  -v                    headers and trailers, on stderr

Exit status: 0; 64 + the code of the status that a call has ended with; 2 for a wrong command; 1";

async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let channel = timeout(Duration::from_secs(10), connect(options.words[0].clone())).await;
    let channel = ClientStatus::new(channel.map_err(|_| "nobody answers")??);
    let mut server = ReflectionClient::new(channel.clone()).metadata(options.metadata.clone());
    match options.words.get(1) {
        None => {
            for service in server.services().await? {
                println!("{}", escape(&service));
            }
        }
        Some(name) if !name.contains('/') => print!("{}", server.text_of(name).await?),
        Some(name) => {
            let method = server.method(name).await?;
            let called = make_call(options, channel, &method).await;
            if let Some(status) = called.as_ref().err().and_then(|error| status_of(&**error)) {
                options.show("trailer", status.metadata());
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
    options: &Options,
    channel: ClientStatus<Connection>,
    method: &MethodDescriptor,
) -> Result<(), Box<dyn Error>> {
    let mut request = Request::new(());
    *request.metadata_mut() = options.metadata.clone();
    request.set_timeout(options.deadline);
    let json: Box<dyn Read + Send> = match options.words.get(2) {
        Some(json) => Box::new(Cursor::new(json.clone())),
        None => Box::new(stdin()),
    };
    let mut response = call_json(channel, method, request, json).await?;
    options.show("header", response.metadata());
    while let Some(reply) = response.get_mut().message().await? {
        println!("{}", to_json(&reply)?);
    }
    let trailers = response.get_mut().trailers().await?;
    options.show("trailer", &trailers.unwrap_or_default());
    Ok(())
}

#[derive(Default)]
struct Options {
    words: Vec<String>,
    metadata: MetadataMap,
    deadline: Duration,
    verbose: bool,
}

impl Options {
    fn read() -> Result<Self, Box<dyn Error>> {
        let (mut options, mut deadline) = (Self::default(), 30.0_f64);
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('H') => add_metadata(&mut options.metadata, &arguments.value()?.string()?)?,
                Short('v') => options.verbose = true,
                Long("deadline") => deadline = arguments.value()?.parse()?,
                Value(word) if options.words.len() < 3 => options.words.push(word.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        options.deadline = Duration::try_from_secs_f64(deadline.min(1e8))?;
        let url = options.words.first().cloned().unwrap_or_default();
        if !url.starts_with("http://") {
            return Err("the URL must begin with http:// (https:// is for lesson 14)".into());
        }
        Ok(options)
    }

    fn show(&self, what: &str, metadata: &MetadataMap) {
        for line in metadata_lines(metadata).iter().filter(|_| self.verbose) {
            eprintln!("{what} {line}");
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{}\n{USAGE}", explain(&*error));
            return ExitCode::from(2);
        }
    };
    let Err(error) = catch_malformed(run(&options)).await else {
        return ExitCode::SUCCESS;
    };
    eprintln!("asking {} failed: {}", options.words[0], explain(&*error));
    ExitCode::from(status_of(&*error).map_or(1, |status| 64 + status.code() as u8))
}
