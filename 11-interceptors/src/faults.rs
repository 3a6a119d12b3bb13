//! Lets every so many calls fail on purpose: an interceptor is enough for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tonic::{Request, Status};

/// An interceptor that refuses every `n`-th call with UNAVAILABLE. With `n` zero it refuses none.
///
/// Clones count together: tonic clones interceptors and layers, on a server for each connection.
pub fn every(n: u64) -> impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone + Send {
    let calls = Arc::new(AtomicU64::new(0));
    move |request| {
        let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
        if call.is_multiple_of(n) {
            return Err(Status::unavailable("a fault, made on purpose"));
        }
        Ok(request)
    }
}
