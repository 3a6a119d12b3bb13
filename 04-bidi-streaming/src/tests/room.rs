//! The room by itself, without a network: who may come in, and how much it keeps.

use super::*;
use crate::room::{SEATS, WAITING};

#[test]
fn a_guest_who_never_listens_costs_so_many_lines_and_no_more() {
    let room = room();
    let (ann, _) = room.join("Ann".into()).unwrap();
    let (_bob, mut heard) = room.join("Bob".into()).unwrap();
    for _ in 0..1_000 {
        ann.say(&Line::new("", "Hello.")).unwrap();
    }
    for _ in 0..WAITING {
        assert_eq!(heard.try_recv().unwrap().show(), "Ann: Hello.");
    }
    heard.try_recv().unwrap_err();
    // The count comes first, then what is new. It is told once.
    for text in ["Are you there?", "Good."] {
        ann.say(&Line::new("", text)).unwrap();
    }
    for line in [
        "* you missed 936 lines",
        "Ann: Are you there?",
        "Ann: Good.",
    ] {
        assert_eq!(heard.try_recv().unwrap().show(), line);
    }
    heard.try_recv().unwrap_err();
}

#[test]
fn a_name_is_taken_once_and_is_free_again() {
    let room = room();
    let ann = room.join("Ann".into()).unwrap();
    let refused = room.join("Ann".into()).err().unwrap();
    assert_eq!(refused.code(), Code::AlreadyExists);
    drop(ann);
    room.join("Ann".into()).unwrap();
}

#[test]
fn names_are_short_and_visible() {
    let room = room();
    let longest = "x".repeat(32);
    for name in ["Zoë Müller", "王", &longest] {
        room.join(name.into()).unwrap();
    }
    let too_long = format!("{longest}x");
    for name in [
        "",
        " ",
        "a\nb",
        "\u{1b}[2J",
        "\u{9b}2J",
        "\u{202e}nnA",
        &too_long,
    ] {
        let refused = room.join(name.into()).err();
        let refused = refused.unwrap_or_else(|| panic!("{name:?} was let in"));
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}

#[test]
fn the_room_has_so_many_seats() {
    let room = room();
    let join = |number: usize| room.join(number.to_string());
    let mut guests: Vec<_> = (0..SEATS).map(|number| join(number).unwrap()).collect();
    let refused = join(SEATS).err().unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    guests.pop();
    join(SEATS).unwrap();
}

fn room() -> Arc<Room> {
    Arc::new(Room::new(mpsc::channel(1).0))
}
