//! The rules of gRPC that a call can break. PROTOCOL-HTTP2 of gRPC, and its core concepts.

use std::fmt;

/// A rule of gRPC that a frame breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// DATA that is not gRPC: the first byte of a prefix is 0 or 1.
    NoMessage(u8),
    /// The stream ends within a message.
    UnfinishedMessage,
    /// A server says the status in headers, and goes on.
    StatusBeforeEnd,
    /// A server ends the stream with DATA: there is no status.
    EndWithoutTrailers,
    /// The last headers of a server hold no status.
    TrailersWithoutStatus,
    /// `OK` on a method with one reply, without the reply.
    OkWithoutReply,
    /// So many replies of a method with one.
    Replies(u64),
    /// So many requests to a method that takes one.
    Requests(u64),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMessage(byte) => write!(
                f,
                "no gRPC message begins with the byte {byte:#04x}; the rest is not decoded"
            ),
            Self::UnfinishedMessage => f.write_str("the stream ends inside of a message"),
            Self::StatusBeforeEnd => {
                f.write_str("grpc-status in headers that don't end the stream")
            }
            Self::EndWithoutTrailers => f.write_str("the response ends without trailers"),
            Self::TrailersWithoutStatus => f.write_str("trailers without grpc-status"),
            Self::OkWithoutReply => f.write_str("OK without a message, where the method has one"),
            Self::Replies(count) => {
                write!(
                    f,
                    "{count} messages from the server, where the method has one"
                )
            }
            Self::Requests(count) => {
                write!(
                    f,
                    "{count} messages from the client, where the method takes one"
                )
            }
        }
    }
}
