//! Frame for frame and header for header what Wireshark's decoder saw in the same bytes.

use serde_json::{Value, json};

use super::*;
use crate::FrameType;
use crate::{Decoder, Payload};

#[test]
fn lesson_01_is_decoded_as_tshark_decodes_it() {
    compare(include_str!("../../fixtures/01.json"), 1, 28);
}

#[test]
fn lesson_05_is_decoded_as_tshark_decodes_it() {
    compare(include_str!("../../fixtures/05.json"), 3, 56);
}

fn compare(fixture: &str, connections: usize, frames: usize) {
    let fixture: Value = serde_json::from_str(fixture).unwrap();
    let recorded = fixture["connections"].as_array().unwrap();
    assert_eq!(recorded.len(), connections);
    let mut compared = 0;
    for connection in recorded {
        let mut decoder = Decoder::new(1);
        let mut seen = Vec::new();
        for segment in connection["segments"].as_array().unwrap() {
            let direction = match segment[0].as_str().unwrap() {
                "client" => ToServer,
                _ => ToClient,
            };
            let bytes = from_hex(segment[1].as_str().unwrap());
            seen.extend(read(&mut decoder, direction, &bytes));
        }
        let theirs = connection["frames"].as_array().unwrap();
        for (ours, theirs) in seen.iter().zip(theirs) {
            assert_eq!(&reduced(ours), theirs);
            assert_eq!(ours.violation, None);
        }
        assert_eq!(seen.len(), theirs.len());
        compared += seen.len();
        let lengths: Vec<_> = seen
            .iter()
            .flat_map(Frame::messages)
            .map(|message| message.length)
            .collect();
        assert_eq!(json!(lengths), connection["message_lengths"]);
        for message in seen.iter().flat_map(Frame::messages) {
            assert!(message.type_name().is_some());
        }
    }
    assert_eq!(compared, frames);
}

/// A frame in the form of the fixture.
fn reduced(frame: &Frame) -> Value {
    let kind = match frame.kind {
        FrameType::Data => 0,
        FrameType::Headers => 1,
        FrameType::RstStream => 3,
        FrameType::Settings => 4,
        FrameType::Ping => 6,
        FrameType::GoAway => 7,
        FrameType::WindowUpdate => 8,
        other => panic!("{other} is in no fixture"),
    };
    let mut object = json!({
        "from": frame.direction.sender(),
        "type": kind,
        "flags": frame.flags,
        "stream": frame.stream,
        "length": frame.length,
    });
    match &frame.payload {
        Payload::Headers(block) => {
            let headers: Vec<_> = block
                .fields
                .iter()
                .map(|field| json!([field.name(), field.value()]))
                .collect();
            object["headers"] = json!(headers);
        }
        Payload::Settings(settings) if !settings.is_empty() => {
            object["settings"] = json!(settings);
        }
        Payload::Reset(error) | Payload::GoAway { error, .. } => object["error"] = json!(error.0),
        Payload::WindowUpdate(increment) => object["increment"] = json!(increment),
        _ => {}
    }
    object
}

fn from_hex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
