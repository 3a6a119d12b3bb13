//! What a channel's layers have to tell each other of one call, in a single extension of its request.
//!
//! A layer that stands alone finds what its users put into the extensions themselves, and so does each
//! layer of a channel: a value there counts more than what is said here. An extension is an
//! allocation, and so is the copy of each that a retry keeps.

#[cfg(feature = "retry")]
use std::sync::Arc;

#[cfg(feature = "channel")]
use tokio::time::Instant;
use tonic::codegen::http::Extensions;

#[cfg(feature = "deadline")]
use crate::deadline::Deadline;
#[cfg(feature = "hedging")]
use crate::hedging::HedgingPolicy;
#[cfg(feature = "message_limit")]
use crate::message_limit::CallLimits;
#[cfg(feature = "retry")]
use crate::retry::{RetryPolicy, Throttle};

/// In the extensions of each request on a [`Channel`](crate::channel::Channel).
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "channel"), allow(dead_code))]
pub(crate) struct PerCall {
    /// When a call began that has no config yet.
    #[cfg(feature = "channel")]
    pub(crate) unsettled: Option<Instant>,
    /// The deadline's layer says this; all else the config.
    #[cfg(feature = "deadline")]
    pub(crate) deadline: Option<Deadline>,
    #[cfg(feature = "channel")]
    pub(crate) waits_for_ready: bool,
    #[cfg(feature = "message_limit")]
    pub(crate) limits: CallLimits,
    #[cfg(feature = "retry")]
    pub(crate) retry: Option<Arc<RetryPolicy>>,
    #[cfg(feature = "hedging")]
    pub(crate) hedging: Option<Arc<HedgingPolicy>>,
    #[cfg(feature = "retry")]
    pub(crate) throttle: Option<Throttle>,
}

impl PerCall {
    /// Of a call on a channel; `None` if a layer stands alone.
    #[cfg(any(feature = "message_limit", feature = "retry"))]
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// The deadline that the layer above has set.
    #[cfg(feature = "retry")]
    pub(crate) fn deadline(extensions: &Extensions) -> Option<Deadline> {
        let told = Self::of(extensions).and_then(|call| call.deadline);
        told.or_else(|| extensions.get().copied())
    }

    #[cfg(feature = "deadline")]
    pub(crate) fn set_deadline(extensions: &mut Extensions, deadline: Deadline) {
        match extensions.get_mut::<Self>() {
            Some(call) => call.deadline = Some(deadline),
            None => drop(extensions.insert(deadline)),
        }
    }
}
