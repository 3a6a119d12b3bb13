//! Shows what a gRPC call looks like on the wire: a proxy that decodes every frame, and can inject faults.

mod alarm;
mod decoder;
mod event;
mod forward;
mod frame;
mod grpc;
mod headers;
mod json;
mod labels;
mod ladder;
mod message;
mod opening;
pub mod options;
mod rules;
mod streams;
mod tap;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod text;

pub use self::decoder::Decoder;
pub use self::event::{Block, Call, Direction, End, Event, Frame, Payload, Role};
pub use self::frame::FrameType;
pub use self::headers::Field;
pub use self::json::json;
pub use self::ladder::{Ladder, Show};
pub use self::message::Message;
pub use self::tap::{After, Events, Faults, Seen, Tap};

#[cfg(test)]
mod tests;
