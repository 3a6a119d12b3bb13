//! What a call costs with metrics on: the same calls with the layers and without, in turns.
//!
//! ```console
//! $ cargo run --release -p conform --example metrics_cost
//! ```
//!
//! It makes calls as small as can be, one after another over loopback: the most that the layers can
//! weigh. A program that does something in its handlers notices less.

use std::error::Error;
use std::time::{Duration, Instant};

use conform::metrics::{ClientMetricsLayer, ServerMetricsLayer, meter};
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Bytes, StdError};
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};
use tower::Layer;

/// How many calls are timed at once, and how often.
const CALLS: u32 = 500;
const ROUNDS: usize = 40;

#[derive(Clone)]
struct Polite;

#[tonic::async_trait]
impl Greeter for Polite {
    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        let text = format!("Hello, {}!", request.into_inner().name);
        Ok(Response::new(Greeting { text }))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone());
    let provider = SdkMeterProvider::builder().with_reader(exporter.build()?);
    let provider = provider.build();
    let meter = meter(&provider);

    let plain = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", plain.local_addr()?);
    tokio::spawn(
        conform::server::builder()
            .add_service(GreeterServer::new(Polite))
            .serve_with_incoming(conform::server::incoming(plain)),
    );
    let mut plain = GreeterClient::new(Endpoint::new(url)?.connect_lazy());

    let measured = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", measured.local_addr()?);
    let server_metrics = ServerMetricsLayer::new(&meter).method("greeter.v1.Greeter/Greet");
    tokio::spawn(
        conform::server::builder()
            .layer(server_metrics)
            .add_service(GreeterServer::new(Polite))
            .serve_with_incoming(conform::server::incoming(measured)),
    );
    let client_metrics = ClientMetricsLayer::new(&meter, &url);
    let channel = Endpoint::new(url)?.connect_lazy();
    let mut measured = GreeterClient::new(client_metrics.layer(channel));

    // The first round of each connects, and warms up.
    time(&mut plain).await?;
    time(&mut measured).await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(time(&mut plain).await?);
        with.push(time(&mut measured).await?);
    }
    let (without, with) = (median(without), median(with));
    println!("a call without metrics: {:6.1} µs", micros(without));
    println!("with, on both sides:    {:6.1} µs", micros(with));
    println!(
        "ratio:                  {:6.2}",
        with.as_secs_f64() / without.as_secs_f64()
    );

    let begin = Instant::now();
    let text = TextEncoder::new().encode_to_string(&registry.gather())?;
    let micros = begin.elapsed().as_secs_f64() * 1e6;
    println!(
        "a page of {} lines:     {micros:6.1} µs",
        text.lines().count()
    );
    Ok(())
}

async fn time<S, B>(stub: &mut GreeterClient<S>) -> Result<Duration, Status>
where
    S: GrpcService<Body, ResponseBody = B>,
    S::Error: Into<StdError>,
    B: tonic::codegen::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    let begin = Instant::now();
    for _ in 0..CALLS {
        let name = "Ann".to_owned();
        stub.greet(Name { name }).await?;
    }
    Ok(begin.elapsed() / CALLS)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
