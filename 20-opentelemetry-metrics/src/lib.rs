//! Measures every call of a server and of its client, and shows the numbers on a port of their own.

use std::env;
use std::error::Error;

use conform::deadline::{ClientDeadlineLayer, ServerDeadlineLayer};
use conform::metrics::{ClientMetricsLayer, ServerMetricsLayer, methods_in};
use conform::panic::CatchPanicLayer;
use prometheus::TextEncoder;
use tokio::net::TcpListener;
use tokio::sync::mpsc::Sender;
use tonic::transport::Endpoint;
use tower::ServiceBuilder;

use self::proto::calculator_client::CalculatorClient;
use self::proto::calculator_server::CalculatorServer;
use self::servers::Server;

pub mod dashboard;
pub mod proto;
mod servers;
pub mod telemetry;
pub mod traffic;

#[cfg(test)]
mod tests;

/// What `calculator.proto` says, as `build.rs` has kept it.
const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("calculator");

/// Serves the front server on `listener`, its numbers on `numbers`, and the back server on a free
/// port of this machine, for as long as the future is polled. Both say on `log` which traced calls
/// they get. An OTLP collector gets the numbers too, if `OTEL_EXPORTER_OTLP_ENDPOINT` names one.
///
/// # Errors
///
/// If a listener fails, no port is free, or the collector's URL is invalid.
pub async fn serve(
    listener: TcpListener,
    numbers: TcpListener,
    log: Sender<String>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let collector = env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok();
    let (provider, registry) = telemetry::telemetry(collector)?;
    let meter = conform::metrics::meter(&provider);

    let back_listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", back_listener.local_addr()?);
    let back = Server("back", None, log.clone());
    let back_server = conform::server::builder()
        .layer(ServerDeadlineLayer::new())
        .add_service(CalculatorServer::new(back))
        .serve_with_incoming(conform::server::incoming(back_listener));

    let back = ServiceBuilder::new()
        // A name for the target: its address is another one in each run.
        .layer(ClientMetricsLayer::new(&meter, "calculator-back"))
        .layer(ClientDeadlineLayer::new())
        .service(Endpoint::new(url)?.connect_lazy());
    let front = Server("front", Some(CalculatorClient::new(back)), log);
    let front_server = conform::server::builder()
        // Outermost, so that it counts what the other layers answer too.
        .layer(ServerMetricsLayer::new(&meter).methods(methods_in(DESCRIPTORS)?))
        .layer(CatchPanicLayer::new())
        .layer(ServerDeadlineLayer::new())
        .add_service(CalculatorServer::new(front))
        .serve_with_incoming(conform::server::incoming(listener));

    let text = move || TextEncoder::new().encode_to_string(&registry.gather());
    tokio::select! {
        served = back_server => Ok(served?),
        served = front_server => Ok(served?),
        () = conform::metrics::serve_text(numbers, text) => Ok(()),
    }
}
