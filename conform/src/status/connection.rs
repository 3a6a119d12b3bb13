//! Tells what happened to the connection from what the peer says of one call.

use std::error::Error;
use std::fmt;
use std::io;
use std::iter;

use h2::Reason;
use tonic::{ConnectError, Status, TimeoutExpired, transport};

/// What the specification calls `error`, if it arose on this side and tonic calls it something
/// else.
pub(super) fn verdict(error: &(dyn Error + 'static)) -> Option<Status> {
    let mut in_transport = false;
    for error in sources(error) {
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
        return error.is_canceled() || error.is_timeout() || is_abandoned(error);
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return error.is_io() || error.is_go_away() && ends_all(error);
    }
    error.is::<io::Error>()
}

/// Whether the task of the connection ended under the call, as it may in the moment of a GOAWAY.
/// Nobody knows whether the call was sent. hyper has no method that tells, only its words.
fn is_abandoned(error: &hyper::Error) -> bool {
    error.is_user() && error.to_string() == "dispatch task is gone"
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

/// Whether the call that failed with `error` can't have reached a handler: there was no connection,
/// it closed before it took the call, or the server has refused the call unprocessed
/// ([RFC 9113], section 8.7).
///
/// Such a call may be sent again, whatever it does. gRPC's other clients do that by themselves, which
/// is called [transparent retry]. `false` doesn't mean that it was carried out: nobody knows.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use conform::status::never_sent;
/// use greeter::Name;
/// use greeter::greeter_client::GreeterClient;
/// use tonic::transport::Endpoint;
///
/// let nobody = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
/// let status = GreeterClient::new(nobody).greet(Name::default()).await.unwrap_err();
/// assert!(never_sent(&status));
/// # }
/// ```
///
/// [RFC 9113]: https://www.rfc-editor.org/rfc/rfc9113#section-8.7
/// [transparent retry]: https://grpc.io/docs/guides/retry/
pub fn never_sent(error: &(dyn Error + 'static)) -> bool {
    sources(error).any(|error| error.is::<ConnectError>() || never_left(error) || is_refused(error))
}

/// Marks an error, as one of its sources: the connection was gone before the call was put on it, so
/// that nothing of the call has left this side.
///
/// For a layer that chooses connections. [`never_sent`] knows it, and the module `retry` makes such
/// a call again.
///
/// ```
/// use std::sync::Arc;
///
/// use conform::status::{NotSent, never_sent};
/// use tonic::Status;
///
/// let mut status = Status::unavailable("the connection closed");
/// status.set_source(Arc::new(NotSent));
/// assert!(never_sent(&status));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotSent;

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was gone before the call was sent")
    }
}

impl Error for NotSent {}

/// How far a call came that failed with an error, though it may not have found a connection.
#[cfg(feature = "retry")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It never left this side.
    NeverLeft,
    /// The server refused it unprocessed.
    Refused,
    /// Nobody knows, or there was no connection.
    Unknown,
}

#[cfg(feature = "retry")]
pub(crate) fn reach(error: &(dyn Error + 'static)) -> Reach {
    if sources(error).any(never_left) {
        Reach::NeverLeft
    } else if sources(error).any(is_refused) {
        Reach::Refused
    } else {
        Reach::Unknown
    }
}

fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}

fn never_left(error: &(dyn Error + 'static)) -> bool {
    let hyper = error.downcast_ref::<hyper::Error>();
    error.is::<NotSent>() || hyper.is_some_and(hyper::Error::is_canceled)
}

fn is_refused(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<h2::Error>()
        .is_some_and(is_unprocessed)
}

/// A GOAWAY without a fault only fails the calls after the last one that it names.
fn is_unprocessed(error: &h2::Error) -> bool {
    let reason = error.reason();
    error.is_remote()
        && (error.is_reset() && reason == Some(Reason::REFUSED_STREAM)
            || error.is_go_away() && reason == Some(Reason::NO_ERROR))
}
