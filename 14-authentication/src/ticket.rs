//! Exercise 2: credentials of one's own.

use conform::credentials::{CallCredentials, CallInfo};
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Puts the ticket into `x-custom-auth-ticket` of each call.
pub struct Ticket(
    /// The ticket.
    pub String,
);

#[tonic::async_trait]
impl CallCredentials for Ticket {
    async fn metadata(&self, _: &CallInfo) -> Result<MetadataMap, Status> {
        Ok(MetadataMap::new())
    }
}
