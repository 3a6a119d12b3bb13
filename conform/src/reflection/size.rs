//! Estimates what a message takes once it is decoded, before it is decoded.
//!
//! Two bytes are an empty message inside of another; decoded, they are a struct of hundreds. So a
//! limit on bytes alone is no limit on memory.

use prost::encoding::{WireType, decode_key, decode_varint};
use prost_reflect::{Kind, MessageDescriptor};

/// What an object takes: the message itself, and one of its values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    pub(super) message: usize,
    pub(super) value: usize,
}

/// Of a [`DynamicMessage`](prost_reflect::DynamicMessage): a node of its tree has room for eleven
/// values.
pub(super) const DYNAMIC: Weights = Weights {
    message: 640,
    value: 64,
};

/// Of descriptors: structs with a few fields that are mostly empty, kept twice.
pub(super) const DESCRIPTOR: Weights = Weights {
    message: 800,
    value: 32,
};

/// How deep messages may be nested, counted through those in an `Any`. Who reads an `Any` begins
/// to count anew, so that prost's own limit doesn't hold.
const DEEPEST: usize = 100;

/// Why a message isn't to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    TooLarge,
    TooDeep,
    Malformed,
}

/// Checks that `bytes`, a `message`, takes at most `limit` bytes when decoded, and returns what is
/// left.
pub(super) fn estimate(
    message: &MessageDescriptor,
    mut bytes: &[u8],
    weights: Weights,
    limit: usize,
) -> Result<usize, Refused> {
    let mut estimate = Estimate {
        weights,
        left: limit,
    };
    estimate.message(Some(message), &mut bytes, None, 0)?;
    Ok(estimate.left)
}

struct Estimate {
    weights: Weights,
    left: usize,
}

impl Estimate {
    fn take(&mut self, size: usize) -> Result<(), Refused> {
        self.left = self.left.checked_sub(size).ok_or(Refused::TooLarge)?;
        Ok(())
    }

    /// A message, or a group, which ends with the tag of `group`. `None` if its type is unknown.
    fn message(
        &mut self,
        message: Option<&MessageDescriptor>,
        bytes: &mut &[u8],
        group: Option<u32>,
        depth: usize,
    ) -> Result<(), Refused> {
        if depth > DEEPEST {
            return Err(Refused::TooDeep);
        }
        self.take(self.weights.message)?;
        let (mut type_url, mut packed) = (None, None);
        while !bytes.is_empty() {
            let (number, wire_type) = decode_key(bytes).map_err(|_| Refused::Malformed)?;
            self.take(self.weights.value)?;
            match wire_type {
                WireType::Varint => drop(varint(bytes)?),
                WireType::SixtyFourBit => drop(split(bytes, 8)?),
                WireType::ThirtyTwoBit => drop(split(bytes, 4)?),
                WireType::LengthDelimited => {
                    let length = varint(bytes)?;
                    let length = usize::try_from(length).map_err(|_| Refused::Malformed)?;
                    let value = split(bytes, length)?;
                    self.value(message, number, value, depth)?;
                    match number {
                        1 => type_url = Some(value),
                        2 => packed = Some(value),
                        _ => {}
                    }
                }
                WireType::StartGroup => {
                    let inner = message.and_then(|it| message_in(it, number));
                    self.message(inner.as_ref(), bytes, Some(number), depth + 1)?;
                }
                WireType::EndGroup if group == Some(number) => return Ok(()),
                WireType::EndGroup => return Err(Refused::Malformed),
            }
        }
        match message {
            _ if group.is_some() => Err(Refused::Malformed),
            // What is inside is decoded when it is shown.
            Some(any) if any.full_name() == "google.protobuf.Any" => {
                let inner = type_url.and_then(|type_url| message_of(any, type_url));
                let mut value = packed.unwrap_or_default();
                match inner {
                    Some(inner) => self.message(Some(&inner), &mut value, None, depth + 1),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// A value with a length: text, bytes, a message, or many numbers.
    fn value(
        &mut self,
        message: Option<&MessageDescriptor>,
        number: u32,
        mut value: &[u8],
        depth: usize,
    ) -> Result<(), Refused> {
        let Some(field) = message.and_then(|it| it.get_field(number)) else {
            return self.take(value.len());
        };
        let numbers = match field.kind() {
            Kind::Message(inner) => return self.message(Some(&inner), &mut value, None, depth + 1),
            Kind::String | Kind::Bytes => return self.take(value.len()),
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => value.len() / 8,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => value.len() / 4,
            // Each number ends with a byte whose highest bit is clear.
            _ => value.iter().filter(|&&byte| byte < 0x80).count(),
        };
        self.take(numbers.saturating_mul(self.weights.value))
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Refused> {
    decode_varint(bytes).map_err(|_| Refused::Malformed)
}

fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Refused> {
    let (value, rest) = bytes.split_at_checked(length).ok_or(Refused::Malformed)?;
    *bytes = rest;
    Ok(value)
}

fn message_in(message: &MessageDescriptor, number: u32) -> Option<MessageDescriptor> {
    match message.get_field(number)?.kind() {
        Kind::Message(inner) => Some(inner),
        _ => None,
    }
}

fn message_of(any: &MessageDescriptor, type_url: &[u8]) -> Option<MessageDescriptor> {
    let (_, name) = std::str::from_utf8(type_url).ok()?.rsplit_once('/')?;
    any.parent_pool().get_message_by_name(name)
}
