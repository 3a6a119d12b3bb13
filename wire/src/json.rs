//! One JSON object an event, for other programs.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use crate::decoder::error_text;
use crate::event::{Direction, End, Event, Frame, Payload, Role};
use crate::frame::setting_name;
use crate::message::Message;

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
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| {
        object.insert(key.to_owned(), value);
    };
    match event {
        Event::Opened { connection, at } => {
            put("event", json!("opened"));
            put("at", json!(at.as_secs_f64()));
            put("connection", json!(connection));
        }
        Event::Note {
            connection,
            at,
            text,
        } => {
            put("event", json!("note"));
            put("at", json!(at.as_secs_f64()));
            put("connection", json!(connection));
            put("text", json!(text));
        }
        Event::HalfClosed {
            connection,
            at,
            direction,
        } => {
            put("event", json!("half_closed"));
            put("at", json!(at.as_secs_f64()));
            put("connection", json!(connection));
            put("direction", way(*direction));
        }
        Event::Closed {
            connection,
            at,
            end,
            open,
            to_server,
            to_client,
        } => {
            put("event", json!("closed"));
            put("at", json!(at.as_secs_f64()));
            put("connection", json!(connection));
            put(
                "end",
                match end {
                    End::Finished => json!("finished"),
                    End::Reset(Direction::ToServer) => json!("reset by the client"),
                    End::Reset(Direction::ToClient) => json!("reset by the server"),
                    End::ResetByTap => json!("reset as told"),
                    End::Dropped => json!("dropped"),
                    End::Refused(reason) => json!(format!("refused: {reason}")),
                },
            );
            let open: Vec<_> = open.iter().map(|call| call.number).collect();
            put("open_calls", json!(open));
            put("bytes_to_server", json!(to_server));
            put("bytes_to_client", json!(to_client));
        }
        Event::Frame(frame) => self::frame(frame, &mut put),
    }
    Value::Object(object)
}

fn frame(frame: &Frame, put: &mut impl FnMut(&str, Value)) {
    put("event", json!("frame"));
    put("at", json!(frame.at.as_secs_f64()));
    put("connection", json!(frame.connection));
    put("direction", way(frame.direction));
    put("stream", json!(frame.stream));
    put("type", json!(frame.kind.to_string()));
    put("flags", json!(frame.flag_names()));
    put("length", json!(frame.length));
    if let Some(call) = &frame.call {
        put("call", json!(call.number));
        put("path", json!(call.path));
    }
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
        Payload::Headers(block) => {
            put(
                "role",
                json!(match block.role {
                    Role::Request => "request",
                    Role::Response => "response",
                    Role::TrailersOnly => "trailers only",
                    Role::Trailers => "trailers",
                    Role::Informational => "informational",
                    Role::Push => "push",
                }),
            );
            let fields: Vec<_> = block
                .fields
                .iter()
                .map(|field| json!([field.name(), field.value()]))
                .collect();
            put("headers", json!(fields));
            put("decoded", json!(block.decoded));
            if let Some(status) = frame.status() {
                put("status", json!(status));
            }
        }
        Payload::Reset(code) => put("error", json!(error_text(*code))),
        Payload::Settings(settings) => {
            let settings: Map<_, _> = settings
                .iter()
                .map(|(id, value)| {
                    let name = setting_name(*id).map_or_else(|| id.to_string(), str::to_owned);
                    (name, json!(value))
                })
                .collect();
            put("settings", Value::Object(settings));
        }
        Payload::GoAway {
            last_stream,
            error,
            debug,
        } => {
            put("last_stream", json!(last_stream));
            put("error", json!(error_text(*error)));
            put("debug", json!(String::from_utf8_lossy(debug)));
        }
        Payload::WindowUpdate(increment) => put("increment", json!(increment)),
        Payload::HeadersPart | Payload::Ping(_) | Payload::Opaque => {}
    }
    if let Some(fault) = &frame.fault {
        put("fault", json!(fault));
    }
    if frame.held {
        put("held", json!(true));
    }
    put("bytes", json!(BASE64_STANDARD.encode(&frame.bytes)));
}

fn message(message: &Message) -> Value {
    json!({
        "number": message.number,
        "compressed": message.compressed,
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
