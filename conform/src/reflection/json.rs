//! Messages as JSON, for people and from people.

use std::error::Error;
use std::fmt::{self, Write};
use std::{io, iter, thread};

use futures::StreamExt;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor};
use serde_json::Deserializer;
use serde_json::error::Category;
use tokio::sync::{mpsc, oneshot};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::call::{Replies, call};
use crate::status::{explain, is_instruction};

/// [Calls](call) `method` with messages that are read as JSON from `reader`, and sent as they
/// come. The metadata and extensions are those of `request`.
///
/// `reader` is read on a thread of its own, which may wait: standard input will do. When the call
/// ends first, the thread ends with the next message, or with the process.
///
/// # Errors
///
/// If the call fails, or what is read is wrong: then the call is broken off, or has not begun.
pub async fn call_json<S>(
    service: S,
    method: &MethodDescriptor,
    request: Request<()>,
    reader: impl io::Read + Send + 'static,
) -> Result<Response<JsonReplies>, CallError>
where
    S: GrpcService<Body>,
    S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <S::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    let (sender, mut messages) = mpsc::channel(1);
    let input = method.input();
    thread::spawn(move || {
        from_json(&input, reader).try_for_each(|message| sender.blocking_send(message))
    });
    let mut first = Vec::new();
    if !method.is_client_streaming() {
        let only = messages.recv().await.transpose()?;
        let is_one = only.is_some() && messages.recv().await.transpose()?.is_none();
        if !is_one {
            let why = format!("{} takes one message, not none or many", method.name());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why).into());
        }
        first.extend(only);
    }
    let (report, wrong) = oneshot::channel();
    let rest = futures::stream::unfold((messages, report), async |(mut messages, report)| {
        match messages.recv().await? {
            Ok(message) => Some((message, (messages, report))),
            // A stream that ended here would look complete.
            Err(error) => {
                let _ = report.send(error);
                std::future::pending().await
            }
        }
    });
    let request = request.map(|()| futures::stream::iter(first).chain(rest));
    let mut wrong = Wrong(Some(wrong));
    let response = tokio::select! {
        biased;
        error = wrong.wait() => return Err(error.into()),
        response = call(service, method, request) => response?,
    };
    Ok(response.map(|replies| JsonReplies { replies, wrong }))
}

/// How a [`call_json`] has failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The call has ended with this status.
    Status(Status),
    /// What was read is wrong.
    Input(io::Error),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the call has failed: {}", explain(status)),
            Self::Input(error) => write!(f, "{error}"),
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Status(status) => Some(status),
            Self::Input(error) => Some(error),
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        Self::Input(error)
    }
}

/// The replies of a [`call_json`].
#[derive(Debug)]
pub struct JsonReplies {
    replies: Replies,
    wrong: Wrong,
}

impl JsonReplies {
    /// The next reply, or `None` when the call has ended well.
    ///
    /// # Errors
    ///
    /// As for [`call_json`].
    pub async fn message(&mut self) -> Result<Option<DynamicMessage>, CallError> {
        tokio::select! {
            biased;
            error = self.wrong.wait() => Err(error.into()),
            reply = self.replies.message() => Ok(reply?),
        }
    }

    /// The trailers, once [`message`](Self::message) has returned `None`.
    ///
    /// # Errors
    ///
    /// The status that the call has ended with, if there are replies left.
    pub async fn trailers(&mut self) -> Result<Option<MetadataMap>, Status> {
        self.replies.trailers().await
    }
}

/// What is wrong with the messages that are read, if something is.
#[derive(Debug)]
struct Wrong(Option<oneshot::Receiver<io::Error>>);

impl Wrong {
    /// Returns only if something is wrong.
    async fn wait(&mut self) -> io::Error {
        if let Some(wrong) = &mut self.0 {
            let wrong = wrong.await;
            self.0 = None;
            if let Ok(error) = wrong {
                return error;
            }
        }
        std::future::pending().await
    }
}

