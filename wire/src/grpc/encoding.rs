//! How messages are compressed, and how they are unpacked for view.

use std::fmt;
use std::io::Read;

use bytes::Bytes;
use flate2::read::{GzDecoder, ZlibDecoder};

use super::messages::MESSAGE_BOUND;
use crate::text::safe;

/// How much of the name of an encoding is kept.
const NAME_KEPT: usize = 16;

/// What `grpc-encoding` says of the messages in one direction of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// Nothing was said.
    #[default]
    Identity,
    /// `gzip`.
    Gzip,
    /// `deflate`, which is zlib's format.
    Deflate,
    /// Another one, by its name.
    Other(String),
}

impl Encoding {
    pub(crate) fn of(header: Option<&[u8]>) -> Self {
        match header {
            None | Some(b"identity") => Self::Identity,
            Some(b"gzip") => Self::Gzip,
            Some(b"deflate") => Self::Deflate,
            Some(other) => {
                let kept = &other[..other.len().min(NAME_KEPT)];
                Self::Other(String::from_utf8_lossy(kept).into_owned())
            }
        }
    }

    /// Unpacks a message, or says why not.
    pub(crate) fn unpack(&self, packed: &[u8]) -> Result<Bytes, String> {
        let mut unpacked = Vec::new();
        // One byte more, to notice what is longer.
        let most = MESSAGE_BOUND as u64 + 1;
        let read = match self {
            Self::Gzip => GzDecoder::new(packed).take(most).read_to_end(&mut unpacked),
            Self::Deflate => ZlibDecoder::new(packed)
                .take(most)
                .read_to_end(&mut unpacked),
            Self::Identity => return Err("compressed, without a grpc-encoding".to_owned()),
            Self::Other(_) => return Err(format!("compressed with {self}")),
        };
        match read {
            Err(_) => Err(format!("compressed, and not {self}")),
            Ok(length) if length > MESSAGE_BOUND => {
                Err("compressed, and too long to be shown".to_owned())
            }
            Ok(_) => Ok(unpacked.into()),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity => f.write_str("identity"),
            Self::Gzip => f.write_str("gzip"),
            Self::Deflate => f.write_str("deflate"),
            Self::Other(name) => f.write_str(&safe(name)),
        }
    }
}
