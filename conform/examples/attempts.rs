//! Makes the calls that its input names, with a service config, and prints the code of each: for
//! comparison with other clients, in `peers/00_attempts.py`.
//!
//! ```console
//! $ cargo run -p conform --example attempts ADDRESS CONFIG PREFIX
//! ```
//!
//! A line of input is JSON: `{ "call": "a name", "script": "what the server does" }`. Both go to the
//! server as metadata, the name with the prefix. A line of output has the call and its code.

use std::error::Error;
use std::io::stdin;
use std::time::Duration;

use conform::channel::Channel;
use serde_json::{Value, json};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |name: &str| arguments.next().ok_or(format!("{name} is missing"));
    let address = argument("ADDRESS")?;
    let config = argument("CONFIG")?;
    let prefix = argument("PREFIX")?;
    let channel = Channel::builder(&format!("ipv4:{address}"))
        .service_config(config)
        .connect_lazy()?;
    let mut grpc = Grpc::new(channel);
    for line in stdin().lines() {
        let line: Value = serde_json::from_str(&line?)?;
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let (call, script) = (text("call"), text("script"));
        let mut request = Request::new(());
        let metadata = request.metadata_mut();
        metadata.insert("call", MetadataValue::try_from(format!("{prefix}{call}"))?);
        metadata.insert("script", MetadataValue::try_from(script)?);
        request.set_timeout(Duration::from_secs(5));
        grpc.ready().await.map_err(|error| error.to_string())?;
        let path = PathAndQuery::from_static("/test.Test/Call");
        let codec = ProstCodec::<(), ()>::default();
        let reply = grpc.unary(request, path, codec).await;
        let code = reply.map_or_else(|status| status.code(), |_| Code::Ok);
        println!("{}", json!({ "call": call, "code": code as i32 }));
    }
    Ok(())
}
