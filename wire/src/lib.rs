//! Shows what a gRPC call looks like on the wire: a proxy that decodes every frame, and can inject faults.
//!
//! A test starts a [`Tap`] in front of its server, lets the client call the tap, and asserts on what really
//! went over the wire:
//!
//! ```
//! # mod service { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/service.rs")); }
//! # use service::{Client, HelloRequest};
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let server = service::start().await;
//! use wire::testing::outline;
//!
//! let tap = wire::Tap::start(server).await.unwrap();
//! let mut greeter = Client::connect(tap.url()).await.unwrap();
//! greeter.say_hello(HelloRequest { name: "Ann".to_owned() }).await.unwrap();
//!
//! assert_eq!(
//!     outline(&tap),
//!     [
//!         "client: Request",
//!         r#"client: { name: "Ann" }"#,
//!         "client: END_STREAM",
//!         "server: Response",
//!         r#"server: { message: "Hello, Ann!" }"#,
//!         "server: Trailers",
//!         "server: END_STREAM",
//!     ]
//! );
//! # });
//! ```
//!
//! * [`Tap::reset`], [`Tap::stall`], [`Tap::delay`] and [`Faults`] make connections fail on purpose.
//! * [`Decoder`] alone turns bytes into [`Event`]s, without input or output, and in bounded memory.
//! * [`Ladder`] and [`Json`] print events; [`open`] reads a recording that [`Builder::save`] has written.
//! * `testing`, behind the feature of the same name, holds what tests of services share.
//!
//! The modules stand on each other in this order: `http2`, `grpc`, `decoder`, and on it `proxy` and `view`.

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
    Call, Decoder, Direction, End, Event, EventKind, Frame, Headers, Payload, Role, TlsRecord,
    Violation,
};
pub use self::grpc::{Descriptors, Encoding, Message, Violation as GrpcViolation};
pub use self::http2::{
    ClientHello, ErrorCode, Field, FrameType, RecordType, Setting, Violation as Http2Violation,
};
#[cfg(feature = "tls")]
pub use self::proxy::TlsFiles;
pub use self::proxy::{After, Builder, Events, Faults, Recording, Saved, Seen, Tap, open};
pub use self::view::{Json, Ladder, Only, Printer, Show, json};

#[cfg(test)]
mod tests;
