//! A message with its field names where the type is known, and with its field numbers where it is not.

use std::fmt::Write;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    MethodDescriptor, ReflectMessage, Value,
};
use serde_json::{Map, json};

use crate::grpc::RawMessage;
use crate::text::{count, quoted};

/// Everything in `protos/`, and the standard services that servers offer beside their own.
static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = DescriptorPool::global();
    for set in [
        include_bytes!(concat!(env!("OUT_DIR"), "/course.bin")).as_slice(),
        include_bytes!(concat!(env!("OUT_DIR"), "/standard.bin")).as_slice(),
    ] {
        // A set that could not be read would leave its messages without names, no more.
        let _ = pool.decode_file_descriptor_set(set);
    }
    pool
});

/// How many of the bytes of a `bytes` field are written out.
const BYTES_SHOWN: usize = 16;

/// The method at this path, `/package.Service/Method`, if its proto is known.
pub(crate) fn method(path: &str) -> Option<MethodDescriptor> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    DESCRIPTORS
        .get_service_by_name(service)?
        .methods()
        .find(|known| known.name() == method)
}

/// The type with this name, if its proto is known.
pub(crate) fn message_type(name: &str) -> Option<MessageDescriptor> {
    DESCRIPTORS.get_message_by_name(name)
}

/// One message of a call: what its five bytes say, and what is in it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// 1 for the first message in its direction of its call.
    pub number: u64,
    /// Whether the sender has compressed it. What is in it is not shown then.
    pub compressed: bool,
    /// How long it is, without the five bytes. What is sent counts: the compressed length.
    pub length: u32,
    /// All of it, or of a long message the first bytes.
    pub bytes: Bytes,
    /// gRPC-Web writes its trailers into the body, as if they were a message.
    pub is_trailers: bool,
    descriptor: Option<MessageDescriptor>,
    is_protobuf: bool,
}

impl Message {
    pub(crate) fn new(
        raw: RawMessage,
        descriptor: Option<MessageDescriptor>,
        is_protobuf: bool,
    ) -> Self {
        Self {
            number: raw.number,
            compressed: raw.flags & 1 == 1,
            length: raw.length,
            is_trailers: raw.is_web_trailers(),
            bytes: raw.bytes,
            descriptor,
            is_protobuf,
        }
    }

    /// The full name of its type, if the method is known.
    ///
    /// ```
    /// # use wire::Tap;
    /// # mod service { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/service.rs")); }
    /// # use service::{Client, HelloRequest};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let server = service::start().await;
    /// let tap = Tap::start(server).await.unwrap();
    /// let mut greeter = Client::connect(tap.url()).await.unwrap();
    /// greeter.say_hello(HelloRequest { name: "Ann".to_owned() }).await.unwrap();
    ///
    /// let frame = tap.wait_for(|frame| !frame.messages().is_empty()).await;
    /// let request = &frame.messages()[0];
    /// assert_eq!(request.type_name(), Some("helloworld.HelloRequest"));
    /// assert_eq!(request.json(), serde_json::json!({ "name": "Ann" }));
    /// assert_eq!(request.text(), r#"{ name: "Ann" }"#);
    /// # });
    /// ```
    pub fn type_name(&self) -> Option<&str> {
        self.descriptor.as_ref().map(MessageDescriptor::full_name)
    }

    /// Whether all of it was kept, not only its first bytes.
    pub fn is_whole(&self) -> bool {
        self.bytes.len() == self.length as usize
    }

    /// Why nothing can be said of what is in it.
    fn unreadable(&self) -> Option<String> {
        if self.compressed {
            Some("compressed".to_owned())
        } else if !self.is_whole() {
            Some("too long to be shown".to_owned())
        } else {
            None
        }
    }

    /// What is in it, on one line: `{ name: "Ann" }`. By number where the type is not known: `{ 1: "Ann" }`.
    ///
    /// Of what cannot be read it says why, in parentheses.
    pub fn text(&self) -> String {
        if self.is_trailers {
            return quoted(&String::from_utf8_lossy(&self.bytes));
        }
        if let Some(reason) = self.unreadable() {
            return format!("({reason})");
        }
        if !self.is_protobuf {
            return match std::str::from_utf8(&self.bytes) {
                Ok(text) => quoted(text),
                Err(_) => shown(&self.bytes),
            };
        }
        let Some(descriptor) = &self.descriptor else {
            return match by_number(&self.bytes) {
                Some(fields) => fields,
                None => format!("(not protobuf: {})", shown(&self.bytes)),
            };
        };
        match DynamicMessage::decode(descriptor.clone(), self.bytes.clone()) {
            Ok(message) => {
                let mut out = String::new();
                write_message(&mut out, &message);
                out
            }
            Err(_) => format!("(not a {}: {})", descriptor.name(), shown(&self.bytes)),
        }
    }

