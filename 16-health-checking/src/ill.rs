//! Exercise 2: which of a server's services are ill?

use tonic::Status;
use tonic::transport::Channel;

/// The names of all services that aren't SERVING, in alphabetical order.
///
/// # Errors
///
/// Whatever the server answers; but one that has no List is asked for its health as a whole.
pub async fn ill(_channel: Channel) -> Result<Vec<String>, Status> {
    Err(Status::unimplemented("exercise 2"))
}
