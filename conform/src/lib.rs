//! What gRPC's guides promise and tonic does not keep, as tower layers.
//!
//! One module a promise, one feature a module; none is on by default.

#![deny(missing_docs)]

#[cfg(feature = "cancel")]
pub mod cancel;
#[cfg(feature = "connectivity")]
pub mod connectivity;
#[cfg(feature = "deadline")]
pub mod deadline;
#[cfg(feature = "error_details")]
pub mod error_details;
#[cfg(feature = "framing")]
pub mod framing;
#[cfg(feature = "message_limit")]
pub mod message_limit;
#[cfg(feature = "metadata")]
pub mod metadata;
#[cfg(feature = "panic")]
pub mod panic;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "status")]
pub mod status;
#[cfg(feature = "stream")]
pub mod stream;

#[cfg(test)]
mod testing;
