//! How much may lie unread: the two windows, and a client that sets them.

use std::time::Duration;

use conform::deadline::{ClientDeadline, ClientDeadlineLayer};
use conform::error_details::SanitizeDetails;
use tonic::transport::{self, Channel, Endpoint};
use tower::Layer;

use crate::proto::files_client::FilesClient;

/// How many bytes of one call may lie unread.
pub const WINDOW: u32 = 1024 * 1024;

/// How many bytes may lie unread on one connection, in all of its calls together.
pub const CONNECTION_WINDOW: u32 = 4 * WINDOW;

/// A client whose calls have a deadline of 20 seconds each, and that bears with malformed errors.
pub type Client = FilesClient<ClientDeadline<SanitizeDetails<Channel>>>;

/// Connects to `url`, with these windows for what the client reads.
pub async fn connect(url: String) -> Result<Client, transport::Error> {
    let endpoint = Endpoint::from_shared(url)?
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let deadlines = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(20));
    let channel = SanitizeDetails::new(endpoint.connect().await?);
    Ok(FilesClient::new(deadlines.layer(channel)))
}
