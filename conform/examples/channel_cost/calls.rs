//! Channels that differ in what they have on top of tonic's, to one server.

use std::error::Error;
use std::time::Duration;

use conform::channel::Channel;
use conform::deadline::ClientDeadlineLayer;
use conform::message_limit::ClientMessageLimitLayer;
use conform::retry::{RetryLayer, RetryPolicy, Throttle};
use conform::status::ClientStatusLayer;
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Bytes, StdError};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Response, Status};
use tower::Layer;

/// How many calls are measured at once.
pub const CALLS: u32 = 500;

const CONFIG: &str = r#"{
    "loadBalancingConfig": [{ "round_robin": {} }],
    "methodConfig": [{
        "name": [{ "service": "greeter.v1.Greeter" }],
        "timeout": "10s",
        "waitForReady": true,
        "maxRequestMessageBytes": 1000000,
        "maxResponseMessageBytes": 1000000,
        "retryPolicy": {
            "maxAttempts": 3,
            "initialBackoff": "0.1s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"]
        }
    }],
    "retryThrottling": { "maxTokens": 10, "tokenRatio": 0.1 }
}"#;

#[derive(Clone)]
struct Polite;

#[tonic::async_trait]
impl Greeter for Polite {
    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        let text = request.into_inner().name;
        Ok(Response::new(Greeting { text }))
    }
}

trait Caller {
    /// Makes [`CALLS`] calls.
    fn calls(&mut self, runtime: &Runtime) -> Result<(), Status>;
}

impl<S, B> Caller for GreeterClient<S>
where
    S: GrpcService<Body, ResponseBody = B>,
    S::Error: Into<StdError>,
    B: tonic::codegen::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    fn calls(&mut self, runtime: &Runtime) -> Result<(), Status> {
        runtime.block_on(async {
            for _ in 0..CALLS {
                let name = "Ann".to_owned();
                self.greet(Name { name }).await?;
            }
            Ok(())
        })
    }
}

/// One of those that are compared.
pub struct Compared {
    pub name: &'static str,
    caller: Box<dyn Caller>,
}

impl Compared {
    fn new<S, B>(name: &'static str, channel: S) -> Self
    where
        S: GrpcService<Body, ResponseBody = B> + 'static,
        S::Error: Into<StdError>,
        B: tonic::codegen::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send,
    {
        let caller = Box::new(GreeterClient::new(channel));
        Self { name, caller }
    }

    /// Makes [`CALLS`] calls.
    pub fn calls(&mut self, runtime: &Runtime) -> Result<(), Status> {
        self.caller.calls(runtime)
    }

    /// How many allocations a call makes, on both sides: they share this thread.
    pub fn allocations(&mut self, runtime: &Runtime) -> Result<f64, Status> {
        let mut result = Ok(());
        let counted = allocation_counter::measure(|| result = self.calls(runtime));
        result?;
        Ok(counted.count_total as f64 / f64::from(CALLS))
    }
}

/// tonic's channel; it with one layer more each time; and `conform`'s, which has them all.
pub fn compared(runtime: &Runtime) -> Result<Vec<Compared>, Box<dyn Error>> {
    let _entered = runtime.enter();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    runtime.spawn(
        conform::server::builder()
            .add_service(GreeterServer::new(Polite))
            .serve_with_incoming(conform::server::incoming(listener)),
    );

    let ms = Duration::from_millis;
    let policy = RetryPolicy::new(3, ms(100), ms(1000), 2.0, [Code::Unavailable])?;
    let retry = RetryLayer::new()
        .policy(policy)
        .throttle(Throttle::new(10, 100)?);
    let limit = ClientMessageLimitLayer::new(1_000_000).outgoing(1_000_000);
    let deadline = ClientDeadlineLayer::new().default_timeout(ms(10_000));

    let endpoint = Endpoint::new(format!("http://{address}"))?;
    let tonics = || endpoint.connect_lazy();
    let with_status = || ClientStatusLayer::new().layer(tonics());
    let with_retry = || retry.layer(with_status());
    let with_limits = || limit.layer(with_retry());
    let with_deadline = || deadline.layer(with_limits());
    let target = format!("ipv4:{address}");
    Ok(vec![
        Compared::new("tonic's channel", tonics()),
        Compared::new("  and status", with_status()),
        Compared::new("  and retry", with_retry()),
        Compared::new("  and message_limit", with_limits()),
        Compared::new("  and deadline", with_deadline()),
        Compared::new(
            "conform's, no config",
            Channel::builder(&target).connect_lazy()?,
        ),
        Compared::new(
            "conform's, all of it",
            Channel::builder(&target)
                .service_config(CONFIG)
                .connect_lazy()?,
        ),
    ])
}
