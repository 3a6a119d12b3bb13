//! A deadline for every call: kept by the client, known to the server, handed on to the next one.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tower::Layer;

use self::back::Back;
use self::calculator::calculator_client::CalculatorClient;
use self::calculator::calculator_server::CalculatorServer;
use self::client_layer::ClientDeadlineLayer;
use self::front::{Front, LOOK_UP};
use self::server_layer::ServerDeadlineLayer;

pub mod back;
mod body;
pub mod client_layer;
pub mod deadline;
pub mod front;
pub mod server_layer;
pub mod timeout;

/// Generated from `protos/calculator.proto`.
#[allow(missing_docs)]
pub mod calculator {
    tonic::include_proto!("calculator.v1");
}

#[cfg(test)]
mod tests;

/// The longest that the front server works on one call, whatever its caller allows.
pub const LIMIT: Duration = Duration::from_secs(3);

/// Serves the front server on `listener` and the back server on a free port of this machine, for as long as
/// the future is polled.
///
/// Both write to `journal` how much time a call has, and how the work for it ends.
///
/// # Errors
///
/// If a listener fails, or there is no free port.
pub async fn serve(
    listener: TcpListener,
    journal: UnboundedSender<String>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let back_listener = TcpListener::bind("127.0.0.1:0").await?;
    let channel = Channel::from_shared(format!("http://{}", back_listener.local_addr()?))?;
    // Lazy: the connection is made at the first call, by when the back server is being served.
    let back = CalculatorClient::new(ClientDeadlineLayer.layer(channel.connect_lazy()));
    let back_server = Server::builder()
        .layer(ServerDeadlineLayer::default())
        .add_service(CalculatorServer::new(Back {
            journal: journal.clone(),
        }))
        .serve_with_incoming(incoming(back_listener));
    let front_server = Server::builder()
        .layer(
            ServerDeadlineLayer::default()
                .limit(LIMIT)
                .at_least(LOOK_UP),
        )
        .add_service(CalculatorServer::new(Front { back, journal }))
        .serve_with_incoming(incoming(listener));
    tokio::try_join!(back_server, front_server)?;
    Ok(())
}

fn incoming(listener: TcpListener) -> TcpIncoming {
    // tonic sets TCP_NODELAY by itself only where it binds the address itself.
    TcpIncoming::from(listener).with_nodelay(Some(true))
}
