//! Tells what happened to the connection from what the peer says of one call.

use std::error::Error;
use std::io;
use std::iter;

use h2::Reason;
use tonic::{ConnectError, Status, TimeoutExpired, transport};

/// What the specification calls `error`, if it arose on this side and tonic calls it something
/// else.
pub(super) fn verdict(error: &(dyn Error + 'static)) -> Option<Status> {
    let mut in_transport = false;
    for error in iter::successors(Some(error), |&error| error.source()) {
        if error.is::<TimeoutExpired>() {
            return Some(Status::deadline_exceeded(
                "the endpoint's timeout has passed",
            ));
        }
        in_transport |= is_transport(error);
        if in_transport && is_lost_connection(error) {
            return Some(Status::unavailable(format!("connection lost: {error}")));
        }
    }
    None
}

/// An io error below one of these is the connection's. Another layer's, "disk full" for example,
/// is not.
fn is_transport(error: &(dyn Error + 'static)) -> bool {
    error.is::<transport::Error>()
        || error.is::<ConnectError>()
        || error.is::<hyper::Error>()
        || error.is::<h2::Error>()
}

fn is_lost_connection(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // It closed before it took the call. A call that is cancelled on this side has no result.
        return error.is_canceled() || error.is_timeout();
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return error.is_io() || error.is_go_away() && ends_all(error);
    }
    error.is::<io::Error>()
}

/// Whether a GOAWAY says nothing of this one call.
///
/// The peer sends one when it shuts down, or has enough of the whole connection: the call may be
/// sent again. This side sends one when it can't read what the peer sends, which may not be
/// HTTP/2 at all. Two reasons have a code of their own, which tonic gives them: too much of
/// something (RESOURCE_EXHAUSTED), and flow control that is violated (INTERNAL: statuscodes.md).
fn ends_all(error: &h2::Error) -> bool {
    let own = [Reason::ENHANCE_YOUR_CALM, Reason::FLOW_CONTROL_ERROR];
    error.is_remote() || !error.reason().is_some_and(|reason| own.contains(&reason))
}
