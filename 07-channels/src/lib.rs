//! Slow square roots, many at once over one connection: a channel, seen from both of its ends.

use std::time::Duration;

use conform::connectivity::{self, State};
use futures::{Stream, TryStreamExt};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::net::TcpListener;
use tokio::sync::{mpsc::Sender, watch};
use tokio::time::sleep;
use tonic::transport::{self, Channel, Endpoint};
use tonic::{Request, Response, Status};

use self::in_flight::InFlight;
use self::proto::Number;
use self::proto::calculator_server::{Calculator, CalculatorServer};

pub mod blocking;
mod in_flight;
pub mod pool;
pub mod proto;

#[cfg(test)]
mod tests;

/// Serves the calculator on `listener`, for as long as the future is polled.
///
/// Says on `log` when a connection comes in, and how many calls there were when none is left.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener, log: Sender<String>) -> Result<(), transport::Error> {
    let incoming = counted(conform::server::incoming(listener), log.clone());
    conform::server::builder()
        .add_service(CalculatorServer::new(Abacus::new(log)))
        .serve_with_incoming(incoming)
        .await
}

/// Says on `log` when a connection comes in: its number, from 1.
fn counted<I, C, E>(incoming: I, log: Sender<String>) -> impl Stream<Item = Result<C, E>>
where
    I: Stream<Item = Result<C, E>>,
{
    let mut connections = 0;
    incoming.inspect_ok(move |_| {
        connections += 1;
        let _ = log.try_send(format!("connection {connections}"));
    })
}

/// A calculator that needs a millisecond for each unit of a number, and a minute at most.
struct Abacus {
    in_flight: InFlight,
}

impl Abacus {
    fn new(log: Sender<String>) -> Self {
        let in_flight = InFlight::new(log);
        Self { in_flight }
    }
}

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let _guard = self.in_flight.begin();
        let number = request.into_inner().value;
        let value = unary::square_root(number)?;
        sleep(Duration::from_secs_f64(number.min(60_000.0) / 1000.0)).await;
        Ok(Response::new(Number { value }))
    }
}

/// A lazy channel, and what state it is in.
pub fn watched(endpoint: &Endpoint) -> (Channel, watch::Receiver<State>) {
    let (connector, states) = connectivity::observe(connector());
    (endpoint.connect_with_connector_lazy(connector), states)
}

/// Makes TCP connections, as tonic does where it's given no connector.
fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    // Without it, small messages may wait for the acknowledgement of those before.
    connector.set_nodelay(true);
    connector
}
