//! Measures calls a second with channelz on both sides and without it, in turns, in one process.

use std::error::Error;
use std::time::{Duration, Instant};

use conform::channelz::Channelz;
use futures::future::try_join_all;
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::{Service, StdError};
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};
use tower::ServiceBuilder;

const ROUNDS: usize = 40;
const ROUND: Duration = Duration::from_millis(250);
/// Calls that are open at once.
const AT_ONCE: usize = 32;

struct Polite;

#[tonic::async_trait]
impl Greeter for Polite {
    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        let Name { name } = request.into_inner();
        let text = format!("Hello, {name}!");
        Ok(Response::new(Greeting { text }))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
    let incoming = conform::server::incoming(listener);
    let server = conform::server::builder().add_service(GreeterServer::new(Polite));
    tokio::spawn(server.serve_with_incoming(incoming));
    let plain = ServiceBuilder::new().service(endpoint.connect_with_connector_lazy(connector()));

    let channelz = Channelz::new();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let entry = channelz.server("greeter");
    let incoming = entry.incoming(address, conform::server::incoming(listener));
    let server = conform::server::builder()
        .layer(entry.layer())
        .add_service(GreeterServer::new(Polite));
    tokio::spawn(server.serve_with_incoming(incoming));
    let entry = channelz.channel("greeter");
    let backend = entry.subchannel("backend");
    let counted = ServiceBuilder::new()
        .layer(entry.layer())
        .layer(backend.layer())
        .service(endpoint.connect_with_connector_lazy(backend.connector(connector())));

    // To warm up.
    calls_a_second(plain.clone()).await?;
    calls_a_second(counted.clone()).await?;
    let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Whoever comes second in a round is not always the same.
        let (plain_rate, counted_rate) = if round % 2 == 0 {
            let plain_rate = calls_a_second(plain.clone()).await?;
            (plain_rate, calls_a_second(counted.clone()).await?)
        } else {
            let counted_rate = calls_a_second(counted.clone()).await?;
            (calls_a_second(plain.clone()).await?, counted_rate)
        };
        without.push(plain_rate);
        with.push(counted_rate);
        ratios.push(counted_rate / plain_rate);
    }
    println!("without channelz: {:.0} calls a second", median(without));
    println!("with channelz:    {:.0} calls a second", median(with));
    println!("ratio:            {:.3}", median(ratios));
    Ok(())
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}

async fn calls_a_second<S, B>(channel: S) -> Result<f64, Status>
where
    S: Service<
            tonic::codegen::http::Request<Body>,
            Response = tonic::codegen::http::Response<B>,
            Error: Into<StdError>,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static,
    B: tonic::codegen::Body<Data = tonic::codegen::Bytes, Error: Into<StdError> + Send>
        + Send
        + 'static,
{
    let begin = Instant::now();
    let counts = try_join_all((0..AT_ONCE).map(|_| {
        let mut stub = GreeterClient::new(channel.clone());
        async move {
            let mut calls = 0;
            while begin.elapsed() < ROUND {
                let name = "Ann".to_owned();
                stub.greet(Name { name }).await?;
                calls += 1;
            }
            Ok::<_, Status>(calls)
        }
    }));
    let calls: u32 = counts.await?.into_iter().sum();
    Ok(f64::from(calls) / begin.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
