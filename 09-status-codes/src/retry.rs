//! Which codes tell a client that asking again may help.

use std::fmt;

use tonic::Code;

/// What a client may do with a call that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The call has succeeded.
    NotNeeded,
    /// Send the same call again, after a pause. If it may have been carried out before, only a call that does no
    /// harm twice.
    AsItIs,
    /// Begin again what the call is a part of: read anew, then decide anew.
    HigherUp,
    /// The same call fails again, or nobody knows what it has done.
    No,
}

/// What `code` allows, when nothing more is known of the method. See `google/rpc/code.proto`.
pub fn advice(code: Code) -> Retry {
    match code {
        Code::Ok => Retry::NotNeeded,
        Code::Unavailable => Retry::AsItIs,
        Code::Aborted => Retry::HigherUp,
        _ => Retry::No,
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::NotNeeded => "",
            Self::AsItIs => "as it is",
            Self::HigherUp => "higher up",
            Self::No => "no",
        })
    }
}
