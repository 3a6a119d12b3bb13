//! The bytes of a frame, part by part, each with what it is.

use prost_reflect::FieldDescriptor;

use crate::decoder::{Frame, Headers, Payload};
use crate::grpc::{Message, PREFIX, Raw, fields, fixed32_text, fixed64_text, raw_text};
use crate::http2::{FrameType, HEAD, PADDED, PRIORITY, Representation, Setting, representations};
use crate::text::count;
use crate::view::secret::{is_secret, masked};

/// Some bytes of a frame and what they are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub bytes: Vec<u8>,
    pub label: String,
}

/// A frame, cut into labelled parts. Together they are the bytes that were kept of it.
pub(crate) fn parts(frame: &Frame, secrets: bool) -> Vec<Part> {
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
    if frame.violation.is_none() {
        payload(frame, secrets, &mut cutter);
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

    /// The label alone.
    fn hide(&mut self, length: usize, label: String) {
        self.cut(length, label);
        if let Some(part) = self.parts.last_mut() {
            part.bytes.clear();
        }
    }
}

fn payload(frame: &Frame, secrets: bool, cutter: &mut Cutter) {
    let padded = frame.flags & PADDED != 0
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
        Payload::Headers(headers) => self::headers(frame, headers, (padding, secrets), cutter),
        Payload::HeadersPart => {
            let length = cutter.rest.len().saturating_sub(padding);
            cutter.cut(length, "a part of a block of headers".to_owned());
        }
        Payload::Reset(code) => cutter.cut(4, format!("error: {code}")),
        Payload::Settings(settings) => {
            for (id, value) in settings {
                cutter.cut(2, Setting(*id).to_string());
                cutter.cut(4, value.to_string());
            }
        }
        Payload::Ping(_) => cutter.cut(8, "any eight bytes".to_owned()),
        Payload::GoAway {
            last_stream, error, ..
        } => {
            cutter.cut(4, format!("last stream: {last_stream}"));
            cutter.cut(4, format!("error: {error}"));
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

fn headers(
    frame: &Frame,
    headers: &Headers,
    (padding, secrets): (usize, bool),
    cutter: &mut Cutter,
) {
    if frame.kind == FrameType::Headers && frame.flags & PRIORITY != 0 {
        cutter.cut(5, "priority".to_owned());
    }
    if frame.kind == FrameType::PushPromise {
        cutter.cut(4, "promised stream".to_owned());
    }
    let length = cutter.rest.len().saturating_sub(padding);
    // A block of several frames cannot be told apart within one of them.
    let whole = frame.kind != FrameType::Continuation && headers.encoded == length;
    let found = representations(&cutter.rest[..length]).filter(|_| whole && headers.decoded);
    let Some(found) = found else {
        if !secrets && headers.fields.iter().any(is_secret) {
            cutter.hide(length, "headers with a secret among them".to_owned());
            return;
        }
        cutter.cut(length, "the rest of a block of headers".to_owned());
        return;
    };
    let mut fields = headers.fields.iter();
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
            Some(field) if !secrets && is_secret(field) => {
                let label = format!("{}: {} ({how})", field.name(), masked(field));
                cutter.hide(size, label);
                continue;
            }
            Some(field) => format!("{field:?} ({how})"),
            None => "one header more".to_owned(),
        };
        cutter.cut(size, label);
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
    // Compressed bytes are not the message's own.
    let content = message.protobuf().filter(|_| !message.compressed);
    let Some(fields) = content.as_deref().and_then(fields) else {
        cutter.cut(length, "the message".to_owned());
        return;
    };
    let descriptor = message.descriptor();
    for field in fields {
        let known = descriptor.as_ref().and_then(|descriptor| {
            let number = u32::try_from(field.number).ok()?;
            descriptor.get_field(number)
        });
        let name = known
            .as_ref()
            .map_or_else(String::new, |known| format!(", {}", known.name()));
        let kind = match field.value {
            Raw::Varint(_) => "a varint".to_owned(),
            Raw::Fixed64(_) => "8 bytes".to_owned(),
            Raw::Fixed32(_) => "4 bytes".to_owned(),
            Raw::Bytes(bytes) => count(bytes.len(), "byte"),
        };
        cutter.cut(field.head, format!("field {}{name}: {kind}", field.number));
        cutter.cut(
            field.size - field.head,
            value_text(known.as_ref(), &field.value),
        );
    }
}

fn value_text(known: Option<&FieldDescriptor>, value: &Raw) -> String {
    match (known, value) {
        (Some(known), Raw::Fixed64(bits)) => fixed64_text(&known.kind(), *bits),
        (Some(known), Raw::Fixed32(bits)) => fixed32_text(&known.kind(), *bits),
        _ => raw_text(value),
    }
}
