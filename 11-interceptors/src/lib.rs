//! What stands between caller and handler: an interceptor and layers, in an order that matters.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tonic::service::InterceptorLayer;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{self, Server};
use tower::ServiceBuilder;
use tower_http::auth::AsyncRequireAuthorizationLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::map_response_body::MapResponseBodyLayer;

use self::abacus::Abacus;
use self::calculator::calculator_server::CalculatorServer;
use self::log::LogLayer;
use self::timing::TimingLayer;

pub mod abacus;
pub mod answers;
pub mod auth;
pub mod cache;
pub mod ending;
pub mod faults;
pub mod log;
pub mod messages;
pub mod panics;
pub mod timing;

/// Generated from `protos/calculator.proto`.
#[allow(missing_docs)]
pub mod calculator {
    tonic::include_proto!("calculator.v1");
}

#[cfg(test)]
mod tests;

/// Where a layer writes its lines: the server's journal, or the client's terminal.
pub type Note = Arc<dyn Fn(String) + Send + Sync>;

/// Serves the calculator on `listener`, for as long as the future is polled.
///
/// Writes to `journal` each call, with what it came to, and each call that took long.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    journal: UnboundedSender<String>,
) -> Result<(), transport::Error> {
    // An error here means that nobody keeps a journal.
    let note: Note = Arc::new(move |line| drop(journal.send(line)));
    // The first is the outermost: a request passes from top to bottom, its response from bottom to top.
    let layers = ServiceBuilder::new()
        .layer(LogLayer::new(note.clone()))
        .layer(TimingLayer::new(timing::slow(note)))
        .layer(InterceptorLayer::new(auth::identify))
        .layer(AsyncRequireAuthorizationLayer::new(auth::ask(
            auth::directory,
        )))
        .layer(MapResponseBodyLayer::new(panics::in_stream))
        .layer(CatchPanicLayer::custom(panics::in_handler));
    // tonic sets TCP_NODELAY by itself only where it binds the address itself.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .layer(layers)
        .add_service(CalculatorServer::new(Abacus))
        .serve_with_incoming(incoming)
        .await
}

/// The method that a request is for, without its service: `SquareRoot` of
/// `/calculator.v1.Calculator/SquareRoot`. That is enough of a name where there is one service.
pub fn method(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
