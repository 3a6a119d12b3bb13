//! How much may lie unread, and what follows from it.

use tonic::codegen::http::uri::InvalidUri;
use tonic::transport::{Channel, Endpoint};

use crate::CHUNK;

/// How many bytes of one call may lie unread, at either end.
pub const WINDOW: u32 = 1024 * 1024;

/// How many bytes may lie unread on one connection, for all of its calls together.
pub const CONNECTION_WINDOW: u32 = 4 * WINDOW;

/// How many bytes a server hands over, at most, that its client has not read: a window, and four chunks on
/// their way into the window and out of it.
pub const AHEAD: u64 = WINDOW as u64 + 4 * CHUNK as u64;

/// Where a client finds the archive. It sets the windows for what the client reads.
///
/// # Errors
///
/// If `url` is none.
pub fn endpoint(url: &str) -> Result<Endpoint, InvalidUri> {
    Ok(Channel::from_shared(url.to_owned())?
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW))
}