    /// What is in it, as protobuf writes JSON: 64-bit numbers and enums as strings, bytes as base64.
    ///
    /// Two differences: fields have the names that they have in the proto, and those at their default are
    /// left out. Where the type is not known, the keys are numbers. What cannot be read is `null`.
    pub fn json(&self) -> serde_json::Value {
        if self.unreadable().is_some() || self.is_trailers || !self.is_protobuf {
            return serde_json::Value::Null;
        }
        match &self.descriptor {
            None => {
                let Some(fields) = fields(&self.bytes) else {
                    return serde_json::Value::Null;
                };
                let mut object = Map::new();
                for field in fields {
                    let value = match field.value {
                        Raw::Varint(value) => json!(value.to_string()),
                        Raw::Fixed64(value) => json!(value.to_string()),
                        Raw::Fixed32(value) => json!(value),
                        Raw::Bytes(bytes) => match printable(bytes) {
                            Some(text) => json!(text),
                            None => json!({ "base64": BASE64_STANDARD.encode(bytes) }),
                        },
                    };
                    let entry = object
                        .entry(field.number.to_string())
                        .or_insert_with(|| json!([]));
                    if let serde_json::Value::Array(values) = entry {
                        values.push(value);
                    }
                }
                serde_json::Value::Object(object)
            }
            Some(descriptor) => {
                match DynamicMessage::decode(descriptor.clone(), self.bytes.clone()) {
                    Ok(message) => message_json(&message),
                    Err(_) => serde_json::Value::Null,
                }
            }
        }
    }

    pub(crate) fn descriptor(&self) -> Option<&MessageDescriptor> {
        self.descriptor.as_ref()
    }

    pub(crate) fn is_readable_protobuf(&self) -> bool {
        self.is_protobuf && !self.is_trailers && self.unreadable().is_none()
    }
}

/// What a `-bin` header holds that has a type: the details of an error. `None` if they cannot be read.
pub(crate) fn status_details(value: &[u8]) -> Option<String> {
    // Senders may leave out the padding; readers have to take both.
    let trimmed: Vec<u8> = value.iter().copied().filter(|&byte| byte != b'=').collect();
    let bytes = base64::prelude::BASE64_STANDARD_NO_PAD
        .decode(trimmed)
        .ok()?;
    let descriptor = message_type("google.rpc.Status")?;
    let message = DynamicMessage::decode(descriptor, bytes.as_slice()).ok()?;
    let mut out = String::new();
    write_message(&mut out, &message);
    Some(out)
}

fn write_message(out: &mut String, message: &DynamicMessage) {
    if write_any(out, message).is_some() {
        return;
    }
    let before = out.len();
    out.push('{');
    for (field, value) in message.fields() {
        out.push_str(if out.len() == before + 1 { " " } else { ", " });
        out.push_str(field.name());
        out.push_str(": ");
        write_value(out, &field.kind(), value);
    }
    for unknown in message.unknown_fields() {
        let mut bytes = Vec::new();
        unknown.encode(&mut bytes);
        for field in fields(&bytes).unwrap_or_default() {
            out.push_str(if out.len() == before + 1 { " " } else { ", " });
            write_raw(out, &field);
        }
    }
    out.push_str(if out.len() == before + 1 { "}" } else { " }" });
}

/// `google.protobuf.Any` is a name and bytes; with the name the bytes can be read.
fn write_any(out: &mut String, message: &DynamicMessage) -> Option<()> {
    if message.descriptor().full_name() != "google.protobuf.Any" {
        return None;
    }
    let url = message.get_field_by_number(1)?;
    let bytes = message.get_field_by_number(2)?;
    let name = url.as_str()?.rsplit('/').next()?;
    let inner = DynamicMessage::decode(message_type(name)?, bytes.as_bytes()?.clone()).ok()?;
    out.push_str(name);
    out.push(' ');
    write_message(out, &inner);
    Some(())
}

// Writing to a string cannot fail.
fn write_value(out: &mut String, kind: &Kind, value: &Value) {
    let _ = match value {
        Value::Bool(value) => write!(out, "{value}"),
        Value::I32(value) => write!(out, "{value}"),
        Value::I64(value) => write!(out, "{value}"),
        Value::U32(value) => write!(out, "{value}"),
        Value::U64(value) => write!(out, "{value}"),
        Value::F32(value) => write!(out, "{value}"),
        Value::F64(value) => write!(out, "{value}"),
        Value::String(value) => write!(out, "{}", quoted(value)),
        Value::Bytes(value) => write!(out, "{}", shown(value)),
        Value::EnumNumber(number) => match enum_name(kind, *number) {
            Some(name) => write!(out, "{name}"),
            None => write!(out, "{number}"),
        },
        Value::Message(message) => {
            write_message(out, message);
            Ok(())
        }
        Value::List(values) => {
            out.push('[');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_value(out, kind, value);
            }
            out.push(']');
            Ok(())
        }
        Value::Map(entries) => {
            let inner = map_value_kind(kind);
            let mut entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| (map_key(key), value))
                .collect();
            // A map has no order; what is printed should.
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            out.push('{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                out.push_str(if i == 0 { " " } else { ", " });
                let _ = write!(out, "{}: ", quoted(&key));
                write_value(out, inner.as_ref().unwrap_or(kind), value);
            }
            out.push_str(" }");
            Ok(())
        }
    };
}

