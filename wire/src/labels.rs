//! The bytes of a frame, part by part, each with what it is.

use crate::decoder::error_text;
use crate::event::{Frame, Payload};
use crate::frame::{self, FrameType, HEAD, setting_name};
use crate::grpc::PREFIX;
use crate::headers::{Representation, representations};
use crate::message::{Message, Raw, field_name, fields, raw_text};
use crate::text::count;

/// Some bytes of a frame and what they are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub bytes: Vec<u8>,
    pub label: String,
}

/// A frame, cut into labelled parts. Together they are the bytes that were kept of it.
pub(crate) fn parts(frame: &Frame) -> Vec<Part> {
    let mut cutter = Cutter {
        rest: &frame.bytes,
        parts: Vec::new(),
    };
    cutter.cut(3, format!("length: {}", frame.length));
    cutter.cut(1, format!("type: {}", frame.kind));
    let flags = frame.flag_names();
    cutter.cut(
        1,
        match flags.as_slice() {
            [] => "no flags".to_owned(),
            flags => format!("flags: {}", flags.join(", ")),
        },
    );
    cutter.cut(
        4,
        match frame.stream {
            0 => "the connection".to_owned(),
            stream => format!("stream {stream}"),
        },
    );
    if frame.fault.is_none() {
        payload(frame, &mut cutter);
    }
    let rest = cutter.rest.len();
    cutter.cut(rest, "payload".to_owned());
    let missing = (frame.length as usize + HEAD).saturating_sub(frame.bytes.len());
    if missing > 0 {
        cutter.parts.push(Part {
            bytes: Vec::new(),
            label: format!("and {} that were not kept", count(missing, "byte")),
        });
    }
    cutter.parts
}

struct Cutter<'a> {
    rest: &'a [u8],
    parts: Vec<Part>,
}

impl Cutter<'_> {
    fn cut(&mut self, length: usize, label: String) {
        let (part, rest) = self.rest.split_at(length.min(self.rest.len()));
        if !part.is_empty() {
            self.parts.push(Part {
                bytes: part.to_vec(),
                label,
            });
        }
        self.rest = rest;
    }
}

fn payload(frame: &Frame, cutter: &mut Cutter) {
    let padded = frame.flags & frame::PADDED != 0
        && matches!(
            frame.kind,
            FrameType::Data | FrameType::Headers | FrameType::PushPromise
        );
    let mut padding = 0;
    if padded {
        padding = cutter.rest.first().copied().map_or(0, usize::from);
        cutter.cut(1, format!("padding: {}", count(padding, "byte")));
    }
    match &frame.payload {
        Payload::Data {
            messages,
            unfinished,
            ..
        } => data(frame, messages, *unfinished, padding, cutter),
        Payload::Headers(block) => {
            if frame.kind == FrameType::Headers && frame.flags & frame::PRIORITY != 0 {
                cutter.cut(5, "priority".to_owned());
            }
            if frame.kind == FrameType::PushPromise {
                cutter.cut(4, "promised stream".to_owned());
            }
            let length = cutter.rest.len().saturating_sub(padding);
            // A block of several frames cannot be told apart within one of them.
            let whole = frame.kind != FrameType::Continuation && block.encoded == length;
            match representations(&cutter.rest[..length]) {
                Some(found) if whole && block.decoded => {
                    let mut fields = block.fields.iter();
                    for (kind, size) in found {
                        let how = match kind {
                            Representation::Indexed => "indexed",
                            Representation::Remembered => "literal, kept for the next time",
                            Representation::NotRemembered => "literal",
                            Representation::NeverRemembered => "literal, never to be kept",
                            Representation::TableSize => {
                                cutter.cut(size, "the size of the table".to_owned());
                                continue;
                            }
                        };
                        let label = match fields.next() {
                            Some(field) => format!("{field:?} ({how})"),
                            None => "one header more".to_owned(),
                        };
                        cutter.cut(size, label);
                    }
                }
                _ => cutter.cut(length, "the rest of a block of headers".to_owned()),
            }
        }
        Payload::HeadersPart => {
            let length = cutter.rest.len().saturating_sub(padding);
            cutter.cut(length, "a part of a block of headers".to_owned());
        }
        Payload::Reset(code) => cutter.cut(4, format!("error: {}", error_text(*code))),
        Payload::Settings(settings) => {
            for (id, value) in settings {
                let name = setting_name(*id).map_or_else(|| format!("setting {id}"), str::to_owned);
                cutter.cut(2, name);
                cutter.cut(4, value.to_string());
            }
        }
        Payload::Ping(_) => cutter.cut(8, "any eight bytes".to_owned()),
        Payload::GoAway {
            last_stream, error, ..
        } => {
            cutter.cut(4, format!("last stream: {last_stream}"));
            cutter.cut(4, format!("error: {}", error_text(*error)));
            let rest = cutter.rest.len();
            cutter.cut(rest, "what it says".to_owned());
        }
        Payload::WindowUpdate(more) => cutter.cut(4, format!("{} more", count(more, "byte"))),
        Payload::Opaque => {}
    }
    if padded {
        let rest = cutter.rest.len();
        cutter.cut(rest, "padding".to_owned());
    }
}

