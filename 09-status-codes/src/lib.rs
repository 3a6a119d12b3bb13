//! A server that ends calls with every code there is, and layers that correct the codes that tonic gets wrong.

use deadlines::client_layer::ClientDeadlineLayer;
use deadlines::server_layer::ServerDeadlineLayer;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic::codegen::http::{Request, Response};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{self, Endpoint, Server};
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

use self::archive::archive_server::ArchiveServer;
use self::client_layer::ClientCorrectionLayer;
use self::reading_room::ReadingRoom;
use self::server_layer::ServerCorrectionLayer;

pub mod broken;
pub mod client_layer;
pub mod http_status;
mod lost;
pub mod provoke;
pub mod reading_room;
pub mod retry;
pub mod server_layer;
mod size;
pub mod table;

/// Generated from `protos/archive.proto`.
#[allow(missing_docs)]
pub mod archive {
    tonic::include_proto!("archive.v1");
}

#[cfg(test)]
mod tests;

/// The largest message that either side takes, in bytes: 4 MiB, as gRPC's libraries have it by default.
pub const LIMIT: usize = 4 * 1024 * 1024;

/// Serves the archive on `listener`, for as long as the future is polled.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener) -> Result<(), transport::Error> {
    // tonic sets TCP_NODELAY by itself only where it binds the address itself.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .layer(ServerDeadlineLayer::default())
        .layer(ServerCorrectionLayer::new(LIMIT))
        .add_service(ArchiveServer::new(ReadingRoom::default()))
        .serve_with_incoming(incoming)
        .await
}

/// A channel, with layers on it or without. Give it to a stub.
pub type Connection = BoxCloneSyncService<Request<Body>, Response<Body>, StdError>;

/// tonic's channel as it is.
pub fn plain(endpoint: &Endpoint) -> Connection {
    let channel = ServiceBuilder::new()
        .map_err(StdError::from)
        .service(endpoint.connect_lazy());
    BoxCloneSyncService::new(channel)
}

/// tonic's channel with lesson 05's deadlines and this lesson's corrections.
pub fn corrected(endpoint: &Endpoint) -> Connection {
    let channel = ServiceBuilder::new()
        .layer(ClientDeadlineLayer)
        .layer(ClientCorrectionLayer::new(LIMIT))
        .service(endpoint.connect_lazy());
    BoxCloneSyncService::new(channel)
}
