//! The rules of HTTP/2 that a frame can break. RFC 9113.

use std::fmt;

use super::frame::FrameType;
use crate::text::safe;

/// A rule of HTTP/2 that a frame breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// Longer than the other side allows.
    TooLong(u32),
    /// It belongs on a stream. Section 6.
    WithoutStream(FrameType),
    /// It belongs to the connection as a whole. Section 6.
    OnStream(FrameType),
    /// It has another length than its type asks for. Section 6.
    Length(FrameType),
    /// An acknowledgement of SETTINGS with something in it. Section 6.5.
    AckNotEmpty,
    /// There is no room for what its flags announce. Section 6.2.
    TooShort,
    /// More padding than there is frame. Section 6.1.
    PaddingTooLong,
    /// A frame between two parts of a block of headers. Section 6.10.
    Interrupts,
    /// A CONTINUATION without a block of headers before it. Section 6.10.
    ContinuesNothing,
    /// Headers that can't be decompressed. RFC 7541.
    Hpack(String),
    /// A header name with upper-case letters. Section 8.2.1.
    UpperCaseName(String),
    /// WINDOW_UPDATE by 0. Section 6.9.
    EmptyWindowUpdate,
    /// DATA or headers on a stream that this side has ended. Section 5.1.
    AfterEnd(&'static str),
    /// A second RST_STREAM. Section 5.4.2.
    AfterReset(&'static str),
    /// RST_STREAM on a stream that has not begun. Section 6.4.
    NeverBegun,
    /// Trailers that don't end the stream. Section 8.1.
    TrailersWithoutEnd,
    /// A stream begun by a client with an even number. Section 5.1.1.
    EvenStream,
    /// A new stream with a number that is not higher than the last. Section 5.1.1.
    StreamNumber,
    /// PUSH_PROMISE by a client. Section 8.4.
    ClientPushes,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(limit) => write!(f, "longer than the {limit} bytes that are allowed"),
            Self::WithoutStream(kind) => write!(f, "{kind} without a stream"),
            Self::OnStream(kind) => write!(f, "{kind} is for the connection, not for a stream"),
            Self::Length(kind) => f.write_str(match kind {
                FrameType::Priority => "PRIORITY has five bytes",
                FrameType::RstStream => "RST_STREAM has four bytes",
                FrameType::Settings => "each setting has six bytes",
                FrameType::Ping => "PING has eight bytes",
                FrameType::GoAway => "GOAWAY has at least eight bytes",
                FrameType::WindowUpdate => "WINDOW_UPDATE has four bytes",
                _ => "it has the wrong length",
            }),
            Self::AckNotEmpty => f.write_str("an acknowledgement of SETTINGS is empty"),
            Self::TooShort => f.write_str("too short for its flags"),
            Self::PaddingTooLong => f.write_str("its padding is longer than the frame"),
            Self::Interrupts => f.write_str("comes between two parts of a block of headers"),
            Self::ContinuesNothing => f.write_str("continues no block of headers"),
            Self::Hpack(error) => write!(f, "HPACK: {error}"),
            Self::UpperCaseName(name) => {
                write!(f, "header names are lower case, not {}", safe(name))
            }
            Self::EmptyWindowUpdate => f.write_str("a window that grows by nothing"),
            Self::AfterEnd(sender) => write!(f, "the {sender} has ended this stream before"),
            Self::AfterReset(sender) => write!(f, "the {sender} has reset this stream before"),
            Self::NeverBegun => f.write_str("the stream was never begun"),
            Self::TrailersWithoutEnd => f.write_str("trailers that don't end the stream"),
            Self::EvenStream => f.write_str("a client's streams have odd numbers"),
            Self::StreamNumber => f.write_str("a new stream needs a higher number"),
            Self::ClientPushes => f.write_str("only a server may promise a push"),
        }
    }
}
