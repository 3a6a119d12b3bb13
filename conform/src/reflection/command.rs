//! What a tool was asked for on its command line.

use std::ffi::OsString;
use std::io::{Cursor, Read, stdin};
use std::path::PathBuf;
use std::time::Duration;
use std::{error, fmt};

use lexopt::prelude::*;
use tonic::codegen::http::Uri;
use tonic::metadata::MetadataMap;

use super::add_metadata;
use crate::status::explain;

/// The options of a [`Command`], for a help text.
pub const OPTIONS: &str = "\
  -H 'name: value'      metadata of each call; of a name in -bin, the value is base64. A token
                        isn't sent to another machine over http://
  --deadline SECONDS    of a call, 30 unless told
  -v                    headers and trailers, on stderr
  --cacert FILE         for https://: the certificates of those whom to trust, in PEM
  --cert FILE           for https://: the certificate to show, in PEM
  --key FILE            and the private key to it
  --authority NAME      what the server is called, if not as in the URL";

/// Metadata that lets others pass for its sender.
const SECRET: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// The command line of a tool like grpcurl: [`OPTIONS`], a URL, and what is asked of the server
/// there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Command {
    /// It begins with `http://` or `https://`.
    pub url: String,
    /// What is asked.
    pub question: Question,
    /// What each call carries. What is secret is marked as sensitive.
    pub metadata: MetadataMap,
    /// How long a call may take.
    pub deadline: Duration,
    /// Whether headers and trailers are to be shown.
    pub is_verbose: bool,
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
    pub(super) authority: Option<String>,
}

/// What a [`Command`] asks of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which services there are: `URL`.
    Services,
    /// The file that declares a name: `URL NAME`.
    Text(String),
    /// An answer: `URL SERVICE/METHOD [JSON]`.
    Call {
        /// `package.Service/Method`.
        method: String,
        /// The messages. If there are none, they come from standard input.
        json: Option<String>,
    },
}

impl Question {
    /// What a call's messages are read from.
    pub fn input(&self) -> Box<dyn Read + Send> {
        match self {
            Self::Call {
                json: Some(json), ..
            } => Box::new(Cursor::new(json.clone())),
            _ => Box::new(stdin()),
        }
    }
}

/// What is wrong with a [`Command`], in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError(String);

impl CommandError {
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for CommandError {}

impl From<lexopt::Error> for CommandError {
    fn from(error: lexopt::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl Command {
    /// Reads a command line without the name of the program.
    ///
    /// # Errors
    ///
    /// If something is missing, unknown, or doesn't belong together. A secret in the metadata
    /// (`authorization`, `cookie`) of a server that is on another machine, at an `http://` URL, is
    /// an error too: everybody on the way could read it, and use it.
    pub fn parse<I>(words: I) -> Result<Self, CommandError>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let (mut words, mut metadata) = (lexopt::Parser::from_args(words), MetadataMap::new());
        let (mut deadline, mut is_verbose, mut names) = (30.0_f64, false, Vec::new());
        let (mut ca, mut certificate, mut key, mut authority) = (None, None, None, None);
        while let Some(word) = words.next()? {
            match word {
                Short('H') => {
                    let line = words.value()?.string()?;
                    let added = add_metadata(&mut metadata, &line);
                    added.map_err(|status| CommandError::new(status.message()))?;
                }
                Short('v') => is_verbose = true,
                Long("deadline") => deadline = words.value()?.parse()?,
                Long("cacert") => ca = Some(PathBuf::from(words.value()?)),
                Long("cert") => certificate = Some(PathBuf::from(words.value()?)),
                Long("key") => key = Some(PathBuf::from(words.value()?)),
                Long("authority") => authority = Some(words.value()?.string()?),
                Value(name) => names.push(name.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        let deadline = Duration::try_from_secs_f64(deadline.min(1e8)).map_err(|_| {
            CommandError::new(format!("a deadline can't be {deadline} seconds from now"))
        })?;
        let mut names = names.into_iter();
        let url = url(names.next())?;
        let certificate = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => return Err(CommandError::new("--cert and --key belong together")),
        };
        let is_plain = url.scheme_str() == Some("http");
        if is_plain && (ca.is_some() || certificate.is_some()) {
            let sentence = "--cacert, --cert and --key are for a URL that begins with https://";
            return Err(CommandError::new(sentence));
        }
        if !is_plain && ca.is_none() {
            return Err(CommandError::new(
                "https:// needs --cacert FILE: the certificate of whoever signed the server's",
            ));
        }
        let mut headers = metadata.into_headers();
        for name in SECRET {
            if headers.contains_key(name) && is_plain && !is_here(&url) {
                return Err(CommandError::new(format!(
                    "`{name}` isn't sent over http:// to another machine: everybody on the way \
                     could read it"
                )));
            }
            if let tonic::codegen::http::header::Entry::Occupied(mut values) = headers.entry(name) {
                values
                    .iter_mut()
                    .for_each(|value| value.set_sensitive(true));
            }
        }
        Ok(Self {
            url: url.to_string(),
            question: question(names.collect())?,
            metadata: MetadataMap::from_headers(headers),
            deadline,
            is_verbose,
            ca,
            certificate,
            authority,
        })
    }
}

fn url(word: Option<String>) -> Result<Uri, CommandError> {
    let word = word.ok_or_else(|| {
        let sentence =
            "a URL is missing: http://localhost:50051, for instance, or https://… for TLS";
        CommandError::new(sentence)
    })?;
    if !word.starts_with("http://") && !word.starts_with("https://") {
        return Err(CommandError::new(format!(
            "the URL comes first, and begins with http:// or, for TLS, with https://: not `{word}`"
        )));
    }
    let url = Uri::try_from(&*word)
        .map_err(|error| CommandError::new(format!("`{word}` is no URL: {}", explain(&error))))?;
    if !matches!(url.path(), "" | "/") {
        let server = url.authority().map_or("", |authority| authority.as_str());
        return Err(CommandError::new(format!(
            "the URL ends after `{server}`: a service's name is a word of its own"
        )));
    }
    Ok(url)
}

/// Whether it's on this machine, where nobody is on the way.
fn is_here(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn question(words: Vec<String>) -> Result<Question, CommandError> {
    let mut words = words.into_iter();
    let Some(name) = words.next() else {
        return Ok(Question::Services);
    };
    let (json, more) = (words.next(), words.next());
    if !name.contains('/') {
        return match json {
            None => Ok(Question::Text(name)),
            Some(word) => Err(CommandError::new(format!(
                "a method is one word, SERVICE/METHOD: `{name}/{word}`?"
            ))),
        };
    }
    if more.is_some() {
        let sentence = "the messages are one word: put quotes around the JSON, '{\"value\": 12}'";
        return Err(CommandError::new(sentence));
    }
    let method = name.trim_start_matches('/').to_owned();
    Ok(Question::Call { method, json })
}