fn data(
    frame: &Frame,
    messages: &[Message],
    unfinished: Option<(u32, Option<u32>)>,
    padding: usize,
    cutter: &mut Cutter,
) {
    let length = (frame.length as usize + HEAD)
        .saturating_sub(frame.bytes.len() - cutter.rest.len())
        .saturating_sub(padding);
    let there = unfinished.map_or(0, |(there, _)| there as usize);
    let sizes = messages
        .iter()
        .map(|message| message.length as usize + PREFIX);
    let all = sizes.sum::<usize>() + there;
    if all == 0 {
        cutter.cut(length, "data".to_owned());
        return;
    }
    // What of the first message was in frames before this one.
    let Some(mut before) = all.checked_sub(length) else {
        return;
    };
    for message in messages {
        let size = message.length as usize + PREFIX - before.min(message.length as usize + PREFIX);
        if before > 0 {
            cutter.cut(size, format!("the rest of message {}", message.number));
        } else {
            let how = if message.compressed {
                "compressed"
            } else {
                "not compressed"
            };
            cutter.cut(1, how.to_owned());
            cutter.cut(
                4,
                format!(
                    "message {}: {}",
                    message.number,
                    count(message.length, "byte")
                ),
            );
            self::message(message, cutter);
        }
        before = 0;
    }
    if there > before {
        match unfinished {
            Some((_, Some(length))) if before == 0 => {
                cutter.cut(1, "how the message is compressed".to_owned());
                cutter.cut(4, format!("a message of {}", count(length, "byte")));
                cutter.cut(there - PREFIX, "its first bytes".to_owned());
            }
            _ => cutter.cut(there - before, "a part of a message".to_owned()),
        }
    }
}

fn message(message: &Message, cutter: &mut Cutter) {
    let length = message.length as usize;
    let fields = match message.is_readable_protobuf() {
        true => fields(&message.bytes),
        false => None,
    };
    let Some(fields) = fields else {
        cutter.cut(length, "the message".to_owned());
        return;
    };
    for field in fields {
        let name = message
            .descriptor()
            .and_then(|descriptor| field_name(descriptor, field.number))
            .map_or_else(String::new, |known| format!(", {}", known.name()));
        let kind = match field.value {
            Raw::Varint(_) => "a varint".to_owned(),
            Raw::Fixed64(_) => "8 bytes".to_owned(),
            Raw::Fixed32(_) => "4 bytes".to_owned(),
            Raw::Bytes(bytes) => count(bytes.len(), "byte"),
        };
        cutter.cut(field.head, format!("field {}{name}: {kind}", field.number));
        let value = match field.value {
            // With a proto it is most often this; a whole number looks like nothing then.
            Raw::Fixed64(bits) if !name.is_empty() => f64::from_bits(bits).to_string(),
            ref value => raw_text(value),
        };
        cutter.cut(field.size - field.head, value);
    }
}
