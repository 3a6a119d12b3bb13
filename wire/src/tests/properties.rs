//! What holds for any bytes: found by chance, repeated by seed.

use arbtest::arbitrary::{self, Unstructured};
use arbtest::arbtest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::{Tap, json};

/// Frames that are right, nearly right, or nothing.
fn wild_bytes(u: &mut Unstructured) -> arbitrary::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for _ in 0..u.int_in_range(0..=30)? {
        let part = match u.int_in_range(0..=9)? {
            0 => {
                let length = u.int_in_range(0..=64)?;
                u.bytes(length)?.to_vec()
            }
            1 => frame(1, *u.choose(&[0, 1, 4, 5, 0x2c])?, stream(u)?, &request()),
            2 => frame(1, *u.choose(&[4, 5])?, stream(u)?, &response()),
            3 => frame(0, *u.choose(&[0, 1, 8])?, stream(u)?, &greeting("Ann")),
            4 => {
                let mut prefix = vec![u.int_in_range(0..=2)?];
                prefix.extend(u.int_in_range(0..=2_000_000_u32)?.to_be_bytes());
                frame(0, 0, stream(u)?, &prefix)
            }
            5 => {
                let length = u.int_in_range(0..=40)?;
                let payload = u.bytes(length)?;
                frame(u.int_in_range(0..=10)?, u.arbitrary()?, stream(u)?, payload)
            }
            6 => {
                let length = u.int_in_range(0..=60)?;
                frame(
                    *u.choose(&[1, 5, 9])?,
                    *u.choose(&[0, 4])?,
                    stream(u)?,
                    u.bytes(length)?,
                )
            }
            7 => frame(3, 0, stream(u)?, &[0, 0, 0, u.arbitrary()?]),
            8 => {
                let mut setting = vec![0, u.int_in_range(0..=9)?];
                setting.extend(u.arbitrary::<u32>()?.to_be_bytes());
                frame(4, *u.choose(&[0, 0, 1])?, 0, &setting)
            }
            _ => {
                let payload = vec![u.arbitrary()?; u.int_in_range(0..=20_000)?];
                frame(u.int_in_range(0..=9)?, u.arbitrary()?, stream(u)?, &payload)
            }
        };
        bytes.extend(part);
    }
    Ok(bytes)
}

fn stream(u: &mut Unstructured) -> arbitrary::Result<u32> {
    u.int_in_range(0..=7)
}

/// A conversation: who says what, in which order.
fn conversation(u: &mut Unstructured) -> arbitrary::Result<Vec<(Direction, Vec<u8>)>> {
    let mut parts = Vec::new();
    if u.ratio(9, 10)? {
        parts.push((ToServer, HELLO.to_vec()));
        parts.push((ToClient, WELCOME.to_vec()));
    }
    for _ in 0..u.int_in_range(0..=6)? {
        let direction = *u.choose(&[ToServer, ToClient])?;
        parts.push((direction, wild_bytes(u)?));
    }
    Ok(parts)
}

fn decode(parts: &[(Direction, Vec<u8>)], mut split: impl FnMut(usize) -> usize) -> Vec<Event> {
    let mut decoder = Decoder::new(1);
    let mut events = Vec::new();
    for (direction, bytes) in parts {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(split(rest.len()).clamp(1, rest.len()));
            events.extend(decoder.read(*direction, now, Duration::ZERO));
            assert!(decoder.held_bytes() <= Decoder::BOUND);
            rest = later;
        }
    }
    for direction in [ToServer, ToClient] {
        events.extend(decoder.end(direction, Duration::ZERO));
    }
    events
}

#[test]
fn any_bytes_are_decoded_without_a_panic_and_within_the_bound() {
    arbtest(|u| {
        let parts = conversation(u)?;
        for event in decode(&parts, |all| all) {
            // Printing must not panic either.
            json(&event);
            for show in [(false, false), (true, true)] {
                let (all, bytes) = show;
                ladder(
                    std::slice::from_ref(&event),
                    Show {
                        all,
                        bytes,
                        colour: true,
                        secrets: false,
                    },
                );
            }
            if let Some(frame) = event.frame() {
                let parts = crate::view::parts(frame, true);
                let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes.clone()).collect();
                assert_eq!(bytes, frame.bytes);
            }
        }
        Ok(())
    })
    .size_max(200_000)
    .budget_ms(1_500);
}

#[test]
fn how_bytes_are_split_changes_nothing() {
    arbtest(|u| {
        let parts = conversation(u)?;
        let whole = decode(&parts, |all| all);
        assert_eq!(decode(&parts, |_| 1), whole);
        let mut seed: usize = u.arbitrary()?;
        let in_pieces = decode(&parts, |_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 56
        });
        assert_eq!(in_pieces, whole);
        Ok(())
    })
    .size_max(200_000)
    .budget_ms(1_500);
}

#[test]
fn raw_bytes_are_decoded_without_a_panic() {
    arbtest(|u| {
        let bytes: Vec<u8> = u.arbitrary()?;
        decode(&[(ToServer, bytes.clone()), (ToClient, bytes)], |all| all);
        Ok(())
    })
    .budget_ms(500);
}

#[test]
fn any_bytes_in_any_split_arrive_unchanged() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    arbtest(|u| {
        let (up, down) = (wild_bytes(u)?, wild_bytes(u)?);
        let greet = u.ratio(1, 2)?;
        let up = if greet { [HELLO, &up].concat() } else { up };
        let mut splits = Vec::new();
        for _ in 0..20 {
            splits.push(u.int_in_range(1..=3_000)?);
        }
        let (got_up, got_down) = runtime.block_on(exchange(&up, &down, &splits));
        assert_eq!(got_up, up);
        assert_eq!(got_down, down);
        Ok(())
    })
    .size_max(60_000)
    .budget_ms(1_500);
}

/// Sends both through a tap at the same time, and returns what arrived.
async fn exchange(up: &[u8], down: &[u8], splits: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tap = Tap::start(listener.local_addr().unwrap()).await.unwrap();
    let client = TcpStream::connect(tap.address()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let (mut from_tap, mut to_tap) = client.into_split();
    let (mut at_server, mut back) = server.into_split();
    let (mut got_up, mut got_down) = (Vec::new(), Vec::new());
    let (a, b, c, d) = tokio::join!(
        async {
            let mut rest = up;
            for split in splits.iter().cycle() {
                let (now, later) = rest.split_at((*split).min(rest.len()));
                to_tap.write_all(now).await?;
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            to_tap.shutdown().await
        },
        async {
            back.write_all(down).await?;
            back.shutdown().await
        },
        at_server.read_to_end(&mut got_up),
        from_tap.read_to_end(&mut got_down),
    );
    a.unwrap();
    b.unwrap();
    c.unwrap();
    d.unwrap();
    (got_up, got_down)
}
