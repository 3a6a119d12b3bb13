//! Exercise 2: lets calls fail on purpose, to see what a program makes of it.

use tonic::{Request, Status};

/// An interceptor that refuses every `n`-th request with UNAVAILABLE; none if `n` is 0.
pub fn every(n: u64) -> impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone {
    let _ = n;
    Ok
}
