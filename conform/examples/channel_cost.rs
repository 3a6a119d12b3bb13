//! What a call costs on a channel of `conform`, beside tonic's own, and what each part adds.
//!
//! ```console
//! $ cargo run --release -p conform --example channel_cost
//! ```
//!
//! It makes calls as small as can be, one after another over loopback, to one server, and nothing
//! fails: the most that the layers can weigh. Client and server share one thread, so allocations are
//! both sides', and what counts is how many more there are than in the first line.

use std::error::Error;
use std::time::{Duration, Instant};

use conform::channel::Channel;
use conform::deadline::ClientDeadlineLayer;
use conform::message_limit::ClientMessageLimitLayer;
use conform::retry::RetryLayer;
use conform::status::ClientStatusLayer;
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Bytes, StdError};
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};
use tower::Layer;

/// How many calls are timed at once, and how often.
const CALLS: u32 = 500;
const ROUNDS: usize = 40;

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

/// One of those that are compared.
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

struct Compared {
    name: &'static str,
    caller: Box<dyn Caller>,
    times: Vec<Duration>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    runtime.spawn(
        conform::server::builder()
            .add_service(GreeterServer::new(Polite))
            .serve_with_incoming(conform::server::incoming(listener)),
    );

    let tonic = Endpoint::new(format!("http://{address}"))?;
    let status = ClientStatusLayer::new();
    let retry = RetryLayer::new();
    let limit = ClientMessageLimitLayer::new(1_000_000);
    let deadline = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(10));
    let target = format!("ipv4:{address}");
    let plain = Channel::builder(&target).connect_lazy()?;
    let all = Channel::builder(&target)
        .service_config(CONFIG)
        .connect_lazy()?;
    let mut compared: Vec<_> = [
        ("tonic's channel", boxed(tonic.connect_lazy())),
        ("  and status", boxed(status.layer(tonic.connect_lazy()))),
        (
            "  and retry",
            boxed(retry.layer(status.layer(tonic.connect_lazy()))),
        ),
        (
            "  and message_limit",
            boxed(limit.layer(tonic.connect_lazy())),
        ),
        (
            "  and deadline",
            boxed(deadline.layer(tonic.connect_lazy())),
        ),
        ("conform's, no config", boxed(plain)),
        ("conform's, all of it", boxed(all)),
    ]
    .into_iter()
    .map(|(name, caller)| Compared {
        name,
        caller,
        times: Vec::new(),
    })
    .collect();

    // The first round of each connects, and warms up.
    for compared in &mut compared {
        compared.caller.calls(&runtime)?;
    }
    for _ in 0..ROUNDS {
        for compared in &mut compared {
            let begin = Instant::now();
            compared.caller.calls(&runtime)?;
            compared.times.push(begin.elapsed() / CALLS);
        }
    }

    println!("                        µs a call    more   allocations    more");
    let mut first = None;
    for compared in &mut compared {
        compared.times.sort();
        let median = compared.times.get(ROUNDS / 2).copied().unwrap_or_default();
        let micros = median.as_secs_f64() * 1e6;
        let mut result = Ok(());
        let counted = allocation_counter::measure(|| result = compared.caller.calls(&runtime));
        result?;
        let allocations = counted.count_total as f64 / f64::from(CALLS);
        let (least_micros, least_allocations) = *first.get_or_insert((micros, allocations));
        println!(
            "{:22} {micros:10.1} {:+7.1} {allocations:13.1} {:+7.1}",
            compared.name,
            micros - least_micros,
            allocations - least_allocations,
        );
    }
    drop(entered);
    Ok(())
}

fn boxed<S, B>(channel: S) -> Box<dyn Caller>
where
    S: GrpcService<Body, ResponseBody = B> + 'static,
    S::Error: Into<StdError>,
    B: tonic::codegen::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    Box::new(GreeterClient::new(channel))
}
