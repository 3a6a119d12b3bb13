//! A server that one stranger can't use up: limits that tonic leaves open.

use tokio::net::TcpListener;
use tonic::transport::Server;

mod connection;
mod first_call;
mod incoming;

pub use self::connection::Connection;
pub use self::incoming::{FIRST_REQUEST_TIMEOUT, Incoming, MAX_CONNECTIONS};

#[cfg(test)]
mod tests;

/// How many calls may be open at once on one connection: 200, hyper's own default.
///
/// RFC 9113, section 6.5.2, recommends no fewer than 100.
pub const MAX_CONCURRENT_STREAMS: u32 = 200;

/// How many streams that a peer's faults made the server reset are remembered: 1024, hyper's own
/// default. Past it the connection is closed.
pub const MAX_LOCAL_ERROR_RESET_STREAMS: usize = 1024;

/// How many streams a peer may open and reset before the server has looked at them: 20, h2's own
/// default. Past it the connection is closed (CVE-2023-44487, "rapid reset").
pub const MAX_PENDING_ACCEPT_RESET_STREAMS: usize = 20;

/// The bytes that the headers of one call may have, counted as RFC 9113, section 6.5.2, counts them:
/// 16 KiB, hyper's own default.
pub const MAX_HEADER_LIST_SIZE: u32 = 16 * 1024;

/// tonic's [`Server::builder`] with limits. Each may be set again.
pub fn builder() -> Server {
    Server::builder()
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .http2_max_local_error_reset_streams(Some(MAX_LOCAL_ERROR_RESET_STREAMS))
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_ACCEPT_RESET_STREAMS))
        .http2_max_header_list_size(MAX_HEADER_LIST_SIZE)
}

/// The connections to `listener`, for [`serve_with_incoming`](tonic::transport::server::Router).
pub fn incoming(listener: TcpListener) -> Incoming {
    Incoming::new(listener)
}
