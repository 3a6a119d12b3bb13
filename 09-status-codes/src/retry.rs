//! What a client can do about a call that has failed.

use tonic::{Code, Status};

/// What to do after `code`, if nothing more is known of the method. See `google/rpc/code.proto`.
pub fn advice(code: Code) -> &'static str {
    match code {
        Code::Ok => "",
        // Nothing is wrong with the call: send the same one again, after a pause.
        Code::Unavailable => "try again",
        // Something has changed under the caller: read anew, decide anew.
        Code::Aborted => "start over",
        _ => "give up",
    }
}

/// Exercise 2: makes `call` until it succeeds, `attempts` times at most, while that can help.
///
/// # Errors
///
/// The error of the last attempt.
pub async fn ask_again<T>(
    attempts: u32,
    mut call: impl AsyncFnMut() -> Result<T, Status>,
) -> Result<T, Status> {
    let _ = attempts;
    call().await
}
