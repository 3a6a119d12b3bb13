//! The rules of HTTP/2 frames, kept and broken, one test a rule.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use prost::Message;

use super::*;
use crate::{Descriptors, FrameType, Json, Payload, Role};

#[test]
fn a_call_is_decoded_from_its_headers_to_its_trailers() {
    let mut decoder = called();
    let data = read(&mut decoder, ToServer, &frame(0, 1, 1, &greeting("Ann")));
    assert_eq!(data[0].messages()[0].text(), r#"{ name: "Ann" }"#);
    assert!(data[0].is_end_stream());
    let answer = read(&mut decoder, ToClient, &frame(1, 4, 1, &response()));
    assert_eq!(answer[0].role(), Some(Role::Response));
    let data = read(&mut decoder, ToClient, &frame(0, 0, 1, &greeting("Hi")));
    assert_eq!(data[0].messages()[0].text(), r#"{ message: "Hi" }"#);
    let trailers = block(&[("grpc-status", "0")]);
    let trailers = read(&mut decoder, ToClient, &frame(1, 5, 1, &trailers));
    assert_eq!(trailers[0].role(), Some(Role::Trailers));
    assert_eq!(trailers[0].status(), Some("OK"));
    assert_eq!(trailers[0].path(), Some("/helloworld.Greeter/SayHello"));
    assert!(decoder.open_calls().is_empty());
}

#[test]
fn an_answer_of_trailers_only_is_told_from_trailers() {
    let mut decoder = called();
    let only = block(&[(":status", "200"), ("grpc-status", "5")]);
    let frames = read(&mut decoder, ToClient, &frame(1, 5, 1, &only));
    assert_eq!(frames[0].role(), Some(Role::TrailersOnly));
    assert_eq!(frames[0].status(), Some("NOT_FOUND"));
}

#[test]
fn a_1xx_response_does_not_take_the_place_of_the_real_one() {
    let mut decoder = called();
    let early = read(
        &mut decoder,
        ToClient,
        &frame(1, 4, 1, &block(&[(":status", "103")])),
    );
    assert_eq!(early[0].role(), Some(Role::Informational));
    let real = read(&mut decoder, ToClient, &frame(1, 4, 1, &response()));
    assert_eq!(real[0].role(), Some(Role::Response));
}

#[test]
fn padding_and_priority_are_not_taken_for_content() {
    let mut decoder = greeted();
    let mut payload = vec![3];
    payload.extend([0x80, 0, 0, 0, 16]);
    payload.extend(request());
    payload.extend([0; 3]);
    let frames = read(&mut decoder, ToServer, &frame(1, 0x2c, 1, &payload));
    assert_eq!(frames[0].violation, None);
    assert_eq!(frames[0].path(), Some("/helloworld.Greeter/SayHello"));
    assert_eq!(frames[0].fields().len(), 3);

    let mut payload = vec![200];
    payload.extend(greeting("Ann"));
    payload.extend([0; 200]);
    let frames = read(&mut decoder, ToServer, &frame(0, 8, 1, &payload));
    assert_eq!(frames[0].messages().len(), 1);
    assert!(matches!(
        frames[0].payload,
        Payload::Data {
            padding: 201,
            unfinished: None,
            ..
        }
    ));
}

#[test]
fn messages_and_frames_need_not_have_the_same_ends() {
    let mut decoder = called();
    let mut bytes = greeting("Ann");
    bytes.extend(greeting("Bob"));
    bytes.extend(&greeting("Cleo")[..3]);
    let frames = read(&mut decoder, ToServer, &frame(0, 0, 1, &bytes));
    let names: Vec<_> = frames[0].messages().iter().map(|m| m.text()).collect();
    assert_eq!(names, [r#"{ name: "Ann" }"#, r#"{ name: "Bob" }"#]);
    assert!(matches!(
        frames[0].payload,
        Payload::Data {
            unfinished: Some((3, None)),
            ..
        }
    ));
    let frames = read(
        &mut decoder,
        ToServer,
        &frame(0, 0, 1, &greeting("Cleo")[3..7]),
    );
    assert!(frames[0].messages().is_empty());
    assert!(matches!(
        frames[0].payload,
        Payload::Data {
            unfinished: Some((7, Some(6))),
            ..
        }
    ));
    let frames = read(
        &mut decoder,
        ToServer,
        &frame(0, 0, 1, &greeting("Cleo")[7..]),
    );
    assert_eq!(frames[0].messages()[0].text(), r#"{ name: "Cleo" }"#);
    assert_eq!(frames[0].messages()[0].number, 3);
}

#[test]
fn an_empty_message_is_a_message() {
    let mut decoder = called();
    let frames = read(&mut decoder, ToServer, &frame(0, 0, 1, &[0; 10]));
    let texts: Vec<_> = frames[0].messages().iter().map(|m| m.text()).collect();
    assert_eq!(texts, ["{}", "{}"]);
}

#[test]
fn headers_go_on_in_continuation_frames() {
    let mut decoder = greeted();
    let block = request();
    let (a, rest) = block.split_at(10);
    let (b, c) = rest.split_at(20);
    let first = read(&mut decoder, ToServer, &frame(1, 1, 1, a));
    assert_eq!(first[0].payload, Payload::HeadersPart);
    let second = read(&mut decoder, ToServer, &frame(9, 0, 1, b));
    assert_eq!(second[0].payload, Payload::HeadersPart);
    let third = read(&mut decoder, ToServer, &frame(9, 4, 1, c));
    assert!(third[0].is_request() && third[0].is_end_stream());
    assert_eq!(third[0].fields().len(), 3);
}

#[test]
fn a_frame_between_headers_and_continuation_costs_all_later_headers() {
    let mut decoder = greeted();
    read(&mut decoder, ToServer, &frame(1, 0, 1, &request()[..10]));
    let events = decoder.read(ToServer, &frame(6, 0, 0, &[0; 8]), Duration::ZERO);
    assert_eq!(
        notes(&events),
        ["the client's headers can no longer be read: a block of headers has no end"]
    );
    let fault = violation(events.iter().find_map(Event::frame).unwrap());
    assert!(fault.starts_with("comes between"));
    let later = read(&mut decoder, ToServer, &frame(1, 4, 3, &request()));
    assert!(matches!(&later[0].payload, Payload::Headers(block) if !block.decoded));
    // The server's headers are another matter.
    let answer = read(&mut decoder, ToClient, &frame(1, 4, 3, &response()));
    assert_eq!(answer[0].header(":status").unwrap(), "200");
}

#[test]
fn a_continuation_of_nothing_is_against_the_rules() {
    let mut decoder = greeted();
    let events = decoder.read(ToServer, &frame(9, 4, 1, &request()), Duration::ZERO);
    assert_eq!(notes(&events).len(), 1);
    assert_eq!(events[0].frame().unwrap().payload, Payload::Opaque);
}

#[test]
fn each_rule_that_a_frame_can_break_is_named() {
    let long = vec![0; 16_385];
    for (kind, flags, stream, payload, named) in [
        (0, 0, 0, &[0; 3][..], "DATA without a stream"),
        (0, 8, 1, &[], "too short for its flags"),
        (0, 8, 1, &[4, 0, 0, 0], "padding is longer"),
        (0, 0, 1, &[7], "no gRPC message begins with the byte 0x07"),
        (0, 0, 1, &long, "longer than the 16384 bytes"),
        (1, 4, 0, &[], "HEADERS without a stream"),
        (1, 0x2c, 3, &[0; 5], "too short for its flags"),
        (1, 0x0c, 3, &[9, 0, 0], "padding is longer"),
        (1, 4, 3, &[0xff, 0xff, 0xff], "HPACK"),
        (1, 4, 3, &[0xbe], "HPACK: header index out of bounds"),
        (1, 4, 2, &[0x82], "odd numbers"),
        (2, 0, 0, &[0; 5], "PRIORITY without a stream"),
        (2, 0, 1, &[0; 4], "five bytes"),
        (3, 0, 1, &[0; 3], "four bytes"),
        (3, 0, 0, &[0; 4], "without a stream"),
        (3, 0, 9, &[0; 4], "never begun"),
        (4, 0, 1, &[], "for the connection"),
        (4, 1, 0, &[0; 6], "is empty"),
        (4, 0, 0, &[0; 7], "six bytes"),
        (5, 4, 1, &[0, 0, 0, 2], "only a server"),
        (5, 4, 1, &[0], "too short"),
        (6, 0, 1, &[0; 8], "for the connection"),
        (6, 0, 0, &[0; 7], "eight bytes"),
        (7, 0, 1, &[0; 8], "for the connection"),
        (7, 0, 0, &[0; 7], "at least eight"),
        (8, 0, 0, &[0; 3], "four bytes"),
        (8, 0, 0, &[0; 4], "grows by nothing"),
    ] {
        let mut decoder = called();
        let frames = read(&mut decoder, ToServer, &frame(kind, flags, stream, payload));
        let fault = violation(&frames[0]);
        assert!(
            fault.contains(named),
            "type {kind}: {fault:?} is not {named:?}"
        );
        // And it goes on.
        let ping = read(&mut decoder, ToServer, &frame(6, 0, 0, b"pingpong"));
        assert_eq!(ping[0].payload, Payload::Ping(*b"pingpong"));
        assert_eq!(ping[0].violation, None);
    }
}

#[test]
fn what_the_peer_allows_is_not_against_the_rules() {
    let mut decoder = called();
    let larger = frame(4, 0, 0, &[0, 5, 0, 0, 0x80, 0]);
    read(&mut decoder, ToClient, &larger);
    let frames = read(&mut decoder, ToServer, &frame(0, 0, 1, &vec![0; 16_385]));
    assert_eq!(frames[0].violation, None);
}

#[test]
fn unknown_frame_types_are_named_by_number_and_otherwise_ignored() {
    let mut decoder = called();
    let frames = read(&mut decoder, ToServer, &frame(0xfe, 0xff, 1, b"whatever"));
    assert_eq!(frames[0].kind, FrameType::Unknown(0xfe));
    assert_eq!(frames[0].violation, None);
    assert!(frames[0].flag_names().is_empty());
}

#[test]
fn a_stream_that_ends_twice_is_noticed() {
    let mut decoder = called();
    let end = frame(0, 1, 1, &greeting("Ann"));
    assert_eq!(read(&mut decoder, ToServer, &end)[0].violation, None);
    let again = read(&mut decoder, ToServer, &frame(0, 1, 1, &[]));
    assert_eq!(
        violation(&again[0]),
        "the client has ended this stream before"
    );
    let reset = frame(3, 0, 1, &[0, 0, 0, 8]);
    let first = read(&mut decoder, ToServer, &reset);
    assert_eq!(
        (first[0].reset(), &first[0].violation),
        (Some("CANCEL"), &None)
    );
    let second = read(&mut decoder, ToServer, &reset);
    assert_eq!(
        violation(&second[0]),
        "the client has reset this stream before"
    );
    // What the server had sent before it heard of that is in order, and still known to be of this
    // call.
    let late = read(&mut decoder, ToClient, &frame(0, 0, 1, &[]));
    assert_eq!(
        (late[0].path(), &late[0].violation),
        (Some("/helloworld.Greeter/SayHello"), &None)
    );
    let anew = read(&mut decoder, ToServer, &frame(1, 4, 1, &request()));
    assert!(anew[0].violation.is_some());
}

#[test]
fn a_table_is_as_large_as_the_other_side_allows() {
    // An encoder that grows its table to 8192 bytes: allowed only once the server has said so.
    let mut grow = vec![0x3f, 0xe1, 0x3f];
    grow.extend(request());
    let mut decoder = greeted();
    let frames = read(&mut decoder, ToServer, &frame(1, 4, 1, &grow));
    assert!(violation(&frames[0]).starts_with("HPACK"));

    let mut decoder = greeted();
    read(
        &mut decoder,
        ToClient,
        &frame(4, 0, 0, &[0, 1, 0, 0, 0x20, 0]),
    );
    let frames = read(&mut decoder, ToServer, &frame(1, 4, 1, &grow));
    assert_eq!(frames[0].violation, None);

    // Less is in force when it has been acknowledged, and not before.
    let mut decoder = greeted();
    read(&mut decoder, ToServer, &frame(4, 1, 0, &[])); // of the SETTINGS in `WELCOME`
    read(&mut decoder, ToClient, &frame(4, 0, 0, &[0, 1, 0, 0, 0, 0]));
    let mut most = vec![0x3f, 0xe1, 0x1f];
    most.extend(request());
    assert_eq!(
        read(&mut decoder, ToServer, &frame(1, 4, 1, &most))[0].violation,
        None
    );
    read(&mut decoder, ToServer, &frame(4, 1, 0, &[]));
    let frames = read(&mut decoder, ToServer, &frame(1, 4, 3, &most));
    assert!(violation(&frames[0]).starts_with("HPACK"));
}

#[test]
fn headers_in_the_table_are_found_again() {
    let mut decoder = greeted();
    let mut block = vec![0x40, 7];
    block.extend(b"x-first\x03one\x40\x08x-second\x03two");
    read(&mut decoder, ToServer, &frame(1, 4, 1, &block));
    let frames = read(&mut decoder, ToServer, &frame(1, 4, 3, &[0xbf, 0xbe]));
    assert_eq!(
        format!("{:?}", frames[0].fields()),
        "[x-first: one, x-second: two]"
    );
}

#[test]
fn huffman_is_undone() {
    // RFC 7541, appendix C.4.1.
    let block = [
        0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90,
        0xf4, 0xff,
    ];
    let mut decoder = greeted();
    let frames = read(&mut decoder, ToServer, &frame(1, 4, 1, &block));
    assert_eq!(frames[0].header(":authority").unwrap(), "www.example.com");
}

#[test]
fn huffman_that_was_seen_before_is_undone_in_the_same_way() {
    // A literal that is not put into the table: h2 writes paths like this.
    let mut path = vec![0x04, 0x95];
    path.extend([
        0x62, 0x72, 0xd1, 0x41, 0xfc, 0x1e, 0xca, 0x24, 0x5f, 0x15, 0x85, 0x2a, 0x4b, 0x63, 0x1b,
        0x87, 0xeb, 0x19, 0x68, 0xa0, 0xff,
    ]);
    let raw = path[2..].to_vec();
    let mut decoder = greeted();
    for stream in [1, 3, 5] {
        let frames = read(&mut decoder, ToServer, &frame(1, 4, stream, &path));
        assert_eq!(frames[0].path(), Some("/helloworld.Greeter/SayHello"));
    }
    // The same bytes, not Huffman-coded, are what they are.
    let mut other = vec![0x04, 0x15];
    other.extend(&raw);
    let frames = read(&mut decoder, ToServer, &frame(1, 4, 7, &other));
    assert_eq!(frames[0].fields()[0].value, raw);
}

#[test]
fn long_strings_keep_their_length_when_they_are_replaced() {
    // 150 times the letter "a", of five bits each: 94 bytes, and 150 needs a length of two bytes.
    let mut coded = Vec::new();
    for _ in 0..18 {
        coded.extend([0x18, 0xc6, 0x31, 0x8c, 0x63]);
    }
    coded.extend([0x18, 0xc6, 0x31, 0x8f]);
    let mut block = vec![0x04, 0x80 | 94];
    block.extend(&coded);
    block.push(0x82);
    let mut decoder = greeted();
    for stream in [1, 3, 5] {
        let frames = read(&mut decoder, ToServer, &frame(1, 4, stream, &block));
        assert_eq!(frames[0].violation, None);
        assert_eq!(frames[0].fields()[0].value(), "a".repeat(150));
        assert_eq!(frames[0].fields()[1].name(), ":method");
    }
}

#[test]
fn a_block_of_headers_has_a_bound_and_so_has_what_it_grows_to() {
    // One header of 4000 bytes in the table, then one byte each time it is meant.
    let mut decoder = greeted();
    let mut block = vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1e];
    block.extend([b'y'; 4000]);
    block.extend([0xbe; 10_000]);
    let frames = read(&mut decoder, ToServer, &frame(1, 4, 1, &block));
    let Payload::Headers(block) = &frames[0].payload else {
        panic!("{:?}", frames[0]);
    };
    assert_eq!(block.fields.len() + block.left_out, 10_001);
    assert!(block.fields.len() < 20);
}

#[test]
fn a_long_block_of_headers_costs_no_other_header() {
    let mut decoder = greeted();
    let first = [&request()[..], b"\x40\x07x-first\x03one"].concat();
    let mut frames = read(&mut decoder, ToServer, &frame(1, 0, 1, &first));
    // A value of 300 000 bytes, to be put into a table of 4096: it empties the table.
    let mut long = b"\x40\x06x-long\x7f".to_vec();
    let mut rest = 300_000 - 127;
    while rest >= 128 {
        long.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    long.push(rest as u8);
    long.extend([b'y'; 300_000]);
    long.extend(b"\x40\x08x-second\x03two");
    // And the same small header again and again.
    long.extend([0xbe; 100_000]);
    for part in long.chunks(16_384) {
        frames.extend(read(&mut decoder, ToServer, &frame(9, 0, 1, part)));
        assert!(decoder.held_bytes() < Decoder::BOUND);
    }
    frames.extend(read(&mut decoder, ToServer, &frame(9, 4, 1, &[])));
    assert!(frames.iter().all(|frame| frame.violation.is_none()));
    let request = frames.last().unwrap();
    assert_eq!(request.path(), Some("/helloworld.Greeter/SayHello"));
    assert_eq!(request.header("x-first").as_deref(), Some("one"));
    assert_eq!(request.header("x-second").as_deref(), Some("two"));
    assert_eq!(request.header("x-long"), None);
    let Payload::Headers(headers) = &request.payload else {
        panic!("{request:?}");
    };
    assert_eq!(
        headers.fields.len() + headers.left_out,
        3 + 1 + 1 + 1 + 100_000
    );
    // What comes later is read, and is known as the call's own.
    let later = read(&mut decoder, ToServer, &frame(1, 4, 3, &[0xbe]));
    assert_eq!(later[0].header("x-second").as_deref(), Some("two"));
    let beyond = read(&mut decoder, ToServer, &frame(3, 0, 1, &[0, 0, 0, 8]));
    assert_eq!(
        (beyond[0].path(), &beyond[0].violation),
        (request.path(), &None)
    );
}

#[test]
fn a_call_whose_headers_cannot_be_read_was_begun_all_the_same() {
    let mut decoder = greeted();
    let events = decoder.read(ToServer, &frame(1, 4, 1, &[0xbe]), Duration::ZERO);
    assert_eq!(notes(&events).len(), 1);
    for stream in [1, 3] {
        let data = read(
            &mut decoder,
            ToServer,
            &frame(0, 0, stream, &greeting("Ann")),
        );
        let reset = read(&mut decoder, ToServer, &frame(3, 0, stream, &[0, 0, 0, 8]));
        assert_eq!(
            violation(&data[0]) + &violation(&reset[0]),
            "",
            "stream {stream}"
        );
        assert!(reset[0].call.is_some() && reset[0].path().is_none());
        // The second one can't be read either, for the first one was missed.
        let next = decoder.read(ToServer, &frame(1, 4, 3, &request()), Duration::ZERO);
        assert!(notes(&next).is_empty(), "said once");
    }
}

#[test]
fn of_a_long_message_the_length_is_shown() {
    let mut decoder = called();
    let mut bytes = vec![0];
    bytes.extend(1_000_000_u32.to_be_bytes());
    read(&mut decoder, ToServer, &frame(0, 0, 1, &bytes));
    for _ in 0..100 {
        read(&mut decoder, ToServer, &frame(0, 0, 1, &[b'a'; 9_999]));
        assert!(decoder.held_bytes() < 512 * 1024);
    }
    let mut last = vec![b'a'; 100];
    last.extend(greeting("Ann"));
    let frames = read(&mut decoder, ToServer, &frame(0, 0, 1, &last));
    let [long, next] = frames[0].messages() else {
        panic!("{frames:?}");
    };
    assert_eq!((long.length, long.is_whole()), (1_000_000, false));
    assert_eq!(long.text(), "(too long to be shown)");
    assert_eq!(next.text(), r#"{ name: "Ann" }"#);
}

#[test]
fn messages_that_never_end_cannot_fill_the_memory() {
    let mut decoder = greeted();
    let mut message = vec![0];
    message.extend(200_000_u32.to_be_bytes());
    message.extend([1; 10_000]);
    for stream in (1..4000).step_by(2) {
        read(&mut decoder, ToServer, &frame(1, 4, stream, &request()));
        read(&mut decoder, ToServer, &frame(0, 0, stream, &message));
        assert!(decoder.held_bytes() < Decoder::BOUND);
    }
}

#[test]
fn streams_beyond_the_bound_are_shown_and_not_followed() {
    let mut decoder = greeted();
    let mut said = Vec::new();
    for stream in (1..20_001).step_by(2) {
        let events = decoder.read(ToServer, &frame(1, 4, stream, &request()), Duration::ZERO);
        assert!(events[0].frame().unwrap().is_request());
        said.extend(notes(&events).into_iter().map(str::to_owned));
        assert!(decoder.held_bytes() < Decoder::BOUND);
    }
    assert_eq!(
        said,
        ["more than 2048 streams are open: the others are not followed"]
    );
}

/// A decoder with a call that is to be compressed like this.
fn compressing(encoding: &str) -> Decoder {
    let mut decoder = greeted();
    let request = block(&[
        (":path", "/helloworld.Greeter/SayHello"),
        ("content-type", "application/grpc"),
        ("grpc-encoding", encoding),
    ]);
    read(&mut decoder, ToServer, &frame(1, 4, 1, &request));
    decoder
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[1], &length[..], bytes].concat()
}

#[test]
fn compressed_messages_are_unpacked() {
    let name = "Ann ".repeat(25);
    let greeting = &greeting(&name)[5..];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(greeting).unwrap();
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    deflate.write_all(greeting).unwrap();
    for (encoding, packed) in [
        ("gzip", gzip.finish().unwrap()),
        ("deflate", deflate.finish().unwrap()),
    ] {
        let mut decoder = compressing(encoding);
        let data = frame(0, 1, 1, &compressed(&packed));
        let events = decoder.read(ToServer, &data, Duration::ZERO);
        let message = &events[0].frame().unwrap().messages()[0];
        assert!(message.compressed);
        assert_eq!(message.text(), format!("{{ name: \"{name}\" }}"));
        assert_eq!(message.json()["name"], name);
        let size = format!("102 bytes, {} as {encoding}", packed.len());
        let text = ladder(&events, Show::default());
        assert!(text.contains(&size), "{text}");
        assert_eq!(message.bytes, packed, "the bytes are those of the wire");
    }
}

#[test]
fn how_long_a_call_took_is_told_where_time_matters() {
    for (timeout, status, millis, told) in [
        ("5S", "0", 150, ""),
        ("5S", "0", 2_400, ""),
        ("5S", "0", 2_600, "after about 2.5 s"),
        ("200m", "5", 150, "after about 150 ms"),
        ("5S", "4", 150, "after about 150 ms"),
        ("200m", "4", 90, ""),
        ("nonsense", "0", 60_000, ""),
    ] {
        let mut decoder = greeted();
        let request = block(&[
            (":path", "/helloworld.Greeter/SayHello"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", timeout),
        ]);
        read(&mut decoder, ToServer, &frame(1, 5, 1, &request));
        let trailers = block(&[
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", status),
        ]);
        let at = Duration::from_millis(millis);
        let events = decoder.read(ToClient, &frame(1, 5, 1, &trailers), at);
        let text = ladder(&events, Show::default());
        assert!(text.contains("grpc-status: "), "{text}");
        assert_eq!(text.contains("after about"), !told.is_empty(), "{text}");
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn what_cannot_be_unpacked_is_named() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; 50_000_000]).unwrap();
    let bomb = bomb.finish().unwrap();
    for (encoding, packed, text) in [
        ("gzip", &bomb[..], "(compressed, and too long to be shown)"),
        ("gzip", &[9, 9], "(compressed, and not gzip)"),
        ("deflate", &[9, 9], "(compressed, and not deflate)"),
        ("zstd", &[9, 9], "(compressed with zstd)"),
        ("\x1b[2J", &[9, 9], "(compressed with \\u{1b}[2J)"),
        ("identity", &[9, 9], "(compressed, without a grpc-encoding)"),
    ] {
        let mut decoder = compressing(encoding);
        let mut frames = Vec::new();
        for part in compressed(packed).chunks(16_384) {
            frames.extend(read(&mut decoder, ToServer, &frame(0, 0, 1, part)));
        }
        let message = &frames.last().unwrap().messages()[0];
        assert_eq!(message.text(), text);
        assert_eq!(message.json(), serde_json::Value::Null);
        assert!(!crate::view::parts(&frames[0], true).is_empty());
    }
}

/// What is wrong with each frame of a call whose server answers with these frames.
fn answered(path: &str, requests: usize, frames: &[Vec<u8>]) -> Vec<String> {
    let mut decoder = greeted();
    let request = block(&[
        (":method", "POST"),
        (":path", path),
        ("content-type", "application/grpc"),
    ]);
    let body = greeting("Ann").repeat(requests);
    let mut seen = read(&mut decoder, ToServer, &frame(1, 4, 1, &request));
    seen.extend(read(&mut decoder, ToServer, &frame(0, 1, 1, &body)));
    for frame in frames {
        seen.extend(read(&mut decoder, ToClient, frame));
    }
    seen.iter()
        .map(violation)
        .filter(|violation| !violation.is_empty())
        .collect()
}

#[test]
fn each_rule_of_grpc_that_a_call_can_break_is_named() {
    const UNARY: &str = "/helloworld.Greeter/SayHello";
    const WATCH: &str = "/grpc.health.v1.Health/Watch";
    const UNKNOWN: &str = "/somebody.Elses/Method";
    let headers = || frame(1, 4, 1, &response());
    let reply = || frame(0, 0, 1, &greeting("Hi"));
    let trailers = |fields: &[(&str, &str)]| frame(1, 5, 1, &block(fields));
    let ok = || trailers(&[("grpc-status", "0")]);
    let only = |status| {
        let grpc = ("content-type", "application/grpc");
        frame(
            1,
            5,
            1,
            &block(&[(":status", "200"), grpc, ("grpc-status", status)]),
        )
    };
    let early = block(&[
        (":status", "200"),
        ("content-type", "application/grpc"),
        ("grpc-status", "5"),
    ]);
    let early = frame(1, 4, 1, &early);
    let no_status = frame(1, 5, 1, &response());
    for (path, frames, named) in [
        (UNARY, vec![headers(), reply(), ok()], ""),
        (UNARY, vec![only("5")], ""),
        (
            UNARY,
            vec![headers(), trailers(&[("grpc-status", "13")])],
            "",
        ),
        (
            UNARY,
            vec![early.clone()],
            "grpc-status in headers that don't end the stream",
        ),
        (
            UNARY,
            vec![headers(), frame(0, 1, 1, &greeting("Hi"))],
            "ends without trailers",
        ),
        (
            UNARY,
            vec![headers(), reply(), trailers(&[("x", "y")])],
            "trailers without grpc-status",
        ),
        (UNARY, vec![no_status], "trailers without grpc-status"),
        (UNARY, vec![headers(), ok()], "OK without a message"),
        (UNARY, vec![only("0")], "OK without a message"),
        (
            UNARY,
            vec![headers(), reply(), reply(), ok()],
            "2 messages from the server",
        ),
        (WATCH, vec![headers(), ok()], ""),
        (WATCH, vec![headers(), reply(), reply(), ok()], ""),
        (UNKNOWN, vec![headers(), reply(), reply(), ok()], ""),
    ] {
        let found = answered(path, 1, &frames);
        assert_eq!(
            found.len(),
            usize::from(!named.is_empty()),
            "{path} {named}: {found:?}"
        );
        assert!(found.concat().contains(named), "{found:?} is not {named}");
    }
    let well = [headers(), reply(), ok()];
    for (requests, named) in [
        (0, "0 messages from the client"),
        (2, "2 messages from the client"),
    ] {
        let found = answered(UNARY, requests, &well);
        assert!(found.concat().contains(named), "{found:?} is not {named}");
    }
    assert!(answered(UNKNOWN, 2, &well).is_empty());
}

#[test]
fn grpc_web_and_http_have_rules_of_their_own() {
    let mut decoder = greeted();
    let web = ("content-type", "application/grpc-web+proto");
    let request = block(&[(":path", "/helloworld.Greeter/SayHello"), web]);
    let mut frames = read(&mut decoder, ToServer, &frame(1, 4, 1, &request));
    frames.extend(read(
        &mut decoder,
        ToServer,
        &frame(0, 1, 1, &greeting("Ann")),
    ));
    let response = block(&[(":status", "200"), web]);
    frames.extend(read(&mut decoder, ToClient, &frame(1, 4, 1, &response)));
    let body = [&greeting("Hi")[..], b"\x80\0\0\0\x0fgrpc-status: 0\n"].concat();
    frames.extend(read(&mut decoder, ToClient, &frame(0, 1, 1, &body)));
    let plain = block(&[(":path", "/"), (":method", "GET")]);
    frames.extend(read(&mut decoder, ToServer, &frame(1, 5, 3, &plain)));
    let page = block(&[(":status", "200"), ("content-type", "text/html")]);
    frames.extend(read(&mut decoder, ToClient, &frame(1, 4, 3, &page)));
    frames.extend(read(&mut decoder, ToClient, &frame(0, 1, 3, b"<html>")));
    assert_eq!(frames.iter().map(violation).collect::<String>(), "");
}

#[test]
fn header_names_are_lower_case() {
    let mut decoder = called();
    let answer = block(&[
        (":status", "200"),
        ("content-type", "application/grpc"),
        ("X-Id", "7"),
    ]);
    let frames = read(&mut decoder, ToClient, &frame(1, 4, 1, &answer));
    assert_eq!(
        violation(&frames[0]),
        "header names are lower case, not X-Id"
    );
}

#[test]
fn a_number_of_eight_bytes_is_shown_by_its_kind() {
    use prost_reflect::Kind;

    let minus_two = 2_i64.cast_unsigned().wrapping_neg();
    for (kind, bits, text) in [
        (Kind::Double, 2.5_f64.to_bits(), "2.5"),
        (Kind::Fixed64, 300, "300"),
        (Kind::Sfixed64, minus_two, "-2"),
    ] {
        assert_eq!(crate::grpc::fixed64_text(&kind, bits), text);
    }
    for (kind, bits, text) in [
        (Kind::Float, 2.5_f32.to_bits(), "2.5"),
        (Kind::Fixed32, 300, "300"),
        (Kind::Sfixed32, u32::MAX - 1, "-2"),
    ] {
        assert_eq!(crate::grpc::fixed32_text(&kind, bits), text);
    }
}

#[test]
fn without_a_proto_fields_have_numbers() {
    let mut decoder = greeted();
    let unknown = block(&[
        (":path", "/somebody.Elses/Method"),
        ("content-type", "application/grpc+proto"),
    ]);
    read(&mut decoder, ToServer, &frame(1, 4, 1, &unknown));
    let message = [
        0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 1, 0, 0, 0, 0x22, 1, 0xff,
    ];
    let mut bytes = vec![0, 0, 0, 0, 15];
    bytes.extend(message);
    let frames = read(&mut decoder, ToServer, &frame(0, 0, 1, &bytes));
    let message = &frames[0].messages()[0];
    assert_eq!(message.type_name(), None);
    assert_eq!(
        message.text(),
        r#"{ 1: 150, 2: "hi", 3: 0x00000001, 4: 1 byte: ff }"#
    );
    assert_eq!(message.json()["2"][0], "hi");
}

#[test]
fn what_is_no_protobuf_is_shown_as_bytes() {
    let mut decoder = called();
    let frames = read(
        &mut decoder,
        ToServer,
        &frame(0, 0, 1, &[0, 0, 0, 0, 2, 0x0a, 9]),
    );
    assert_eq!(
        frames[0].messages()[0].text(),
        "(not a HelloRequest: 2 bytes: 0a 09)"
    );
}

#[test]
fn the_protos_of_the_course_and_of_the_standard_services_are_known() {
    let descriptors = Descriptors::built_in();
    for path in [
        "/helloworld.Greeter/SayHello",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        assert!(descriptors.method(path).is_some(), "{path}");
    }
    for name in [
        "google.rpc.Status",
        "google.rpc.BadRequest",
        "google.protobuf.Any",
    ] {
        assert!(descriptors.message(name).is_some(), "{name}");
    }
}

#[test]
fn the_details_of_an_error_are_shown_with_their_names() {
    let info = tonic_types::pb::ErrorInfo {
        reason: "NO_STOCK".to_owned(),
        ..Default::default()
    };
    let status = tonic_types::pb::Status {
        code: 5,
        message: "gone".to_owned(),
        details: vec![prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
            value: info.encode_to_vec(),
        }],
    };
    let value = BASE64_STANDARD.encode(status.encode_to_vec());
    assert_eq!(
        crate::grpc::status_details(value.as_bytes(), &Descriptors::built_in()).unwrap(),
        r#"{ code: 5, message: "gone", details: [google.rpc.ErrorInfo { reason: "NO_STOCK" }] }"#
    );
    // With and without the padding of base64.
    let details = crate::grpc::status_details(b"CAUSBGdvbmU=", &Descriptors::built_in()).unwrap();
    assert_eq!(details, r#"{ code: 5, message: "gone" }"#);
}

#[test]
fn what_is_not_http2_is_named_in_one_sentence() {
    for (direction, bytes, sentence) in [
        (
            ToServer,
            &b"\x16\x03\x01\x02\x00\x01\x00"[..],
            "the client speaks TLS: only lengths can be read",
        ),
        (
            ToServer,
            b"GET / HTTP/1.1\r\n",
            "the client speaks HTTP/1, not gRPC: passed on, not shown",
        ),
        (
            ToServer,
            b"PUT / HTTP/1.1\r\n",
            "the client speaks HTTP/1, not gRPC: passed on, not shown",
        ),
        (
            ToServer,
            b"PRI / HTTP/1.1\r\n",
            "the client speaks something that isn't HTTP/2: passed on, not shown",
        ),
        (
            ToServer,
            b"\x05\x01\x00",
            "the client speaks something that isn't HTTP/2: passed on, not shown",
        ),
    ] {
        let mut decoder = Decoder::new(1);
        let events = decoder.read(direction, bytes, Duration::ZERO);
        assert_eq!(notes(&events), [sentence]);
        assert!(
            decoder
                .read(ToClient, b"HTTP/1.1 200 OK\r\n", Duration::ZERO)
                .is_empty()
        );
        // Of TLS there's one record, and then nothing that is one.
        let more = decoder.read(ToServer, &[0; 1000], Duration::ZERO).len();
        assert_eq!(more, usize::from(sentence.contains("TLS")));
    }
    for (bytes, named) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], "HTTP/1"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"220 mail.example.com\r\n", "something"),
    ] {
        let mut decoder = Decoder::new(1);
        read(&mut decoder, ToServer, HELLO);
        let events = decoder.read(ToClient, bytes, Duration::ZERO);
        assert!(notes(&events)[0].starts_with(&format!("the server speaks {named}")));
    }
}

#[test]
fn what_the_end_of_a_connection_cuts_off_is_named() {
    let mut decoder = called();
    read(&mut decoder, ToServer, &frame(1, 0, 3, &request()[..5]));
    read(
        &mut decoder,
        ToServer,
        &frame(9, 4, 3, &request()[5..])[..20],
    );
    read(&mut decoder, ToClient, &[0, 0]);
    let events = decoder.end(ToServer, Duration::ZERO);
    let notes = notes(&events);
    assert_eq!(
        notes,
        [
            "the client ended inside of a block of headers, after 16 bytes",
            "the client ended inside of a CONTINUATION frame of 76 bytes",
        ]
    );
    let events = decoder.end(ToClient, Duration::ZERO);
    assert_eq!(
        super::notes(&events),
        ["the server ended inside of the head of a frame"]
    );
    assert!(decoder.end(ToClient, Duration::ZERO).is_empty());
    let mut decoder = Decoder::new(1);
    read(&mut decoder, ToServer, &HELLO[..10]);
    assert_eq!(decoder.end(ToServer, Duration::ZERO).len(), 1);
    assert_eq!(decoder.open_calls().len(), 0);
}

#[test]
fn data_of_what_is_no_grpc_is_counted_and_not_decoded() {
    let mut decoder = called();
    let page = block(&[(":status", "502"), ("content-type", "text/html")]);
    read(&mut decoder, ToClient, &frame(1, 4, 1, &page));
    let events = decoder.read(ToClient, &frame(0, 1, 1, b"<html>"), Duration::ZERO);
    assert_eq!(events[0].frame().unwrap().violation, None);
    assert!(ladder(&events, Show::default()).contains("DATA, 6 bytes"));
}

#[test]
fn a_push_keeps_the_table_in_step() {
    let mut decoder = called();
    let mut promise = vec![0, 0, 0, 2, 0x40, 7];
    promise.extend(b"x-first\x03one");
    let frames = read(&mut decoder, ToClient, &frame(5, 4, 1, &promise));
    assert_eq!(frames[0].role(), Some(Role::Push));
    assert_eq!(frames[0].violation, None);
    let frames = read(&mut decoder, ToClient, &frame(1, 4, 1, &[0x88, 0xbe]));
    assert_eq!(frames[0].header("x-first").unwrap(), "one");
}

#[test]
fn what_came_over_the_wire_cannot_move_the_cursor() {
    let mut decoder = called();
    let evil = block(&[(":status", "200"), ("x-evil", "\x1b[2J\u{202e}\u{9b}2J")]);
    let mut events = decoder.read(ToClient, &frame(1, 4, 1, &evil), Duration::ZERO);
    let mut message = vec![0, 0, 0, 0, 6, 0x0a, 4];
    message.extend(b"\x1b[2J");
    events.extend(decoder.read(ToServer, &frame(0, 0, 1, &message), Duration::ZERO));
    events.extend(decoder.read(
        ToClient,
        &frame(7, 0, 0, b"\0\0\0\0\0\0\0\x0b\x1b[2J"),
        Duration::ZERO,
    ));
    for (all, bytes) in [(false, false), (true, false), (true, true)] {
        let show = Show {
            all,
            bytes,
            colour: false,
            secrets: false,
        };
        let text = ladder(&events, show);
        assert!(
            !text.contains('\x1b') && !text.contains('\u{202e}'),
            "{text}"
        );
        assert!(text.contains("\\u{1b}[2J"));
    }
    let mut json = Vec::new();
    for event in &events {
        Json::new(&mut json, false).event(event).unwrap();
    }
    let json = String::from_utf8(json).unwrap();
    assert!(
        json.lines()
            .all(|line| !line.contains(|c: char| c.is_control() || c == '\u{202e}'))
    );
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first["headers"][1][1], "\x1b[2J\u{202e}\u{9b}2J");
}

#[test]
fn every_line_has_eighty_columns() {
    let mut decoder = called();
    let mut events = Vec::new();
    let long = "long ".repeat(20);
    let headers = block(&[
        (":status", "200"),
        ("x-long", &long),
        (
            "x-猫",
            "猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫",
        ),
    ]);
    events.extend(decoder.read(ToClient, &frame(1, 4, 1, &headers), Duration::ZERO));
    events.extend(decoder.read(
        ToServer,
        &frame(0, 0, 1, &greeting(&"x".repeat(120))),
        Duration::ZERO,
    ));
    events.extend(decoder.read(ToServer, &frame(0xfe, 0, 1, &[0; 300]), Duration::ZERO));
    events.extend(decoder.read(ToServer, &frame(8, 0, 1, &[0; 3]), Duration::ZERO));
    let last = block(&[("grpc-status", "9"), ("grpc-message", "no%20%E7%8C%AB")]);
    events.extend(decoder.read(ToClient, &frame(1, 5, 1, &last), Duration::ZERO));
    for (all, bytes) in [(false, false), (true, false), (false, true), (true, true)] {
        let text = ladder(
            &events,
            Show {
                all,
                bytes,
                colour: false,
                secrets: false,
            },
        );
        for line in text.lines().skip(1) {
            assert_eq!(crate::text::width(line), 80, "{line}");
        }
        assert!(all || bytes || text.contains("grpc-message: no 猫"));
    }
}