/// The messages in `reader`: JSON values, one after another, with or without space between them.
/// Each is there as soon as its last bracket has been read.
///
/// What is no JSON, or has fields that `message` doesn't have, is an error; nothing follows it.
pub fn from_json<R: io::Read>(
    message: &MessageDescriptor,
    reader: R,
) -> impl Iterator<Item = io::Result<DynamicMessage>> + use<R> {
    let (message, mut json) = (message.clone(), Deserializer::from_reader(reader));
    let mut has_failed = false;
    iter::from_fn(move || {
        if has_failed {
            return None;
        }
        // Looks at what comes next, and leaves it there.
        let next = match json.end() {
            Ok(()) => return None,
            Err(error) if error.is_io() => Err(error),
            Err(_) => DynamicMessage::deserialize(message.clone(), &mut json),
        };
        has_failed = next.is_err();
        Some(next.map_err(|error| wrong(&message, error)))
    })
}

/// Where the JSON is wrong, and what was expected there.
fn wrong(message: &MessageDescriptor, error: serde_json::Error) -> io::Error {
    if error.is_io() {
        return error.into();
    }
    let (line, column) = (error.line(), error.column());
    let said = error.to_string();
    let place = format!(" at line {line} column {column}");
    let said = said.strip_suffix(&place).unwrap_or(&said);
    let what = match error.classify() {
        Category::Data => format!("this is no {}: {}", message.full_name(), in_words(said)),
        _ => in_words(said),
    };
    let why = format!("line {line}, column {column}: {what}");
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// What serde_json and prost-reflect say, for those who didn't write them.
fn in_words(said: &str) -> String {
    let words = match said {
        "expected value" | "expected ident" => {
            "expected a value: a number, a text in \"\", true, false, null, a list or an object"
        }
        "key must be a string" | "expected `\"`" => "expected a field's name in \"\"",
        "expected `:`" => "expected a colon after the field's name",
        "expected `,` or `}`" => "expected a comma and the next field, or }",
        "expected `,` or `]`" => "expected a comma and the next value, or ]",
        "trailing comma" => "expected something after the comma",
        "invalid number" | "invalid float literal" | "invalid digit found in string" => {
            "expected a number"
        }
        "EOF while parsing an object" => "expected more: a } is missing",
        "EOF while parsing a list" => "expected more: a ] is missing",
        "EOF while parsing a string" => "expected more: the \" after a text is missing",
        "EOF while parsing a value" => "expected more: a value is missing",
        "recursion limit exceeded" => "lists and objects stand too deep in each other",
        _ if said.starts_with("control character") => {
            "expected the \" after the text: a new line in it is written as \\n"
        }
        _ => return in_other_words(said),
    };
    words.to_owned()
}

fn in_other_words(said: &str) -> String {
    let field = said.strip_prefix("unrecognized field name '");
    if let Some(field) = field.and_then(|rest| rest.strip_suffix('\'')) {
        return format!("no field is called `{field}`");
    }
    let types = said.strip_prefix("invalid type: ");
    if let Some((got, expected)) = types.and_then(|types| types.split_once(", expected ")) {
        // JSON has its own words.
        let expected = match expected {
            "a map" => "an object, {\"field\": value}",
            expected => expected,
        };
        let got = match got {
            "map" => "an object",
            "sequence" => "a list",
            got => got,
        };
        return format!("expected {expected}, not {got}");
    }
    said.to_owned()
}

/// `message` as JSON, in one line. Control characters, and those that turn the direction of
/// writing, are escaped as JSON does it.
///
/// # Errors
///
/// If it holds what JSON has no form for: a time before the year 1, an `Any` of unknown type.
pub fn to_json(message: &DynamicMessage) -> io::Result<String> {
    let json = serde_json::to_string(message)?;
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        if is_instruction(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string doesn't fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    Ok(safe)
}
