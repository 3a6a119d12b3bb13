//! Protobuf without a proto: the fields of a message by their numbers.

use std::fmt::Write;

use crate::text::{count, quoted};

/// How many of the bytes of a `bytes` field are written out.
const BYTES_SHOWN: usize = 16;

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

/// What four of the six wire types hold. The two others, groups, are obsolete.
#[derive(Debug, PartialEq)]
pub(crate) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a message, or `None` if it is not protobuf.
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

pub(crate) fn by_number(bytes: &[u8]) -> Option<String> {
    let mut out = String::from("{");
    for (i, field) in fields(bytes)?.iter().enumerate() {
        out.push_str(if i == 0 { " " } else { ", " });
        write_raw(&mut out, field);
    }
    out.push_str(if out.len() == 1 { "}" } else { " }" });
    Some(out)
}

pub(crate) fn write_raw(out: &mut String, field: &RawField) {
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

pub(crate) fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.chars()
        .all(|c| !c.is_control() || c == '\n' || c == '\t')
        .then_some(text)
}

/// Bytes in hexadecimal, the first of them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut out = count(bytes.len(), "byte");
    for (i, byte) in bytes.iter().take(BYTES_SHOWN).enumerate() {
        let _ = write!(out, "{}{byte:02x}", if i == 0 { ": " } else { " " });
    }
    if bytes.len() > BYTES_SHOWN {
        out.push_str(" …");
    }
    out
}
