use std::sync::{Arc, Mutex};

use arbtest::arbtest;
use http_body::Frame;
use tonic::Status;

use super::*;
use crate::testing::Frames;

fn message(compressed: bool, length: usize) -> Vec<u8> {
    let mut message = vec![u8::from(compressed)];
    message.extend((length as u32).to_be_bytes());
    // Payloads that would be prefixes, if they were read as such.
    message.resize(message.len() + length, 1);
    message
}

fn prefixes<'a>(frames: impl IntoIterator<Item = &'a [u8]>) -> Vec<MessagePrefix> {
    let mut scanner = MessageScanner::new();
    let mut found = Vec::new();
    for mut frame in frames {
        while let Some(prefix) = scanner.next_prefix(&mut frame) {
            found.push(prefix);
        }
        assert!(frame.is_empty(), "read to the end");
    }
    found
}

#[test]
fn any_cutting_into_frames_gives_the_same_messages() {
    arbtest(|u| {
        let mut body = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..u.int_in_range(0..=6)? {
            let compressed = u.arbitrary()?;
            let length = u.int_in_range(0..=40)?;
            body.extend(message(compressed, length));
            let length = length as u32;
            expected.push(MessagePrefix { compressed, length });
        }
        let mut frames = Vec::new();
        let mut rest = &body[..];
        while !rest.is_empty() {
            let (frame, after) = rest.split_at(u.int_in_range(0..=rest.len().min(12))?);
            frames.push(frame);
            rest = after;
            if u.is_empty() {
                frames.push(rest);
                break;
            }
        }
        assert_eq!(prefixes(frames), expected);
        Ok(())
    });
}

#[test]
fn one_byte_at_a_time_gives_the_same_messages() {
    let body = [message(false, 3), message(true, 0), message(false, 300)].concat();
    assert_eq!(prefixes(body.chunks(1)), prefixes([&body[..]]));
    let lengths = prefixes([&body[..]]);
    let lengths: Vec<_> = lengths.iter().map(|prefix| prefix.length).collect();
    assert_eq!(lengths, [3, 0, 300]);
}

#[test]
fn only_a_flag_of_one_says_compressed() {
    for flag in 0..=255 {
        let [prefix] = prefixes([&[flag, 0, 0, 0, 0][..]])[..] else {
            panic!("one message")
        };
        assert_eq!(prefix.compressed, flag == 1, "{flag}");
    }
}

#[test]
fn the_largest_length_is_nothing_special() {
    let found = prefixes([&[0, 255, 255, 255, 255][..], &[1; 100]]);
    let length = u32::MAX;
    let compressed = false;
    assert_eq!(found, [MessagePrefix { compressed, length }]);
}

#[tokio::test]
async fn a_body_is_inspected_and_passed_on_as_it_is() {
    let body = [message(false, 3), message(true, 2)].concat();
    let trailers = tonic::codegen::http::HeaderMap::from_iter([(
        Status::GRPC_STATUS,
        tonic::codegen::http::HeaderValue::from_static("0"),
    )]);
    let frames = Frames::new([
        Ok(Frame::data(Bytes::copy_from_slice(&body[..4]))),
        Ok(Frame::data(Bytes::copy_from_slice(&body[4..]))),
        Ok(Frame::trailers(trailers.clone())),
    ]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let inspected = inspect_messages(frames, move |prefix| {
        log.lock().unwrap().push(prefix.length)
    });
    let collected = inspected.collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), body);
    assert_eq!(*seen.lock().unwrap(), [3, 2]);
}

#[test]
fn a_body_that_is_at_its_end_stays_so() {
    assert!(inspect_messages(Body::empty(), |_| ()).is_end_stream());
}

#[test]
fn a_scanner_knows_whether_it_is_within_a_message() {
    let mut scanner = MessageScanner::new();
    let mut is_within_after = |mut data: &[u8]| {
        while scanner.next_prefix(&mut data).is_some() {}
        scanner.is_within_message()
    };
    assert!(!is_within_after(b"\0\0\0"), "a prefix isn't the message");
    assert!(is_within_after(b"\0\x02"));
    assert!(is_within_after(b"h"));
    assert!(!is_within_after(b"i"));
    assert!(!is_within_after(b"\0\0\0\0\0"), "an empty one");
}
