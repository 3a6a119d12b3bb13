//! An archive whose calls end with every status code there is, each for a good reason.

use std::time::Duration;

use conform::deadline::{ClientDeadlineLayer, ServerDeadlineLayer};
use conform::error_details::SanitizeDetailsLayer;
use conform::message_limit::{ClientMessageLimitLayer, ServerMessageLimitLayer};
use conform::panic::CatchPanicLayer;
use conform::status::ClientStatusLayer;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::{StdError, http};
use tonic::transport::{self, Endpoint};
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

use self::proto::archive_server::{Archive, ArchiveServer};

pub mod proto;
pub mod reading_room;
pub mod requests;
pub mod retry;

#[cfg(test)]
mod tests;

/// The largest message that either side takes, in bytes: 4 MiB, the default of gRPC's libraries.
pub const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

/// Serves `archive` on `listener`, for as long as the future is polled.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener, archive: impl Archive) -> Result<(), transport::Error> {
    conform::server::builder()
        .layer(CatchPanicLayer::new())
        .layer(ServerDeadlineLayer::new())
        .layer(ServerMessageLimitLayer::new(MESSAGE_LIMIT))
        .add_service(ArchiveServer::new(archive))
        .serve_with_incoming(conform::server::incoming(listener))
        .await
}

/// A channel to `url` whose calls end with the codes that gRPC promises, within five seconds.
///
/// It connects with the first call.
///
/// # Errors
///
/// If `url` is invalid.
pub fn channel(url: String) -> Result<Connection, transport::Error> {
    let channel = Endpoint::new(url)?.connect_lazy();
    let corrected = ServiceBuilder::new()
        .layer(ClientDeadlineLayer::new().default_timeout(Duration::from_secs(5)))
        .layer(SanitizeDetailsLayer::new())
        .layer(ClientMessageLimitLayer::new(MESSAGE_LIMIT))
        .layer(ClientStatusLayer::new())
        .service(channel);
    Ok(BoxCloneSyncService::new(corrected))
}

/// What [`channel`] returns: give it to a stub.
pub type Connection = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, StdError>;
