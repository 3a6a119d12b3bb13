//! Tells a lost connection from a call that the peer has ended.

use std::error::Error;
use std::io;
use std::iter;

use tonic::{ConnectError, Status, transport};

/// UNAVAILABLE, if `error` means that the connection is gone, or will take no more calls.
///
/// See PROTOCOL-HTTP2, "Connection failure" and "GOAWAY Frame". A reset isn't one of these: its code is the
/// peer's verdict on one call, and stays.
pub(super) fn lost(error: &(dyn Error + 'static)) -> Option<Status> {
    let mut in_transport = false;
    for error in iter::successors(Some(error), |&error| error.source()) {
        in_transport |= is_of_transport(error);
        if is_loss(error, in_transport) {
            return Some(Status::unavailable(format!("connection lost: {error}")));
        }
    }
    None
}

fn is_of_transport(error: &(dyn Error + 'static)) -> bool {
    error.is::<transport::Error>()
        || error.is::<ConnectError>()
        || error.is::<hyper::Error>()
        || error.is::<h2::Error>()
}

fn is_loss(error: &(dyn Error + 'static), in_transport: bool) -> bool {
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // The connection closed before it took the call. A call that we cancel ourselves has no result.
        return error.is_canceled();
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return error.is_io() || error.is_go_away() && error.is_remote();
    }
    // An error of another layer, "disk full" for example, has no part of the transport above it.
    in_transport && error.is::<io::Error>()
}
