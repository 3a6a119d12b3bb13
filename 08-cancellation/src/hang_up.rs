//! The caller's half: to hang up, and to be told so.

use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Awaits `call` until `token` is cancelled. Then drops it, which tells the server.
///
/// A stream that a call has returned is a call that goes on: drop the stream too.
///
/// # Errors
///
/// CANCELLED if the token came first, otherwise whatever the call ends with. As in the gRPC guide
/// "Cancellation".
pub async fn unless_cancelled<T>(
    token: &CancellationToken,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match token.run_until_cancelled(call).await {
        Some(result) => result,
        None => Err(Status::cancelled("the caller hung up")),
    }
}
