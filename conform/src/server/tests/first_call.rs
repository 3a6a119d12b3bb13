//! What counts as the beginning of a call.

use super::super::first_call::FirstCall;
use super::raw::*;

/// After how many bytes a call has begun; the same however they are cut.
fn begins_after(bytes: &[u8]) -> Option<usize> {
    let mut one_by_one = FirstCall::default();
    let begins = |&length: &usize| one_by_one.has_begun(&bytes[length - 1..length]);
    let begin = (1..=bytes.len()).find(begins);
    for size in [2, 3, 7, 10, 33, bytes.len().max(1)] {
        let mut in_pieces = FirstCall::default();
        let mut read = 0;
        let begun = bytes.chunks(size).find(|piece| {
            read += piece.len();
            in_pieces.has_begun(piece)
        });
        assert_eq!(begun.is_some(), begin.is_some(), "in pieces of {size}");
        if let Some(begin) = begin {
            assert!(read >= begin && read < begin + size, "in pieces of {size}");
        }
    }
    begin
}

#[test]
fn a_call_begins_with_the_last_byte_of_its_headers() {
    let block = headers(0);
    let window_update = frame(8, 0, 0, &[0, 0, 1, 0]);
    let begin = [opening(), window_update].concat();
    for call in [
        frame(HEADERS, END_HEADERS, 1, &block),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &block),
        // With padding and priority too.
        frame(HEADERS, END_HEADERS | 0x28, 1, &block),
        [
            frame(HEADERS, 0, 1, &block[..20]),
            frame(CONTINUATION, 0, 1, &[]),
            frame(CONTINUATION, END_HEADERS, 1, &block[20..]),
        ]
        .concat(),
        frame(HEADERS, END_HEADERS, 1, &vec![0x86; 70_000]),
        frame(HEADERS, END_HEADERS, 1, &[]),
    ] {
        let bytes = [begin.clone(), call].concat();
        assert_eq!(begins_after(&bytes), Some(bytes.len()));
        let and_more = [bytes.clone(), frame(DATA, 0, 1, b"more")].concat();
        assert_eq!(begins_after(&and_more), Some(bytes.len()));
    }
}

#[test]
fn other_frames_begin_no_call() {
    for frames in [
        frame(HEADERS, 0, 1, &headers(0)),
        frame(HEADERS, END_STREAM, 1, &headers(0)),
        [
            frame(HEADERS, 0, 1, &headers(0)),
            frame(CONTINUATION, 0, 1, &headers(0)),
        ]
        .concat(),
        (0..=255)
            .filter(|kind| ![HEADERS, CONTINUATION].contains(kind))
            .flat_map(|kind| frame(kind, END_HEADERS, 1, b"12345678"))
            .collect(),
        // What looks like a frame inside of another.
        frame(PING, 0, 0, &frame(HEADERS, END_HEADERS, 1, &headers(0))),
    ] {
        assert_eq!(begins_after(&[opening(), frames].concat()), None);
    }
}

#[test]
fn a_request_of_http1_begins_with_its_empty_line() {
    let request = b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(begins_after(request), Some(request.len()));
    let with_body = [&request[..], b"body\r\n\r\n"].concat();
    assert_eq!(begins_after(&with_body), Some(request.len()));
    for part in [
        &b"POST / HTTP/1.1\r\nHost: localhost\r\n"[..],
        b"P\n\n\n\n\r\r\r\r",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\nx",
        b"POST\r\n\rx\n\r\nx",
        b"POST\r\n\r\rx\n",
        b"POST\n\r\nx",
        b"POST\r\r\n",
    ] {
        assert_eq!(begins_after(part), None, "{part:?}");
    }
    assert_eq!(begins_after(b"POST\r\r\n\r\n"), Some(9));
}

#[test]
fn tls_begins_with_the_first_record_after_the_handshake() {
    let record = |kind: u8, body: &[u8]| {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[kind, 3, 3], &length[..], body].concat()
    };
    let handshake = [record(22, &[23; 300]), record(20, &[1]), record(22, &[])].concat();
    assert_eq!(begins_after(&handshake), None);
    let bytes = [handshake.clone(), record(23, b"secret")].concat();
    assert_eq!(begins_after(&bytes), Some(handshake.len() + 5));
}
