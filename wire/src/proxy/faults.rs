//! What can go wrong on purpose.

use std::time::Duration;

/// What a tap does besides passing on. By default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// By how much each byte is late, in each direction.
    ///
    /// At most 8 MiB are on their way in one direction; after that the sender has to wait.
    pub delay: Duration,
    /// When each connection is reset.
    pub reset_after: Option<After>,
    /// When each connection falls silent, though it stays open.
    pub stall_after: Option<After>,
}

/// A point in the life of a connection. Both directions count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// This many bytes.
    Bytes(u64),
    /// The last byte of the frame in which this many-th message ends. Where a frame holds the ends
    /// of several messages, all of them pass.
    Messages(u64),
}

/// What is told to all connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Control {
    pub delay: Duration,
    pub stalled: bool,
    pub resumes: u64,
    pub resets: u64,
}
