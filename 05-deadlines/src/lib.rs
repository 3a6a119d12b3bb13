//! A deadline for every call: kept by the client, known to the server, passed on to the next one.

use std::error::Error;
use std::time::Duration;

use conform::deadline::{ClientDeadlineLayer, ServerDeadlineLayer};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Sender;
use tonic::transport::Channel;
use tower::Layer;

use self::back::Back;
use self::front::Front;
use self::proto::calculator_client::CalculatorClient;
use self::proto::calculator_server::CalculatorServer;

mod back;
pub mod budget;
mod front;
pub mod proto;
mod words;

#[cfg(test)]
mod tests;

/// The longest that the front server works on one call, whatever its caller allows.
pub const LIMIT: Duration = Duration::from_millis(1_500);

/// Serves the front server on `listener` and the back server on a free port of this machine, for as
/// long as the future is polled. Both say on `log` how much time is left, and how the work ends.
///
/// # Errors
///
/// If a listener fails, or no port is free.
pub async fn serve(
    listener: TcpListener,
    log: Sender<String>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let back_listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", back_listener.local_addr()?);
    let back = Back { log: log.clone() };
    let back_server = conform::server::builder()
        .layer(ServerDeadlineLayer::new())
        .add_service(CalculatorServer::new(back))
        .serve_with_incoming(conform::server::incoming(back_listener));

    // Lazy: it connects at the first call. By then the back server is running.
    let channel = Channel::from_shared(url)?.connect_lazy();
    let back = CalculatorClient::new(ClientDeadlineLayer::new().layer(channel));
    let front_server = conform::server::builder()
        .layer(ServerDeadlineLayer::new().limit(LIMIT))
        .add_service(CalculatorServer::new(Front { back, log }))
        .serve_with_incoming(conform::server::incoming(listener));

    tokio::try_join!(back_server, front_server)?;
    Ok(())
}