fn enum_name(kind: &Kind, number: i32) -> Option<String> {
    let name = kind.as_enum()?.get_value(number)?.name().to_owned();
    Some(name)
}

/// A map is written as a list of entries, each a message with a key and a value.
fn map_value_kind(kind: &Kind) -> Option<Kind> {
    Some(kind.as_message()?.get_field(2)?.kind())
}

fn map_key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn message_json(message: &DynamicMessage) -> serde_json::Value {
    let object: Map<_, _> = message
        .fields()
        .map(|(field, value)| (field.name().to_owned(), field_json(&field, value)))
        .collect();
    serde_json::Value::Object(object)
}

fn field_json(field: &FieldDescriptor, value: &Value) -> serde_json::Value {
    value_json(&field.kind(), value)
}

fn value_json(kind: &Kind, value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => json!(value),
        Value::I32(value) => json!(value),
        Value::U32(value) => json!(value),
        Value::I64(value) => json!(value.to_string()),
        Value::U64(value) => json!(value.to_string()),
        Value::F32(value) => float_json(f64::from(*value)),
        Value::F64(value) => float_json(*value),
        Value::String(value) => json!(value),
        Value::Bytes(value) => json!(BASE64_STANDARD.encode(value)),
        Value::EnumNumber(number) => match enum_name(kind, *number) {
            Some(name) => json!(name),
            None => json!(number),
        },
        Value::Message(message) => message_json(message),
        Value::List(values) => values.iter().map(|value| value_json(kind, value)).collect(),
        Value::Map(entries) => {
            let inner = map_value_kind(kind);
            let mut entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| {
                    let value = value_json(inner.as_ref().unwrap_or(kind), value);
                    (map_key(key), value)
                })
                .collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            serde_json::Value::Object(entries.into_iter().collect())
        }
    }
}

/// JSON has no infinity and no NaN; protobuf writes them as strings.
fn float_json(value: f64) -> serde_json::Value {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(value)
    }
}

/// A field as it stands on the wire, without a proto.
#[derive(Debug, PartialEq)]
pub(crate) struct RawField<'a> {
    pub number: u64,
    pub value: Raw<'a>,
    /// How many bytes say number and type, and with them the length if there is one.
    pub head: usize,
    /// How many bytes it takes in all.
    pub size: usize,
}

/// What four of the six wire types hold. The two others, groups, are long out of use.
#[derive(Debug, PartialEq)]
pub(crate) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a message, or `None` if it is none.
pub(crate) fn fields(mut bytes: &[u8]) -> Option<Vec<RawField<'_>>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (key, mut head) = varint(bytes)?;
        let number = key >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return None;
        }
        let rest = &bytes[head..];
        let (value, size) = match key & 7 {
            0 => {
                let (value, size) = varint(rest)?;
                (Raw::Varint(value), size)
            }
            1 => (Raw::Fixed64(u64::from_le_bytes(*rest.first_chunk()?)), 8),
            2 => {
                let (length, size) = varint(rest)?;
                head += size;
                let length = usize::try_from(length).ok()?;
                (Raw::Bytes(rest[size..].get(..length)?), length)
            }
            5 => (Raw::Fixed32(u32::from_le_bytes(*rest.first_chunk()?)), 4),
            _ => return None,
        };
        let size = head + size;
        fields.push(RawField {
            number,
            value,
            head,
            size,
        });
        bytes = &bytes[size..];
    }
    Some(fields)
}

fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

fn by_number(bytes: &[u8]) -> Option<String> {
    let mut out = String::from("{");
    for (i, field) in fields(bytes)?.iter().enumerate() {
        out.push_str(if i == 0 { " " } else { ", " });
        write_raw(&mut out, field);
    }
    out.push_str(if out.len() == 1 { "}" } else { " }" });
    Some(out)
}

fn write_raw(out: &mut String, field: &RawField) {
    let _ = write!(out, "{}: {}", field.number, raw_text(&field.value));
}

pub(crate) fn raw_text(value: &Raw) -> String {
    match value {
        Raw::Varint(value) => value.to_string(),
        // Whether eight bytes are a double or a whole number, only the proto can tell.
        Raw::Fixed64(value) => format!("0x{value:016x}"),
        Raw::Fixed32(value) => format!("0x{value:08x}"),
        Raw::Bytes(bytes) => match printable(bytes) {
            Some(text) => quoted(text),
            None => shown(bytes),
        },
    }
}

fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.chars()
        .all(|c| !c.is_control() || c == '\n' || c == '\t')
        .then_some(text)
}

/// Bytes in hexadecimal, the first of them.
fn shown(bytes: &[u8]) -> String {
    let mut out = count(bytes.len(), "byte");
    for (i, byte) in bytes.iter().take(BYTES_SHOWN).enumerate() {
        let _ = write!(out, "{}{byte:02x}", if i == 0 { ": " } else { " " });
    }
    if bytes.len() > BYTES_SHOWN {
        out.push_str(" …");
    }
    out
}

/// The name of a field, by the proto.
pub(crate) fn field_name(descriptor: &MessageDescriptor, number: u64) -> Option<FieldDescriptor> {
    descriptor.get_field(u32::try_from(number).ok()?)
}
