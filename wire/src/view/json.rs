//! One JSON object an event, for other programs.

use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::printer::Printer;
use super::secret::{is_secret, masked};
use crate::decoder::{Direction, End, Event, EventKind, Frame, Headers, Payload, Role};
use crate::grpc::Message;
use crate::http2::Setting;
use crate::text::safe_json;

/// An event as one JSON object. The README of this crate lists its members.
///
/// ```
/// use std::time::Duration;
/// use wire::{Decoder, Direction, json};
///
/// let mut decoder = Decoder::new(1);
/// let bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x04\x08\0\0\0\0\0\0\0\0\x07";
/// let events = decoder.read(Direction::ToServer, bytes, Duration::ZERO);
/// let object = json(&events[0]);
/// assert_eq!(object["type"], "WINDOW_UPDATE");
/// assert_eq!(object["increment"], 7);
/// ```
pub fn json(event: &Event) -> Value {
    json_with(event, false)
}

/// With the values of secret headers, if that is asked for.
fn json_with(event: &Event, secrets: bool) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| {
        object.insert(key.to_owned(), value);
    };
    put("event", json!(name(&event.kind)));
    put("at", json!(event.at.as_secs_f64()));
    put("connection", json!(event.connection));
    match &event.kind {
        EventKind::Opened => {}
        EventKind::Note(text) => put("text", json!(text)),
        EventKind::Tls(record) => {
            put("direction", way(record.direction));
            put("type", json!(record.kind.to_string()));
            put("length", json!(record.length));
            if let Some(hello) = &record.hello {
                put("server_name", json!(hello.server_name));
                put("protocols", json!(hello.protocols));
            }
        }
        EventKind::HalfClosed(direction) => put("direction", way(*direction)),
        EventKind::Closed {
            end,
            open,
            to_server,
            to_client,
        } => {
            put("end", json!(end_text(end)));
            let open: Vec<_> = open.iter().map(|call| call.number).collect();
            put("open_calls", json!(open));
            put("bytes_to_server", json!(to_server));
            put("bytes_to_client", json!(to_client));
        }
        EventKind::Frame(frame) => self::frame(frame, secrets, &mut put),
    }
    Value::Object(object)
}

/// Writes one JSON object a line.
#[derive(Debug)]
pub struct Json<W> {
    out: W,
    secrets: bool,
}

impl<W: Write> Json<W> {
    /// Writes to `out`; with `secrets` also tokens.
    pub fn new(out: W, secrets: bool) -> Self {
        Self { out, secrets }
    }
}

impl<W: Write> Printer for Json<W> {
    fn listening(&mut self, address: &str, server: &str) -> io::Result<()> {
        let object = json!({ "event": "listening", "address": address, "to": server });
        writeln!(self.out, "{object}")
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let json = json_with(event, self.secrets);
        writeln!(self.out, "{}", safe_json(&json.to_string()))
    }

    fn missed(&mut self, events: u64) -> io::Result<()> {
        writeln!(
            self.out,
            "{}",
            json!({ "event": "missed", "events": events })
        )
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Opened => "opened",
        EventKind::Frame(_) => "frame",
        EventKind::Note(_) => "note",
        EventKind::Tls(_) => "tls",
        EventKind::HalfClosed(_) => "half_closed",
        EventKind::Closed { .. } => "closed",
    }
}

fn end_text(end: &End) -> String {
    match end {
        End::Finished => "finished".to_owned(),
        End::Reset(direction) => format!("reset by the {}", direction.sender()),
        End::ResetByTap => "reset as requested".to_owned(),
        End::Dropped => "dropped".to_owned(),
        End::Refused(reason) => format!("refused: {reason}"),
    }
}

fn frame(frame: &Frame, secrets: bool, put: &mut impl FnMut(&str, Value)) {
    put("direction", way(frame.direction));
    put("stream", json!(frame.stream));
    put("type", json!(frame.kind.to_string()));
    put("flags", json!(frame.flag_names()));
    put("length", json!(frame.length));
    if let Some(call) = &frame.call {
        put("call", json!(call.number));
        put("path", json!(call.path));
    }
    payload(frame, secrets, put);
    if let Some(violation) = &frame.violation {
        put("violation", json!(violation.to_string()));
    }
    if frame.held {
        put("held", json!(true));
    }
    // They can be decoded by everybody.
    if secrets || !frame.fields().iter().any(is_secret) {
        put("bytes", json!(BASE64_STANDARD.encode(&frame.bytes)));
    }
}

fn payload(frame: &Frame, secrets: bool, put: &mut impl FnMut(&str, Value)) {
    match &frame.payload {
        Payload::Data {
            padding,
            messages,
            unfinished,
        } => {
            let messages: Vec<_> = messages.iter().map(message).collect();
            put("messages", json!(messages));
            if let Some((there, length)) = unfinished {
                put("unfinished", json!({ "bytes": there, "length": length }));
            }
            if *padding > 0 {
                put("padding", json!(padding));
            }
        }
        Payload::Headers(headers) => self::headers(frame, headers, secrets, put),
        Payload::Reset(code) => put("error", json!(code.to_string())),
        Payload::Settings(settings) => {
            let settings = settings.iter().map(|(id, value)| {
                let name = Setting(*id)
                    .name()
                    .map_or_else(|| id.to_string(), str::to_owned);
                (name, json!(value))
            });
            let settings: Map<_, _> = settings.collect();
            put("settings", Value::Object(settings));
        }
        Payload::GoAway {
            last_stream,
            error,
            debug,
        } => {
            put("last_stream", json!(last_stream));
            put("error", json!(error.to_string()));
            put("debug", json!(String::from_utf8_lossy(debug)));
        }
        Payload::WindowUpdate(increment) => put("increment", json!(increment)),
        Payload::HeadersPart | Payload::Ping(_) | Payload::Opaque => {}
    }
}

fn headers(frame: &Frame, headers: &Headers, secrets: bool, put: &mut impl FnMut(&str, Value)) {
    let role = match headers.role {
        Role::Request => "request",
        Role::Response => "response",
        Role::TrailersOnly => "trailers only",
        Role::Trailers => "trailers",
        Role::Informational => "informational",
        Role::Push => "push",
    };
    put("role", json!(role));
    let fields = headers.fields.iter();
    let fields: Vec<_> = fields
        .map(|field| {
            let is_hidden = !secrets && is_secret(field);
            let value = if is_hidden {
                masked(field)
            } else {
                field.value()
            };
            json!([field.name(), value])
        })
        .collect();
    put("headers", json!(fields));
    put("decoded", json!(headers.decoded));
    if let Some(status) = frame.status() {
        put("status", json!(status));
    }
}

fn message(message: &Message) -> Value {
    json!({
        "number": message.number,
        "compressed": message.compressed,
        "encoding": message.encoding.to_string(),
        "length": message.length,
        "type": message.type_name(),
        "message": message.json(),
    })
}

fn way(direction: Direction) -> Value {
    json!(match direction {
        Direction::ToServer => "to server",
        Direction::ToClient => "to client",
    })
}
