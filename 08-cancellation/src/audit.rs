//! Blocking work on a thread of its own: it cannot be dropped, so it asks whether it is still wanted.

use tokio::task;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::journal::Entry;

/// Reads `pages` pages on a thread where it may block. Stops within a page when this future is dropped.
///
/// # Errors
///
/// INTERNAL if the work panics.
pub async fn audit(pages: u64, entry: Entry) -> Result<u64, Status> {
    let token = CancellationToken::new();
    // Nothing drops a thread. But this guard is dropped with the future, and cancels the token.
    let _guard = token.clone().drop_guard();
    task::spawn_blocking(move || read(pages, &token, entry))
        .await
        .map_err(|_panic| Status::internal("the audit broke off"))?
}

fn read(pages: u64, token: &CancellationToken, mut entry: Entry) -> Result<u64, Status> {
    let mut checksum = 0;
    for page in 1..=pages {
        if token.is_cancelled() {
            // Nobody will see this. The entry says "stopped".
            return Err(Status::cancelled("nobody waits for the audit"));
        }
        checksum ^= read_page(page);
    }
    entry.becomes("done");
    Ok(checksum)
}

/// About a millisecond of work.
fn read_page(page: u64) -> u64 {
    (1..=50_000).fold(page, |sum: u64, line| {
        sum.rotate_left(5).wrapping_mul(31).wrapping_add(line)
    })
}
