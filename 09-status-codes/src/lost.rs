//! Tells a lost connection from a call that the peer has ended.

use std::error::Error;
use std::io;
use std::iter;

use tonic::Status;

/// UNAVAILABLE, if `error` means that the connection is gone, or will take no more calls.
///
/// See PROTOCOL-HTTP2, "Connection failure" and "GOAWAY Frame". A reset is none of these: its code is the
/// peer's verdict on one call, and stays.
pub(crate) fn lost(error: &(dyn Error + 'static)) -> Option<Status> {
    let cause =
        iter::successors(Some(error), |&error| error.source()).find(|&error| is_loss(error))?;
    Some(Status::unavailable(format!("connection lost: {cause}")))
}

fn is_loss(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // The connection closed before it took the call. A call that we cancel ourselves has no result.
        return error.is_canceled();
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return error.is_io() || error.is_go_away() && error.is_remote();
    }
    error.is::<io::Error>()
}
