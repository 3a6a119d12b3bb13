//! Puts a log, an interceptor and an authorisation around handlers that know nothing of them.

use std::time::Duration;

use conform::deadline::{ClientDeadline, ClientDeadlineLayer, ServerDeadlineLayer};
use conform::error_details::SanitizeDetails;
use conform::panic::CatchPanicLayer;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::service::InterceptorLayer;
use tonic::transport::{self, Channel, Endpoint};
use tower::Layer;
use tower_http::auth::AsyncRequireAuthorizationLayer;

use self::log::LogLayer;
use self::proto::calculator_server::{Calculator, CalculatorServer};

pub mod abacus;
pub mod auth;
pub mod faults;
pub mod log;
pub mod proto;

#[cfg(test)]
mod tests;

/// Serves `calculator` on `listener`, for as long as the future is polled. Says on `log` how each
/// call ended.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    calculator: impl Calculator,
    log: mpsc::Sender<String>,
) -> Result<(), transport::Error> {
    // If nobody reads the log, lines are lost, and no call waits.
    let write = move |line| drop(log.try_send(line));
    conform::server::builder()
        // The first layer is the outermost: it sees each request first, and each response last.
        .layer(LogLayer::new(write))
        .layer(CatchPanicLayer::new())
        .layer(InterceptorLayer::new(auth::identify))
        .layer(ServerDeadlineLayer::new())
        .layer(AsyncRequireAuthorizationLayer::new(auth::authorize))
        .add_service(CalculatorServer::new(calculator))
        .serve_with_incoming(conform::server::incoming(listener))
        .await
}

/// A channel to `url` whose calls take five seconds at most, and that bears with malformed errors.
///
/// # Errors
///
/// If `url` is invalid, or nobody listens there.
pub async fn connect(url: String) -> Result<Connection, transport::Error> {
    let channel = Endpoint::new(url)?.connect().await?;
    let deadline = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(5));
    Ok(deadline.layer(SanitizeDetails::new(channel)))
}

/// What [`connect`] returns: give it to a stub.
pub type Connection = ClientDeadline<SanitizeDetails<Channel>>;
