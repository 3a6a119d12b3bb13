//! Any bytes, in any order of directions and any split: no panic, and never more memory than the
//! bound.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use wire::{Decoder, Direction, Ladder, Printer, Show, json};

// Each piece begins with two bytes: which direction, how it is to be split, and how long it is.
fuzz_target!(|data: &[u8]| {
    let (mut whole, mut split) = (Decoder::new(1), Decoder::new(1));
    let (mut events, mut in_pieces) = (Vec::new(), Vec::new());
    let mut rest = data;
    while let [how, length, tail @ ..] = rest {
        let direction = match how & 1 {
            0 => Direction::ToServer,
            _ => Direction::ToClient,
        };
        let (piece, next) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = next;
        events.extend(whole.read(direction, piece, Duration::ZERO));
        for part in piece.chunks(usize::from(how >> 1).max(1)) {
            in_pieces.extend(split.read(direction, part, Duration::ZERO));
            assert!(split.held_bytes() <= Decoder::BOUND);
        }
    }
    for direction in [Direction::ToServer, Direction::ToClient] {
        events.extend(whole.end(direction, Duration::ZERO));
        in_pieces.extend(split.end(direction, Duration::ZERO));
    }
    assert_eq!(events, in_pieces);
    let show = Show::default();
    for (all, bytes) in [(false, false), (true, true)] {
        let mut ladder = Ladder::new(std::io::sink(), Show { all, bytes, ..show });
        for event in &events {
            json(event);
            assert!(ladder.event(event).is_ok());
        }
    }
});
