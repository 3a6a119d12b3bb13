//! Work stops when its call is cancelled, and can tell a cancelled call from a finished one.

use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

mod aborted_upload;
mod token;

pub use self::aborted_upload::{DetectAbortedUpload, DetectAbortedUploadLayer};
pub use self::token::{Cancellation, CancellationLayer, ResponseFuture};

#[cfg(test)]
mod tests;

/// The token of the call that `request` belongs to, cancelled when the call is over.
///
/// `None` if there is no [`CancellationLayer`].
pub fn token<T>(request: &Request<T>) -> Option<CancellationToken> {
    let token: Option<&token::CallToken> = request.extensions().get();
    token.map(|token| token.0.clone())
}

/// Awaits `call` until `token` is cancelled, then drops it, which cancels it on the server too.
///
/// A stream that a call has returned is a call that goes on: drop the stream too.
///
/// # Errors
///
/// CANCELLED if the token came first, otherwise whatever the call ends with.
pub async fn unless_cancelled<T>(
    token: &CancellationToken,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match token.run_until_cancelled(call).await {
        Some(result) => result,
        None => Err(Status::cancelled("the caller cancelled the call")),
    }
}
