//! Shows what a gRPC call looks like on the wire: a proxy that decodes every frame, and can inject
//! faults.
//!
//! A test starts a [`Tap`] in front of its server and asserts on what really went over the wire.
//! The modules stand on each other in this order: `http2`, `grpc`, `decoder`, and on it `proxy` and
//! `view`.

mod alarm;
mod decoder;
mod grpc;
mod http2;
pub mod options;
mod proxy;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod text;
mod view;

pub use self::decoder::{
    Call, Decoder, Direction, End, Event, EventKind, Frame, Headers, Payload, Role, Violation,
};
pub use self::grpc::{Descriptors, Encoding, Message, Violation as GrpcViolation};
pub use self::http2::{ErrorCode, Field, FrameType, Setting, Violation as Http2Violation};
pub use self::proxy::{After, Builder, Events, Faults, Recording, Saved, Seen, Tap, open};
pub use self::view::{Json, Ladder, Only, Printer, Show, json};

#[cfg(test)]
mod tests;
