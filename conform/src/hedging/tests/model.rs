//! All short scripts of what servers do, against a model that is written from gRFC A6 alone.

use tokio::time::timeout;

use super::*;

/// When a slow answer comes, and a quick one, and when the next attempt is due: no two sums of a
/// few of them are the same.
const SLOW: u64 = 27;
const QUICK: u64 = 3;
const DELAY: u64 = 10;

/// Each letter of a script. UNAVAILABLE isn't fatal, DATA_LOSS is.
fn alphabet() -> [Act; 10] {
    let push = |code, value| Act::Push(code, value);
    [
        after(QUICK, Act::Ok),
        after(SLOW, Act::Ok),
        after(QUICK, Act::Late(Code::Unavailable)),
        after(QUICK, UNAVAILABLE),
        after(SLOW, Act::Fail(Code::DataLoss)),
        after(QUICK, push(Code::Unavailable, &["41"])),
        after(QUICK, push(Code::Unavailable, &["-1"])),
        Act::NeverLeft,
        Act::Refused,
        Act::Hang,
    ]
}

#[derive(Debug, PartialEq)]
struct Expected {
    /// When each attempt is sent, and what is said of those before.
    attempts: Vec<(u64, u32)>,
    /// `None`: it hangs.
    end: Option<(u64, Code)>,
    /// In thousandths.
    tokens: i32,
    /// How many attempts are cancelled.
    cancelled: u32,
}

/// What comes next: the earliest of the answers under way, or the next attempt.
enum Event {
    Answer(Act),
    Hedge,
}

/// What should become of a call, with a bucket of `size` tokens.
fn model(script: &[Act], max: u32, size: i32) -> Expected {
    let mut script = script.iter().cloned();
    let mut attempts = Vec::new();
    let mut under_way: Vec<(u64, Act)> = Vec::new();
    let (mut tokens, mut may_be_refused) = (size * 1000, true);
    let mut begun = 0;
    let mut due = Some(0);
    let mut last = None;
    let end = loop {
        // The earliest event; answers have no time in common with attempts.
        let answer = (0..under_way.len()).min_by_key(|&n| under_way[n].0);
        let first = answer
            .map(|n| under_way[n].0)
            .filter(|&time| time < u64::MAX);
        let (now, event) = match (first, due) {
            (None, None) if under_way.is_empty() => break last,
            (None, None) => break None,
            (Some(time), due) if due.is_none_or(|due| time < due) => {
                (time, Event::Answer(under_way.remove(answer.unwrap()).1))
            }
            (_, due) => (due.unwrap(), Event::Hedge),
        };
        let act = match event {
            Event::Hedge if begun > 0 && 2 * tokens <= size * 1000 => {
                due = None;
                continue;
            }
            Event::Hedge => {
                // Those that no server has seen are sent again on the spot.
                let act = loop {
                    attempts.push((now, begun));
                    match script.next().unwrap_or(Act::Hang) {
                        Act::NeverLeft => {}
                        Act::Refused if may_be_refused => may_be_refused = false,
                        act => break act,
                    }
                };
                begun += 1;
                due = Some(now + DELAY).filter(|_| begun < max);
                let (time, act) = match act {
                    Act::After(time, act) => (now + time.as_millis() as u64, *act),
                    Act::Hang => (u64::MAX, Act::Hang),
                    act => (now, act),
                };
                under_way.push((time, act));
                continue;
            }
            Event::Answer(act) => act,
        };
        let code = match act {
            Act::Ok => {
                tokens = (tokens + 500).min(size * 1000);
                break Some((now, Code::Ok));
            }
            Act::Late(code) => {
                tokens = (tokens - 1000).max(0);
                break Some((now, code));
            }
            Act::Fail(code) | Act::Push(code, _) => code,
            _ => Code::Unavailable,
        };
        if code != Code::Unavailable {
            break Some((now, code));
        }
        tokens = (tokens - 1000).max(0);
        last = Some((now, code));
        if due.is_some() {
            due = match act {
                Act::Push(_, ["-1"]) => None,
                Act::Push(..) => Some(now + 41),
                _ => Some(now),
            };
        }
    };
    let cancelled = under_way.len() as u32;
    Expected {
        attempts,
        end,
        tokens,
        cancelled,
    }
}

async fn check(max: u32, size: u32, length: u32) {
    let refused = refused().await;
    let alphabet = alphabet();
    for number in 0..alphabet.len().pow(length) {
        let letter = |place| alphabet[number / alphabet.len().pow(place) % alphabet.len()].clone();
        let acts: Vec<_> = (0..length).map(letter).collect();
        let throttle = Throttle::new(size, 500).unwrap();
        let expected = model(&acts, max, size as i32);
        let script = Script::new(acts.clone(), &refused);
        let channel = layered(hedge(max).throttle(throttle.clone()), &script);
        let begun = tokio::time::Instant::now();
        let ended = timeout(Duration::from_secs(10), call(channel, request(None))).await;
        let seen = script.seen().into_iter();
        let attempts = seen.map(|seen| {
            let previous = seen.previous.map_or(0, |said| said.parse().unwrap());
            (seen.at.as_millis() as u64, previous)
        });
        let end = ended
            .ok()
            .map(|ended| (begun.elapsed().as_millis() as u64, ended.code));
        let became = Expected {
            attempts: attempts.collect(),
            end,
            tokens: throttle.thousandths() as i32,
            cancelled: script.dropped(),
        };
        assert_eq!(became, expected, "{acts:?}, at most {max}, {size} tokens");
    }
}

#[tokio::test(start_paused = true)]
async fn with_many_tokens() {
    check(3, 1000, 4).await;
}

#[tokio::test(start_paused = true)]
async fn with_few_tokens() {
    check(4, 4, 4).await;
    check(2, 1, 2).await;
}
