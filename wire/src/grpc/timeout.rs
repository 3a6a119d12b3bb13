//! How long a call may take: `grpc-timeout`.

use std::time::Duration;

/// What the header's value means, if it's a timeout.
pub(crate) fn timeout(value: &str) -> Option<Duration> {
    let (at, _) = value.char_indices().next_back()?;
    let (digits, unit) = value.split_at(at);
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}
