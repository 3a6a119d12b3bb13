//! Times as the ladder prints them: exact if they were set, rounded if they differ from run to run.

use std::time::Duration;

use crate::grpc::timeout;
use crate::text::safe;

/// What a timeout comes to. One that was set is exact; one that is left over differs from run to
/// run.
pub(super) fn timeout_text(value: &str) -> String {
    let shown = safe(value);
    let Some(timeout) = timeout(value) else {
        return format!("grpc-timeout: {shown}, which isn't a timeout");
    };
    let digits = value[..value.len() - 1].trim_end_matches('0');
    let fine = matches!(value.as_bytes().last(), Some(b'u' | b'n'));
    if fine && digits.len() > 2 {
        format!("grpc-timeout: about {} left", roughly(timeout))
    } else {
        format!("grpc-timeout: {shown}, which is {}", exactly(timeout))
    }
}

fn exactly(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    for (unit, size) in [("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1000)] {
        if nanos >= size && (nanos.is_multiple_of(size) || nanos >= 10 * size) {
            return format!("{} {unit}", nanos as f64 / size as f64);
        }
    }
    format!("{nanos} ns")
}

/// In steps that are coarse enough to be the same in every run: 1, 1.5, 2, 2.5, 3, 4, … 9, 10, 15,
/// …
pub(super) fn roughly(duration: Duration) -> String {
    let micros = duration.as_micros().max(1);
    let mut scale: u128 = 1;
    while micros >= scale * 10 {
        scale *= 10;
    }
    // In halves of the first digit.
    let halves = (micros * 2 + scale / 2) / scale;
    let halves = if halves > 5 {
        halves.div_ceil(2) * 2
    } else {
        halves
    };
    let micros = halves * scale / 2;
    let nanos = u64::try_from(micros * 1000).unwrap_or(u64::MAX);
    let rounded = Duration::from_nanos(nanos);
    let (value, unit) = match micros {
        1_000_000.. => (rounded.as_secs_f64(), "s"),
        1000.. => (micros as f64 / 1000.0, "ms"),
        _ => (micros as f64, "µs"),
    };
    format!("{value} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_rounded() {
        for (micros, text) in [
            (199_912, "200 ms"),
            (203_999, "200 ms"),
            (1_999_870, "2 s"),
            (1_498_000, "1.5 s"),
            (2_499_000, "2.5 s"),
            (2_999_123, "3 s"),
            (999_100, "1 s"),
            (697_000, "700 ms"),
            (5_000, "5 ms"),
            (9_800_000, "10 s"),
            (12, "10 µs"),
        ] {
            assert_eq!(roughly(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn a_timeout_that_was_set_is_exact_and_one_that_is_left_is_not() {
        for (value, text) in [
            ("200m", "200m, which is 200 ms"),
            ("200000u", "200000u, which is 200 ms"),
            ("5S", "5S, which is 5 s"),
            ("1H", "1H, which is 3600 s"),
            ("199873u", "about 200 ms left"),
            ("1999873u", "about 2 s left"),
            ("soon", "soon, which isn't a timeout"),
            ("", ", which isn't a timeout"),
            ("123456789S", "123456789S, which isn't a timeout"),
            ("1µ", "1µ, which isn't a timeout"),
        ] {
            assert_eq!(timeout_text(value), format!("grpc-timeout: {text}"));
        }
    }
}
