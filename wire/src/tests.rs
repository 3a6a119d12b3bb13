//! What the wire view promises, by frames made by hand, by real traffic, and by chance.

use std::time::Duration;

use crate::{Decoder, Direction, Event, EventKind, Frame, Ladder, Printer, Show};

mod faults;
mod foreign;
mod properties;
mod recordings;
mod rules;
mod service;
mod testing;
mod tls;
#[cfg(feature = "tls")]
mod tls_inside;
mod traffic;
mod types;

use Direction::{ToClient, ToServer};

/// What a client says first: the preface, and SETTINGS without a setting.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What a server says first.
const WELCOME: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// A frame, byte by byte.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A block of headers, each written out and none remembered.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// The headers that begin a call of lesson 01.
fn request() -> Vec<u8> {
    block(&[
        (":method", "POST"),
        (":path", "/helloworld.Greeter/SayHello"),
        ("content-type", "application/grpc"),
    ])
}

/// The headers that begin an answer.
fn response() -> Vec<u8> {
    block(&[(":status", "200"), ("content-type", "application/grpc")])
}

/// A message of lesson 01 with its prefix.
fn greeting(name: &str) -> Vec<u8> {
    let mut message = vec![0x0a, u8::try_from(name.len()).unwrap()];
    message.extend(name.as_bytes());
    let mut bytes = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
    bytes.extend(message);
    bytes
}

/// A decoder whose peers have greeted each other.
fn greeted() -> Decoder {
    let mut decoder = Decoder::new(1);
    assert_eq!(read(&mut decoder, ToServer, HELLO).len(), 1);
    assert_eq!(read(&mut decoder, ToClient, WELCOME).len(), 1);
    decoder
}

/// A decoder with a call of lesson 01 on stream 1.
fn called() -> Decoder {
    let mut decoder = greeted();
    let frames = read(&mut decoder, ToServer, &frame(1, 4, 1, &request()));
    assert!(frames[0].is_request());
    decoder
}

fn read(decoder: &mut Decoder, direction: Direction, bytes: &[u8]) -> Vec<Frame> {
    let events = decoder.read(direction, bytes, Duration::ZERO);
    events
        .into_iter()
        .filter_map(|event| event.frame().cloned())
        .collect()
}

fn notes(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Note(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn ladder(events: &[Event], show: Show) -> String {
    let mut ladder = Ladder::new(Vec::new(), show);
    for event in events {
        ladder.event(event).unwrap();
    }
    String::from_utf8(ladder.into_inner()).unwrap()
}

/// The rule that a frame breaks, as it is printed.
fn violation(frame: &Frame) -> String {
    frame
        .violation
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default()
}
