//! Estimates against what decoding does.

use prost_reflect::{DynamicMessage, MessageDescriptor};

use super::super::size::{DYNAMIC, Refused, estimate};
use super::*;

const TEXT: &str = r#"
syntax = "proto2";
package a;
import "google/protobuf/any.proto";
message M {
  repeated M messages = 1;
  repeated double doubles = 2 [packed = true];
  repeated float floats = 3 [packed = true];
  repeated int32 ints = 4 [packed = true];
  optional string text = 5;
  optional google.protobuf.Any any = 6;
  optional group G = 7 { optional M m = 1; }
  optional fixed64 eight = 8;
  optional fixed32 four = 9;
}
message Like { optional string type_url = 1; optional bytes value = 2; }
"#;

fn message() -> MessageDescriptor {
    let pool = DescriptorPool::from_file_descriptor_set(compile(&[("a.proto", TEXT)])).unwrap();
    pool.get_message_by_name("a.M").unwrap()
}

/// What `bytes` take, by the weights of a dynamic message.
fn size(bytes: &[u8]) -> Result<usize, Refused> {
    estimate(&message(), bytes, DYNAMIC, 1 << 30).map(|left| (1 << 30) - left)
}

#[test]
fn each_kind_of_value_has_its_weight() {
    let (message, value) = (DYNAMIC.message, DYNAMIC.value);
    for (bytes, expected) in [
        (&[][..], message),
        (&[0x20, 1], message + value),
        (&[0x0a, 0], 2 * message + value),
        (&[0x0a, 2, 0x0a, 0], 3 * message + 2 * value),
        (
            &[[0x12, 16].as_slice(), &[0; 16]].concat(),
            message + 3 * value,
        ),
        (
            &[[0x1a, 16].as_slice(), &[0; 16]].concat(),
            message + 5 * value,
        ),
        (&[0x22, 4, 1, 0x80, 1, 1], message + 4 * value),
        (&[0x2a, 3, b'a', b'b', b'c'], message + value + 3),
        (&[0xfa, 0x7f, 2, 0x0a, 0], message + value + 2),
        (&[0x3b, 0x3c], 2 * message + 2 * value),
        (&[0x3b, 0x0a, 0, 0x3c], 3 * message + 3 * value),
        (&[[0x41].as_slice(), &[0; 8]].concat(), message + value),
        (&[[0x4d].as_slice(), &[0; 4]].concat(), message + value),
    ] {
        assert_eq!(size(bytes), Ok(expected), "{bytes:?}");
    }
}

#[test]
fn the_limit_itself_is_enough() {
    let size = size(&[0x0a, 0]).unwrap();
    assert_eq!(estimate(&message(), &[0x0a, 0], DYNAMIC, size), Ok(0));
    assert_eq!(
        estimate(&message(), &[0x0a, 0], DYNAMIC, size - 1),
        Err(Refused::TooLarge)
    );
}

#[test]
fn malformed_bytes_are_refused() {
    for bytes in [
        &[0x0a][..],
        &[0x0a, 1],
        &[0x20],
        &[0x41, 0],
        &[0x4d, 0],
        &[0x3b],
        &[0x3c],
        &[0x3b, 0x44],
        &[
            0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
        ],
        &[0x06],
    ] {
        assert_eq!(size(bytes), Err(Refused::Malformed), "{bytes:?}");
    }
}

fn any(type_url: &str, value: &[u8]) -> Vec<u8> {
    let mut any = Vec::new();
    prost::encoding::string::encode(1, &type_url.to_owned(), &mut any);
    prost::encoding::bytes::encode(2, &value.to_vec(), &mut any);
    any
}

/// Who shows an `Any` decodes what is in it, and counts its depth from zero.
#[test]
fn what_is_inside_of_an_any_counts() {
    let within = |any: &[u8]| {
        let mut bytes = vec![0x32];
        prost::encoding::encode_varint(any.len() as u64, &mut bytes);
        bytes.extend(any);
        bytes
    };
    let many = [0x0a, 0].repeat(1000);
    let known = size(&within(&any("x/a.M", &many))).unwrap();
    let unknown = size(&within(&any("x/a.Unknown", &many))).unwrap();
    assert!(
        known > unknown + 1000 * DYNAMIC.message,
        "{known}, {unknown}"
    );
    // The last type and the last value count.
    let twice = [any("x/a.Unknown", &[]), any("x/a.M", &many)].concat();
    assert!(size(&within(&twice)).unwrap() > 1000 * DYNAMIC.message);
    let mut deep = Vec::new();
    for _ in 0..200 {
        deep = any("x/google.protobuf.Any", &deep);
    }
    assert_eq!(size(&within(&deep)), Err(Refused::TooDeep));
}

#[test]
fn what_only_looks_like_an_any_holds_bytes() {
    let like = message().parent_pool().get_message_by_name("a.Like");
    let bytes = any("x/a.M", &[0xff]);
    estimate(&like.unwrap(), &bytes, DYNAMIC, 1 << 30).unwrap();
}

#[test]
fn groups_count_as_messages_do() {
    for (depth, expected) in [(100, Ok(())), (101, Err(Refused::TooDeep))] {
        let bytes = [[0x3b].repeat(depth), [0x3c].repeat(depth)].concat();
        assert_eq!(size(&bytes).map(drop), expected, "{depth}");
    }
}

#[test]
fn a_hundred_messages_deep_is_deep_enough() {
    for (depth, expected) in [(100, true), (101, false)] {
        let mut bytes = Vec::new();
        for _ in 0..depth {
            let mut outer = vec![0x0a];
            prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
            outer.extend(&bytes);
            bytes = outer;
        }
        assert_eq!(size(&bytes).is_ok(), expected, "{depth}");
    }
}

/// What is malformed to the estimate can't be decoded either, and so on.
#[test]
fn what_can_be_decoded_can_be_estimated() {
    let message = message();
    arbtest::arbtest(|random| {
        let bytes: Vec<u8> = random.arbitrary()?;
        if DynamicMessage::decode(message.clone(), &bytes[..]).is_ok() {
            assert!(size(&bytes).is_ok(), "{bytes:?}");
        }
        Ok(())
    });
}
