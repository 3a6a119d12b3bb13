//! To come.

/// Messages, stub and server of `grpc/health/v1/health.proto`, as tonic generates them.
#[rustfmt::skip]
#[path = "health/generated.rs"]
pub mod pb;
