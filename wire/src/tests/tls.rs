//! What is left to be seen of TLS, and tokens that aren't shown.

use super::*;
use crate::{Json, Only, TlsRecord, json};

/// A ClientHello for `localhost` that offers `h2`, in its record.
fn hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0, 0, 27]);
    body.extend(b"\0\0\0\x0e\0\x0c\0\0\x09localhost");
    body.extend(b"\0\x10\0\x05\0\x03\x02h2");
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}

fn conversation() -> Vec<Event> {
    let mut decoder = Decoder::new(1);
    let mut events = Vec::new();
    for (direction, bytes) in [
        (ToServer, hello()),
        (
            ToClient,
            b"\x16\x03\x03\0\x02\x02\0\x14\x03\x03\0\x01\x01".to_vec(),
        ),
        (ToClient, [&b"\x17\x03\x03\0\x20"[..], &[0; 32]].concat()),
        (ToServer, [&b"\x17\x03\x03\0\x30"[..], &[0; 48]].concat()),
        (ToServer, b"\x15\x03\x03\0\x02\x01\0".to_vec()),
    ] {
        // Byte by byte, as slow as a connection may be.
        for byte in bytes {
            events.extend(decoder.read(direction, &[byte], Duration::ZERO));
        }
    }
    events
}

fn records(events: &[Event]) -> Vec<TlsRecord> {
    let records = events.iter().filter_map(|event| match &event.kind {
        EventKind::Tls(record) => Some(record.clone()),
        _ => None,
    });
    records.collect()
}

#[test]
fn the_first_message_names_the_server_and_lengths_still_speak() {
    let events = conversation();
    let records = records(&events);
    let hello = records[0].hello.as_ref().unwrap();
    assert_eq!(hello.server_name.as_deref(), Some("localhost"));
    assert_eq!(hello.protocols, ["h2"]);
    let lengths: Vec<_> = records[1..].iter().map(|it| it.length).collect();
    assert_eq!(lengths, [2, 1, 32, 48, 2]);
    let ladder = ladder(&events, Show::default());
    let lines: Vec<_> = ladder
        .lines()
        .map(|line| line.trim_matches([' ', '│']))
        .collect();
    let expected = [
        "connection 1: the client speaks TLS: only lengths can be read",
        "── TLS ClientHello ─",
        "server name: localhost",
        "ALPN: h2",
        "─ TLS handshake, 2 bytes ──",
        "─ encrypted, 32 bytes ──",
        "── encrypted, 48 bytes ─",
        "── TLS alert, 2 bytes ─",
    ];
    assert_eq!(lines.len(), expected.len() + 1, "{ladder}");
    for (line, expected) in lines[1..].iter().zip(expected) {
        assert!(line.contains(expected), "{expected}: {line}");
    }
}

#[test]
fn everything_is_there_on_request() {
    let show = Show {
        all: true,
        ..Show::default()
    };
    assert!(ladder(&conversation(), show).contains("TLS change of keys, 1 byte "));
    let object = json(&conversation()[1]);
    assert_eq!(object["event"], "tls");
    assert_eq!(object["direction"], "to server");
    assert_eq!(object["server_name"], "localhost");
    assert_eq!(object["protocols"][0], "h2");
    let mut only = Only::default();
    only.add("Greeter/SayHello").unwrap();
    assert!(only.filter(&conversation()[1]).is_none());
}

#[test]
fn a_server_that_answers_plain_text_with_an_alert_is_named() {
    let mut decoder = greeted_by_client();
    let events = decoder.read(ToClient, b"\x15\x03\x03\0\x02\x02\x32", Duration::ZERO);
    let expected = "the server speaks TLS: only lengths can be read";
    assert_eq!(notes(&events), [expected]);
    assert_eq!(records(&events)[0].length, 2);
}

fn greeted_by_client() -> Decoder {
    let mut decoder = Decoder::new(1);
    read(&mut decoder, ToServer, HELLO);
    decoder
}

#[test]
fn what_a_peer_sends_in_its_names_is_escaped() {
    let mut hello = hello();
    let at = hello.len() - 2;
    hello[at] = 0x1b;
    let events = Decoder::new(1).read(ToServer, &hello, Duration::ZERO);
    assert!(!ladder(&events, Show::default()).contains('\x1b'));
}

const TOKEN: &str = "a-very-secret-token-1234";

fn signed_call() -> Vec<Event> {
    let bearer = format!("Bearer {TOKEN}");
    let fields = [
        (":method", "POST"),
        (":path", "/helloworld.Greeter/SayHello"),
        ("authorization", bearer.as_str()),
        ("cookie", "id=a-very-secret-token-1234"),
    ];
    let bytes = frame(1, 4, 1, &block(&fields));
    greeted().read(ToServer, &bytes, Duration::ZERO)
}

fn printed_json(secrets: bool) -> String {
    let mut out = Vec::new();
    for event in signed_call() {
        Json::new(&mut out, secrets).event(&event).unwrap();
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn tokens_are_shown_only_if_somebody_asks_for_them() {
    for (all, bytes) in [(false, false), (true, false), (false, true), (true, true)] {
        let show = |secrets| Show {
            all,
            bytes,
            colour: false,
            secrets,
        };
        let hidden = ladder(&signed_call(), show(false));
        assert!(!hidden.contains("secret"), "{hidden}");
        // Nor in hexadecimal digits.
        assert!(!hidden.contains("73 65 63 72 65 74"), "{hidden}");
        assert!(
            hidden.contains("authorization: Bearer …, 24 bytes"),
            "{hidden}"
        );
        assert!(hidden.contains("cookie: …, 27 bytes"), "{hidden}");
        assert!(ladder(&signed_call(), show(true)).contains(TOKEN));
    }
    let hidden = printed_json(false);
    assert!(!hidden.contains("secret") && hidden.contains("Bearer …, 24 bytes"));
    assert!(
        !hidden.contains("\"bytes\""),
        "they can be decoded: {hidden}"
    );
    let shown = printed_json(true);
    assert!(shown.contains(TOKEN) && shown.contains("\"bytes\""));
}

#[test]
fn a_credential_without_a_scheme_is_hidden_as_a_whole() {
    let fields = [
        (":method", "POST"),
        ("authorization", "a-very-secret-token"),
    ];
    let events = greeted().read(ToServer, &frame(1, 4, 1, &block(&fields)), Duration::ZERO);
    let ladder = ladder(&events, Show::default());
    assert!(ladder.contains("authorization: …, 19 bytes"), "{ladder}");
    let fields = [
        (":method", "POST"),
        ("authorization", "a-very-secret-token in two"),
    ];
    let events = greeted().read(ToServer, &frame(1, 4, 1, &block(&fields)), Duration::ZERO);
    assert!(!super::ladder(&events, Show::default()).contains("secret"));
}
