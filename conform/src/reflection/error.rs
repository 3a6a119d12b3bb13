//! Why a server's types couldn't be had, one sentence each.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tonic::Status;

use crate::status::escape;

pub(super) const UNSUPPORTED: &str = "the server has no reflection, or doesn't offer it";

/// Why a server's types couldn't be had.
///
/// What a server has sent is written with its control characters escaped.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReflectionError {
    /// The server has neither v1 nor v1alpha: its status is UNIMPLEMENTED.
    Unsupported(Status),
    /// The call failed: this is its status.
    Call(Status),
    /// The server doesn't know this name.
    NotFound(String),
    /// It sends more bytes than [`Limits::bytes`](super::Limits::bytes).
    TooManyBytes(usize),
    /// What it sends would take more memory than [`Limits::memory`](super::Limits::memory).
    TooMuchMemory(usize),
    /// It has more files or services than [`Limits::files`](super::Limits::files).
    TooManyFiles(usize),
    /// Its imports go deeper than [`Limits::depth`](super::Limits::depth).
    TooDeep(usize),
    /// It took longer than [`Limits::time`](super::Limits::time).
    TooLong(Duration),
    /// A file imports one that the server doesn't have.
    MissingFile {
        /// The file that isn't there.
        file: String,
        /// The file that imports it.
        importer: String,
    },
    /// These files import each other in a circle.
    Cycle(Vec<String>),
    /// What the server sent makes no sense, for this reason.
    Invalid(String),
}

impl fmt::Display for ReflectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: &usize| *bytes as f64 / (1024.0 * 1024.0);
        match self {
            Self::Unsupported(_) => write!(f, "{UNSUPPORTED}"),
            Self::Call(status) if status.message().is_empty() => {
                write!(f, "the server refused: {:?}", status.code())
            }
            Self::Call(status) => {
                let message = escape(status.message());
                write!(f, "the server refused: {:?}: {message}", status.code())
            }
            Self::NotFound(name) => write!(f, "the server knows no `{}`", escape(name)),
            Self::TooManyBytes(limit) => {
                let limit = mebibytes(limit);
                write!(f, "the server's description is larger than {limit} MiB")
            }
            Self::TooMuchMemory(limit) => {
                let limit = mebibytes(limit);
                write!(
                    f,
                    "the server's description needs more than {limit} MiB of memory"
                )
            }
            Self::TooManyFiles(limit) => {
                write!(
                    f,
                    "the server's description has more than {limit} files or services"
                )
            }
            Self::TooDeep(limit) => {
                write!(
                    f,
                    "the server's files import each other more than {limit} deep"
                )
            }
            Self::TooLong(limit) => {
                let limit = limit.as_secs_f64();
                write!(
                    f,
                    "the server did not describe itself within {limit} seconds"
                )
            }
            Self::MissingFile { file, importer } => {
                let (file, importer) = (escape(file), escape(importer));
                write!(
                    f,
                    "the server doesn't have `{file}`, which its `{importer}` imports"
                )
            }
            Self::Cycle(files) => {
                write!(f, "the server's files import each other in a circle: ")?;
                for file in files.iter().take(5) {
                    write!(f, "`{}`, ", escape(file))?;
                }
                match files.len() {
                    0..=5 => write!(f, "and again the first"),
                    more => write!(f, "and {} more", more - 5),
                }
            }
            Self::Invalid(reason) => {
                write!(f, "the server's description is invalid: {}", escape(reason))
            }
        }
    }
}

impl Error for ReflectionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Call(status) | Self::Unsupported(status) => Some(status),
            _ => None,
        }
    }
}
