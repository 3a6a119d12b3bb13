//! A message with its field names where the type is known, and with its field numbers where it is
//! not.

use std::sync::Arc;

use bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor};

use super::descriptors::Descriptors;
use super::encoding::Encoding;
use super::messages::RawMessage;
use super::protobuf::{message_json, message_text, raw_json};
use super::raw::{by_number, shown};
use crate::text::{count, quoted, safe};

/// One message of a call: what its five bytes say, and what is in it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// 1 for the first message in its direction of its call.
    pub number: u64,
    /// Whether the sender has compressed it.
    pub compressed: bool,
    /// What it is compressed with, if it is.
    pub encoding: Encoding,
    /// How long it is, without the five bytes. What is sent counts: the compressed length.
    pub length: u32,
    /// All of it as it was sent, or of a long message the first bytes.
    pub bytes: Bytes,
    /// gRPC-Web writes its trailers into the body, as if they were a message.
    pub is_trailers: bool,
    schema: Schema,
}

/// What is known of the messages in one direction of a call. The type is looked up when it is asked
/// for: a server may tell it later than its first message.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub descriptors: Descriptors,
    /// `/package.Service/Method`.
    pub path: Arc<str>,
    pub is_request: bool,
    pub is_protobuf: bool,
}

impl Schema {
    pub fn method(&self) -> Option<MethodDescriptor> {
        self.descriptors.method(&self.path)
    }

    fn message(&self) -> Option<MessageDescriptor> {
        let method = self.method()?;
        Some(if self.is_request {
            method.input()
        } else {
            method.output()
        })
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.is_request, self.is_protobuf)
            == (&other.path, other.is_request, other.is_protobuf)
    }
}

impl Message {
    pub(crate) fn new(raw: RawMessage, encoding: Encoding, schema: Schema) -> Self {
        let compressed = raw.flags & 1 == 1;
        Self {
            number: raw.number,
            compressed,
            encoding: if compressed {
                encoding
            } else {
                Encoding::Identity
            },
            length: raw.length,
            is_trailers: raw.is_web_trailers(),
            bytes: raw.bytes,
            schema,
        }
    }

    /// The full name of its type, if the method is known.
    ///
    /// ```
    /// # mod service { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/service.rs")); }
    /// # use wire::Tap;
    /// # use service::{Client, HelloRequest};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let server = service::start().await;
    /// let tap = Tap::start(server).await.unwrap();
    /// let mut greeter = Client::connect(tap.url()).await.unwrap();
    /// greeter.say_hello(HelloRequest { name: "Ann".to_owned() }).await.unwrap();
    ///
    /// let frame = tap.wait_for(|frame| !frame.messages().is_empty()).await;
    /// let request = &frame.messages()[0];
    /// assert_eq!(request.type_name().as_deref(), Some("helloworld.HelloRequest"));
    /// assert_eq!(request.json(), serde_json::json!({ "name": "Ann" }));
    /// assert_eq!(request.text(), r#"{ name: "Ann" }"#);
    /// # });
    /// ```
    pub fn type_name(&self) -> Option<String> {
        let descriptor = self.schema.message()?;
        Some(descriptor.full_name().to_owned())
    }

    /// Whether all of it was kept, not only its first bytes.
    pub fn is_whole(&self) -> bool {
        self.bytes.len() == self.length as usize
    }

    /// The message itself, unpacked if it was compressed, or why it can't be shown.
    pub(crate) fn content(&self) -> Result<Bytes, String> {
        if !self.is_whole() {
            Err("too long to be shown".to_owned())
        } else if self.compressed {
            self.encoding.unpack(&self.bytes)
        } else {
            Ok(self.bytes.clone())
        }
    }

    /// What is in it, on one line: `{ name: "Ann" }`. By number where the type is not known: `{ 1:
    /// "Ann" }`.
    ///
    /// Of what cannot be read it says why, in parentheses.
    pub fn text(&self) -> String {
        let content = match self.content() {
            Ok(content) => content,
            Err(reason) => return format!("({reason})"),
        };
        if self.is_trailers {
            return quoted(&String::from_utf8_lossy(&content));
        }
        if !self.schema.is_protobuf {
            return match std::str::from_utf8(&content) {
                Ok(text) => quoted(text),
                Err(_) => shown(&content),
            };
        }
        let Some(descriptor) = self.schema.message() else {
            return match by_number(&content) {
                Some(fields) => fields,
                None => format!("(not protobuf: {})", shown(&content)),
            };
        };
        match DynamicMessage::decode(descriptor.clone(), content.clone()) {
            Ok(message) => message_text(&message, &self.schema.descriptors),
            Err(_) => format!("(not a {}: {})", safe(descriptor.name()), shown(&content)),
        }
    }

    /// How long it is: `13 bytes`, and `1200 bytes, 34 as gzip` if it was compressed.
    pub fn size_text(&self) -> String {
        match self.content() {
            Ok(content) if self.compressed => {
                let (length, encoding) = (count(content.len(), "byte"), &self.encoding);
                format!("{length}, {} as {encoding}", self.length)
            }
            _ => count(self.length, "byte"),
        }
    }

    /// What is in it, as protobuf writes JSON: 64-bit numbers and enums as strings, bytes as
    /// base64.
    ///
    /// Two differences: fields have the names that they have in the proto, and those at their
    /// default are left out. Where the type is not known, the keys are numbers. What cannot be read
    /// is `null`.
    pub fn json(&self) -> serde_json::Value {
        let Some(content) = self.protobuf() else {
            return serde_json::Value::Null;
        };
        let json = match self.schema.message() {
            None => raw_json(&content),
            Some(descriptor) => {
                let message = DynamicMessage::decode(descriptor, content);
                message.ok().map(|message| message_json(&message))
            }
        };
        json.unwrap_or_default()
    }

    /// Its bytes, if they are to be read as protobuf.
    pub(crate) fn protobuf(&self) -> Option<Bytes> {
        let is_protobuf = self.schema.is_protobuf && !self.is_trailers;
        self.content().ok().filter(|_| is_protobuf)
    }

    pub(crate) fn descriptor(&self) -> Option<MessageDescriptor> {
        self.schema.message()
    }
}
