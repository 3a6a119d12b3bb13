//! A client that does what its input says, and servers that report their load: for comparison with
//! other software, by the scripts in `peers`.
//!
//! ```console
//! $ cargo run -p conform --example peer
//! ```
//!
//! A line of input is JSON: an `id`, a `command`, and what that needs. It's answered by a line with
//! the same `id`, in any order.

use std::collections::HashMap;
use std::error::Error;
use std::io::stdin;
use std::time::{Duration, Instant};

use conform::channel::Channel;
use conform::orca::{CallMetrics, ServerOrcaLayer};
use conform::wait_for_ready::WaitForReady;
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::client::Grpc;
use tonic::codegen::StdError;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{MetadataKey, MetadataValue};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (sender, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut channels = HashMap::new();
    while let Some(line) = lines.recv().await {
        let line: Value = serde_json::from_str(&line)?;
        let id = line["id"].clone();
        let name = text(&line["channel"]);
        let answer = match text(&line["command"]).as_str() {
            "open" => {
                channels.insert(name, open(&line)?);
                json!({})
            }
            "state" => json!({ "state": find(&channels, &name)?.state().get().to_string() }),
            "close" => {
                channels.remove(&name);
                json!({})
            }
            "bench" => {
                let channel = find(&channels, &name)?.clone();
                tokio::spawn(async move { say(&id, bench(channel, &line).await) });
                continue;
            }
            "serve" => json!({ "address": serve(&line).await? }),
            "call" => {
                let channel = find(&channels, &name)?.clone();
                tokio::spawn(async move {
                    let answer = call(channel, &line).await;
                    say(
                        &id,
                        answer.unwrap_or_else(|error| json!({ "code": error.to_string() })),
                    );
                });
                continue;
            }
            other => return Err(format!("there is no command {other:?}").into()),
        };
        say(&id, answer);
    }
    Ok(())
}

fn say(id: &Value, mut answer: Value) {
    answer["id"] = id.clone();
    println!("{answer}");
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn seconds(line: &Value) -> Duration {
    Duration::from_secs_f64(line["seconds"].as_f64().unwrap_or_default())
}

fn find<'a>(channels: &'a HashMap<String, Channel>, name: &str) -> Result<&'a Channel, String> {
    let channel = channels.get(name);
    channel.ok_or_else(|| format!("there is no channel {name:?}"))
}

/// A channel to `target` with this `config`. Its waits between connections are the specification's.
fn open(line: &Value) -> Result<Channel, Box<dyn Error>> {
    let builder = Channel::builder(&text(&line["target"]));
    let builder = builder.service_config(text(&line["config"]));
    Ok(builder.connect_lazy()?)
}

/// A call of no bytes to `path`, with `metadata`. Says the code, and the `backend` that answered.
async fn call(channel: Channel, line: &Value) -> Result<Value, StdError> {
    let mut request = Request::new(());
    for (name, value) in line["metadata"].as_object().into_iter().flatten() {
        let name = MetadataKey::from_bytes(name.as_bytes())?;
        let value = MetadataValue::try_from(text(value))?;
        request.metadata_mut().insert(name, value);
    }
    let waits = line["wait"].as_bool().unwrap_or_default();
    request.extensions_mut().insert(WaitForReady(waits));
    request.set_timeout(seconds(line));
    let mut grpc = Grpc::new(channel);
    grpc.ready().await?;
    let path = PathAndQuery::try_from(text(&line["path"]))?;
    let codec = ProstCodec::<(), ()>::default();
    let reply = grpc.unary(request, path, codec).await;
    let (code, metadata) = match &reply {
        Ok(reply) => (Code::Ok, reply.metadata()),
        Err(status) => (status.code(), status.metadata()),
    };
    let backend = metadata.get("backend");
    let backend = backend.and_then(|name| name.to_str().ok());
    Ok(json!({ "code": code as i32, "backend": backend }))
}

/// Calls of a greeter for so many `seconds`, with `in_flight` of them at all times. Says how many
/// there were.
async fn bench(channel: Channel, line: &Value) -> Value {
    let end = Instant::now() + seconds(line);
    let callers = 0..line["in_flight"].as_u64().unwrap_or_default();
    let callers = callers.map(|_| {
        let mut stub = GreeterClient::new(channel.clone());
        tokio::spawn(async move {
            let mut calls = 0;
            while Instant::now() < end && stub.greet(Name::default()).await.is_ok() {
                calls += 1;
            }
            calls
        })
    });
    let mut calls = 0;
    for caller in callers.collect::<Vec<_>>() {
        calls += caller.await.unwrap_or(0);
    }
    json!({ "calls": calls })
}

/// A server that says its `name` with each call, and how busy it is: `utilization`, at 100 calls a
/// second.
async fn serve(line: &Value) -> Result<String, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let busy = Busy {
        name: text(&line["name"]),
        utilization: line["utilization"].as_f64().unwrap_or_default(),
    };
    tokio::spawn(
        conform::server::builder()
            .layer(ServerOrcaLayer::new())
            .add_service(GreeterServer::new(busy))
            .serve_with_incoming(conform::server::incoming(listener)),
    );
    Ok(address)
}

struct Busy {
    name: String,
    utilization: f64,
}

#[tonic::async_trait]
impl Greeter for Busy {
    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        CallMetrics::of(&request)
            .application_utilization(self.utilization)
            .qps(100.0);
        let mut response = Response::new(Greeting::default());
        let name = MetadataValue::try_from(&self.name).map_err(|_| Status::internal("name"))?;
        response.metadata_mut().insert("backend", name);
        Ok(response)
    }
}
