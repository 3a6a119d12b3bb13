//! Finds dead peers on both sides, and sends away clients that ping too often.

use std::time::Duration;

use conform::deadline::{ClientDeadline, ClientDeadlineLayer};
use conform::error_details::SanitizeDetails;
use conform::keepalive::{ClientKeepalive, KeepaliveChannel, enforce};
use conform::status::ClientStatus;
use tokio::net::TcpListener;
use tokio::sync::mpsc::Sender;
use tokio_stream::{StreamExt, once, pending};
use tonic::transport::{self, Endpoint};
use tonic::{Status, Streaming};
use tower::Layer;

use self::abacus::Abacus;
use self::proto::Number;
use self::proto::calculator_client::CalculatorClient;
use self::proto::calculator_server::CalculatorServer;

mod abacus;
pub mod proto;

#[cfg(test)]
mod tests;

/// After how much silence either side pings. So short only that nobody waits for the lesson: a
/// minute is short enough, and ten seconds are the least that gRPC allows.
pub const TIME: Duration = Duration::from_secs(1);

/// How long the other side may take to answer.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// How often a client may ping. gRPC's servers say 5 minutes if they aren't told otherwise.
pub const MIN_PING_TIME: Duration = Duration::from_millis(700);

/// Serves the calculator on `listener`, for as long as the future is polled. Says on `log` how
/// each connection ended.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener, log: Sender<String>) -> Result<(), transport::Error> {
    let incoming = enforce(conform::server::incoming(listener))
        .min_ping_time(MIN_PING_TIME)
        // If nobody reads the log, lines are lost, and no connection waits.
        .on_close(move |why| drop(log.try_send(format!("a connection has ended: {why}"))));
    conform::server::builder()
        .http2_keepalive_interval(Some(TIME))
        .http2_keepalive_timeout(Some(TIMEOUT))
        .add_service(CalculatorServer::new(Abacus))
        .serve_with_incoming(incoming)
        .await
}

/// A stub for `url` with these pings, whose calls take five seconds at most.
///
/// # Errors
///
/// If `url` is invalid.
pub fn connect(url: String, keepalive: ClientKeepalive) -> Result<Stub, transport::Error> {
    let channel = keepalive.connect_lazy(Endpoint::new(url)?);
    let deadline = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(5));
    let channel = deadline.layer(SanitizeDetails::new(ClientStatus::new(channel)));
    Ok(CalculatorClient::new(channel))
}

/// What [`connect`] returns.
pub type Stub = CalculatorClient<ClientDeadline<SanitizeDetails<ClientStatus<KeepaliveChannel>>>>;

/// Opens a stream, sends one number, reads one maximum, and leaves it open.
///
/// # Errors
///
/// If the call fails before that.
pub async fn hold(stub: &mut Stub) -> Result<Streaming<Number>, Status> {
    let numbers = once(Number { value: 9.0 }).chain(pending());
    let mut maxima = stub.maximum(numbers).await?.into_inner();
    maxima.message().await?;
    Ok(maxima)
}

/// Pings after `time` of silence while a call is open, and waits [`TIMEOUT`] for the answer.
pub fn every(time: Duration) -> ClientKeepalive {
    ClientKeepalive::new(time)
        .timeout(TIMEOUT)
        // Less than gRPC's ten seconds: only here.
        .minimum(Duration::ZERO)
}

/// Exercise 2: the same, and also while no call is open.
pub fn always(time: Duration) -> ClientKeepalive {
    every(time)
}
