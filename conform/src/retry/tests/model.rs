//! All short scripts of what servers do, against a model that is written from gRFC A6 alone.

use tokio::time::timeout;

use super::*;

/// Each letter of a script. Codes: UNAVAILABLE is listed, DATA_LOSS isn't.
const ALPHABET: [Act; 10] = [
    Act::Ok,
    Act::Late(Code::Unavailable),
    Act::Fail(Code::Unavailable),
    Act::Fail(Code::DataLoss),
    Act::Push(Code::Unavailable, &["40"]),
    Act::Push(Code::Unavailable, &["-1"]),
    Act::Push(Code::DataLoss, &["x"]),
    Act::NeverLeft,
    Act::Refused,
    Act::Hang,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Pause {
    None,
    Exactly(u64),
    /// Within the jitter.
    About(u64),
}

#[derive(Debug, PartialEq)]
struct Expected {
    /// What is said of attempts before, and the pause.
    attempts: Vec<(u32, Pause)>,
    /// `None`: it hangs.
    end: Option<Code>,
    /// In thousandths.
    tokens: i32,
}

/// What should become of a call. `max` is 1 without a policy; the bucket has `size` tokens, and a
/// success brings half of one.
fn model(script: &[Act], max: u32, size: i32) -> Expected {
    let mut attempts = vec![(0, Pause::None)];
    let mut tokens = size * 1000;
    let (mut previous, mut in_a_row, mut may_be_refused) = (0, 0, true);
    for act in script {
        let mut retryable = false;
        let mut push = None;
        let code = match act {
            Act::Ok => {
                tokens = (tokens + 500).min(size * 1000);
                return Expected {
                    attempts,
                    end: Some(Code::Ok),
                    tokens,
                };
            }
            Act::Hang => {
                return Expected {
                    attempts,
                    end: None,
                    tokens,
                };
            }
            Act::NeverLeft => {
                attempts.push((previous, Pause::None));
                continue;
            }
            Act::Refused if may_be_refused => {
                may_be_refused = false;
                attempts.push((previous, Pause::None));
                continue;
            }
            Act::Late(code) => {
                if max > 1 {
                    tokens = (tokens - 1000).max(0);
                }
                return Expected {
                    attempts,
                    end: Some(*code),
                    tokens,
                };
            }
            Act::Fail(code) => *code,
            Act::Push(code, values) => {
                push = Some(values[0].parse::<i64>().unwrap_or(-1));
                *code
            }
            _ => Code::Unavailable,
        };
        if max > 1 && code == Code::Unavailable {
            retryable = true;
        }
        let stops = push.is_some_and(|push| push < 0);
        if retryable || stops {
            tokens = (tokens - 1000).max(0);
        }
        let has_tokens = 2 * tokens > size * 1000;
        if !retryable || stops || !has_tokens || previous + 1 == max {
            return Expected {
                attempts,
                end: Some(code),
                tokens,
            };
        }
        previous += 1;
        let pause = match push {
            Some(push) => {
                in_a_row = 0;
                Pause::Exactly(push as u64)
            }
            None => {
                in_a_row += 1;
                Pause::About([100, 200, 300, 300][in_a_row - 1])
            }
        };
        attempts.push((previous, pause));
    }
    // The script is at its end, and then servers hang.
    Expected {
        attempts,
        end: None,
        tokens,
    }
}

/// All scripts of `length` letters; what comes after a letter that ends a call says nothing.
fn scripts(length: u32) -> impl Iterator<Item = Vec<Act>> {
    let letters = ALPHABET.len();
    (0..letters.pow(length)).map(move |mut number| {
        let letter = |_| {
            let letter = ALPHABET[number % letters].clone();
            number /= letters;
            letter
        };
        (0..length).map(letter).collect()
    })
}

async fn check(max: u32, size: u32, length: u32) {
    let refused = refused().await;
    for acts in scripts(length) {
        let throttle = Throttle::new(size, 500).unwrap();
        let mut layer = RetryLayer::new().throttle(throttle.clone());
        if max > 1 {
            layer = layer.policy(policy(max));
        }
        let expected = model(&acts, max, size as i32);
        let script = Script::new(acts.clone(), &refused);
        let ended = timeout(
            Duration::from_secs(10),
            call(layered(layer, &script), request(None)),
        );
        let end = ended.await.ok().map(|ended| ended.code);
        let what = format!("{acts:?}, at most {max}, {size} tokens: {expected:?}");
        assert_eq!(end, expected.end, "{what}");
        assert_eq!(throttle.thousandths() as i32, expected.tokens, "{what}");
        let seen = script.seen();
        assert_eq!(seen.len(), expected.attempts.len(), "{what}");
        let mut before = Duration::ZERO;
        for (seen, (previous, pause)) in seen.iter().zip(expected.attempts) {
            let said = seen
                .previous
                .as_ref()
                .map_or(0, |said| said.parse().unwrap());
            assert_eq!(said, previous, "{what}");
            let paused = seen.at - before;
            before = seen.at;
            let is_right = match pause {
                Pause::None => paused.is_zero(),
                Pause::Exactly(pause) => paused == millis(pause),
                Pause::About(pause) => is_about(paused, pause),
            };
            assert!(is_right, "{paused:?}: {what}");
        }
        assert_eq!(script.dropped(), u32::from(end.is_none()), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_policy() {
    check(1, 4, 3).await;
}

#[tokio::test(start_paused = true)]
async fn with_a_policy() {
    check(3, 1000, 4).await;
}

#[tokio::test(start_paused = true)]
async fn with_a_policy_and_few_tokens() {
    check(4, 4, 4).await;
    check(2, 1, 2).await;
}
