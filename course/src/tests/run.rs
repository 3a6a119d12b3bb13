//! Running a lesson: both programs are shown, both are gone afterwards.

use super::*;
use crate::run::{View, run};

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
        "client │ hello, Ann\n",
        "\nA   │ -> Ann\n",
        "server │ heard: Ann\n",
    ] {
        assert!(out.contains(line), "{out}");
    }
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
