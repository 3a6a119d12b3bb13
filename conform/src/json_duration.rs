//! Durations as proto3's JSON has them: `"1.5s"`.

use std::time::Duration;

/// The longest, of about ten thousand years.
pub(crate) const MAX_SECONDS: u64 = 315_576_000_000;

/// A number as JSON has them, without a sign and an exponent, with up to nine decimals, and `s`.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (seconds, nanos) = match number.split_once('.') {
        Some((seconds, decimals)) => (seconds, nanos(decimals)?),
        None => (number, 0),
    };
    let has_spare_zero = seconds.len() > 1 && seconds.starts_with('0');
    if seconds.is_empty() || has_spare_zero || !is_digits(seconds) {
        return None;
    }
    // One that doesn't fit is longer than all that are allowed.
    let seconds = seconds.parse().unwrap_or(u64::MAX);
    Some(Duration::new(seconds, nanos))
}

fn nanos(decimals: &str) -> Option<u32> {
    if !(1..=9).contains(&decimals.len()) || !is_digits(decimals) {
        return None;
    }
    format!("{decimals:0<9}").parse().ok()
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
