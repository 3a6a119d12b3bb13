//! Running a lesson: both programs are shown, both are gone afterwards.

use super::*;
use crate::processes::{Event, Stream};
use crate::run::{Screen, View, run};

#[test]
fn shows_both_programs_and_returns_the_code_of_the_client() {
    let fixture = Fixture::new();
    let address = &fixture.course.address;
    let play = || {
        let mut out = Vec::new();
        let code = run(&fixture.course, fixture.lesson(), View::Programs, &mut out);
        TcpListener::bind(address).unwrap();
        (code, String::from_utf8(out).unwrap())
    };

    let (code, out) = play();
    let head = "01 · Tiny · learn 15 minutes, exercises 30, harden 10\n";
    let first = format!("{head}server │ listening on {address}\n");
    assert!(out.starts_with(&first), "{out}");
    let mut rest: Vec<&str> = out[first.len()..].lines().collect();
    rest.sort_unstable();
    assert_eq!(rest, ["client │ hello, Ann", "server │ heard: Ann"]);
    assert_eq!(code.unwrap(), 0);

    fixture.write("client-fails", "");
    let (code, out) = play();
    assert!(out.contains("client │ that is not enough\n"), "{out}");
    assert_eq!(code.unwrap(), 3);

    fixture.remove("client-fails");
    fixture.write("server-quits", "");
    let error = play().0.unwrap_err().to_string();
    assert!(error.starts_with("the server ended by itself: "), "{error}");
}

#[test]
fn shows_the_wire_between_the_programs() {
    let fixture = Fixture::new();
    fixture.write("wire-address", &free_address());
    let mut out = Vec::new();
    let code = run(&fixture.course, fixture.lesson(), View::Wire, &mut out);
    let out = String::from_utf8(out).unwrap();
    assert_eq!(code.unwrap(), 0);
    for line in [
        "client ▸ hello, Ann\n",
        "\nwire   ▸ listening on ",
        "\nA   │ -> Ann\n",
        "server ▸ heard: Ann\n",
    ] {
        assert!(out.contains(line), "{out}");
    }
}

/// Whichever of the two programs is read first.
#[test]
fn a_line_stands_below_the_frames_of_its_call() {
    let mut out = Vec::new();
    let mut screen = Screen::new(View::Wire, &mut out);
    for (from, line) in [
        ("wire", "  client          server"),
        ("wire", "A   │── HEADERS ──>│"),
        ("client", "the answer is 4"),
        ("wire", "A   │<── END_STREAM ──│"),
        ("wire", "    │     │"),
        ("wire", "B   │── HEADERS ──>│"),
        ("server", "another"),
        ("wire", "C   │── HEADERS ──>│"),
        ("client", "the end"),
        ("wire", "B   │<── END_STREAM ──│"),
    ] {
        let line = Some(line.to_owned());
        let stream = Stream::Out;
        screen.take(Event { from, stream, line }).unwrap();
    }
    screen.release().unwrap();
    let expected = "  client          server\nA   │── HEADERS ──>│\nA   │<── END_STREAM ──│\n\
                    client ▸ the answer is 4\n    │     │\nB   │── HEADERS ──>│\nserver ▸ another\n\
                    C   │── HEADERS ──>│\nB   │<── END_STREAM ──│\nclient ▸ the end\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn says_what_to_do_when_the_address_is_taken() {
    let fixture = Fixture::new();
    let _taken = TcpListener::bind(&fixture.course.address).unwrap();
    let mut out = Vec::new();
    let error = run(&fixture.course, fixture.lesson(), View::Programs, &mut out).unwrap_err();
    let sentence = error.to_string();
    assert!(
        sentence.contains("is taken") && sentence.contains("`cargo 01 server 127.0.0.1:50061`")
    );
    let check = check::check(&fixture.course, &fixture.course.lessons, &mut out).unwrap_err();
    assert_eq!(check.to_string(), sentence);
    assert!(out.is_empty());
}

#[test]
fn a_page_may_show_the_wire_between_the_programs() {
    let fixture = Fixture::new();
    let wire = free_address();
    fixture.write("wire-address", &wire);
    let address = &fixture.course.address;
    let page = format!(
        "```console\n$ cargo course 01 --wire\n01 · Tiny · learn 15 minutes, exercises 30, harden 10\n\
         server ▸ listening on {address}\nserver ▸ heard: Ann\n\
         wire   ▸ listening on {wire}, passing on to {address}\n\
         client ▸ hello, Ann\nA   │ -> Ann\nA   │ <- hello, Ann\n```\n"
    );
    let found = |page: &str| {
        fixture.write("README.md", page);
        let programs = crate::cargo::Programs::new();
        text(&check::transcripts(&fixture.course, "README.md", None, programs).unwrap())
    };
    assert_eq!(found(&page), "");
    let wrong = found(&page.replace("│ -> Ann", "│ -> Bob"));
    assert!(
        wrong.contains("\n  - A   │ -> Bob\n  + A   │ -> Ann\n"),
        "{wrong}"
    );
    let wrong = found(&page.replace("heard: Ann", "heard: Bob"));
    assert!(wrong.contains("\n  - server ▸ heard: Bob\n"), "{wrong}");
}

#[test]
fn a_long_line_goes_on_below_itself() {
    for (line, parts) in [
        ("", &[""][..]),
        ("12345", &["12345"]),
        ("123456", &["12345", "6"]),
        ("1234 6", &["1234", "6"]),
        ("12345 7", &["12345", "7"]),
        ("  2 4 6", &["  2 4", "6"]),
        (" 23456", &[" 2345", "6"]),
    ] {
        assert_eq!(crate::run::wrapped(line, 5), parts, "{line}");
    }
}
