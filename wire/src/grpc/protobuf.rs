//! Messages with the names of their fields, as text and as JSON.

use std::collections::HashMap;
use std::fmt::Write;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage, Value};
use serde_json::{Map, json};

use super::descriptors::Descriptors;
use super::raw::{Raw, fields, printable, shown, write_raw};
use crate::text::{quoted, safe};

/// How many messages in `google.protobuf.Any` may be nested to be shown with their names.
const ANY_DEPTH: u32 = 8;

/// The details of an error, `grpc-status-details-bin`. `None` if they can't be read.
pub(crate) fn status_details(value: &[u8], descriptors: &Descriptors) -> Option<String> {
    // Senders may leave out the padding; readers have to take both.
    let trimmed: Vec<u8> = value.iter().copied().filter(|&byte| byte != b'=').collect();
    let bytes = BASE64_STANDARD_NO_PAD.decode(trimmed).ok()?;
    let descriptor = descriptors.message("google.rpc.Status")?;
    let message = DynamicMessage::decode(descriptor, bytes.as_slice()).ok()?;
    Some(message_text(&message, descriptors))
}

/// A message on one line: `{ name: "Ann" }`.
pub(crate) fn message_text(message: &DynamicMessage, descriptors: &Descriptors) -> String {
    let mut writer = Writer {
        out: String::new(),
        descriptors,
        any_depth: 0,
    };
    writer.message(message);
    writer.out
}

struct Writer<'a> {
    out: String,
    descriptors: &'a Descriptors,
    any_depth: u32,
}

impl Writer<'_> {
    fn message(&mut self, message: &DynamicMessage) {
        if self.any(message).is_some() {
            return;
        }
        self.out.push('{');
        let mut separator = " ";
        for (field, value) in message.fields() {
            self.out.push_str(separator);
            // Names may come from a server too.
            self.out.push_str(&safe(field.name()));
            self.out.push_str(": ");
            self.value(&field.kind(), value);
            separator = ", ";
        }
        for unknown in message.unknown_fields() {
            let mut bytes = Vec::new();
            unknown.encode(&mut bytes);
            for field in fields(&bytes).unwrap_or_default() {
                self.out.push_str(separator);
                write_raw(&mut self.out, &field);
                separator = ", ";
            }
        }
        self.out.push_str(if separator == " " { "}" } else { " }" });
    }

    /// `google.protobuf.Any` is a name and bytes; with the name the bytes can be read.
    fn any(&mut self, message: &DynamicMessage) -> Option<()> {
        let is_any = message.descriptor().full_name() == "google.protobuf.Any";
        if !is_any || self.any_depth == ANY_DEPTH {
            return None;
        }
        let url = message.get_field_by_number(1)?;
        let bytes = message.get_field_by_number(2)?;
        let name = url.as_str()?.rsplit('/').next()?;
        let descriptor = self.descriptors.message(name)?;
        let inner = DynamicMessage::decode(descriptor, bytes.as_bytes()?.clone()).ok()?;
        self.out.push_str(&safe(name));
        self.out.push(' ');
        self.any_depth += 1;
        self.message(&inner);
        self.any_depth -= 1;
        Some(())
    }

    // Writing to a string cannot fail.
    fn value(&mut self, kind: &Kind, value: &Value) {
        let out = &mut self.out;
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
                Some(name) => out.write_str(&safe(&name)),
                None => write!(out, "{number}"),
            },
            Value::Message(message) => return self.message(message),
            Value::List(values) => return self.list(kind, values),
            Value::Map(entries) => {
                let inner = map_value_kind(kind);
                return self.map(inner.as_ref().unwrap_or(kind), sorted(entries));
            }
        };
    }

    fn list(&mut self, kind: &Kind, values: &[Value]) {
        self.out.push('[');
        for (i, value) in values.iter().enumerate() {
            self.out.push_str(if i == 0 { "" } else { ", " });
            self.value(kind, value);
        }
        self.out.push(']');
    }

    fn map(&mut self, kind: &Kind, entries: Vec<(String, &Value)>) {
        self.out.push('{');
        for (i, (key, value)) in entries.into_iter().enumerate() {
            self.out.push_str(if i == 0 { " " } else { ", " });
            self.out.push_str(&quoted(&key));
            self.out.push_str(": ");
            self.value(kind, value);
        }
        self.out.push_str(" }");
    }
}

/// What eight bytes mean in a field of this kind.
pub(crate) fn fixed64_text(kind: &Kind, bits: u64) -> String {
    match kind {
        Kind::Double => f64::from_bits(bits).to_string(),
        Kind::Sfixed64 => bits.cast_signed().to_string(),
        _ => bits.to_string(),
    }
}

/// What four bytes mean in a field of this kind.
pub(crate) fn fixed32_text(kind: &Kind, bits: u32) -> String {
    match kind {
        Kind::Float => f32::from_bits(bits).to_string(),
        Kind::Sfixed32 => bits.cast_signed().to_string(),
        _ => bits.to_string(),
    }
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

pub(crate) fn message_json(message: &DynamicMessage) -> serde_json::Value {
    let object: Map<_, _> = message
        .fields()
        .map(|(field, value)| (field.name().to_owned(), value_json(&field.kind(), value)))
        .collect();
    serde_json::Value::Object(object)
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
            let inner = inner.as_ref().unwrap_or(kind);
            let entries = sorted(entries).into_iter();
            let object = entries
                .map(|(key, value)| (key, value_json(inner, value)))
                .collect();
            serde_json::Value::Object(object)
        }
    }
}

/// A map has no order; what is printed should.
fn sorted(entries: &HashMap<MapKey, Value>) -> Vec<(String, &Value)> {
    let entries = entries.iter().map(|(key, value)| (map_key(key), value));
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
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

/// A message without its proto, as JSON: each field by its number, each with the list of its
/// values.
pub(crate) fn raw_json(bytes: &[u8]) -> Option<serde_json::Value> {
    let mut object = Map::new();
    for field in fields(bytes)? {
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
    Some(serde_json::Value::Object(object))
}
