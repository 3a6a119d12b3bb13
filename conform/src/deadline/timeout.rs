//! `grpc-timeout`, the header that carries a deadline: the time that is left, in one unit.

use std::time::Duration;

use tonic::Status;
use tonic::codegen::http::{HeaderMap, HeaderValue};

const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The largest number that the header can carry: eight digits.
const LARGEST: u128 = 99_999_999;

/// The longest time that the header can carry: 99,999,999 hours.
pub(super) const LONGEST: Duration = Duration::from_secs(99_999_999 * 3600);

/// Reads the value of a `grpc-timeout` header, such as `250m`; `None` if it isn't of the grammar.
///
/// The grammar is that of [gRPC over HTTP/2], *Requests*: at most eight digits, then one of `H`,
/// `M`, `S`, `m`, `u`, `n` for hours, minutes, seconds, milliseconds, microseconds, nanoseconds. It
/// asks for a positive number; zero, which some callers send when their deadline has passed, is
/// read as zero.
///
/// [gRPC over HTTP/2]: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests
///
/// ```
/// use std::time::Duration;
///
/// use conform::deadline::parse_timeout;
///
/// assert_eq!(parse_timeout(b"250m"), Some(Duration::from_millis(250)));
/// assert_eq!(parse_timeout(b"+1S"), None);
/// ```
pub fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let mut number = 0;
    for digit in digits {
        // Not `str::parse`, which would take a plus sign.
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// The time that the caller gives; `None` if it sets no deadline.
///
/// # Errors
///
/// INTERNAL if the header isn't of the grammar, or is there twice.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let mut values = headers.get_all(GRPC_TIMEOUT).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => parse_timeout(value.as_bytes())
            .map(Some)
            .ok_or_else(malformed),
        (Some(_), Some(_)) => Err(malformed()),
    }
}

/// Whether the caller gives a time.
pub(super) fn is_set(headers: &HeaderMap) -> bool {
    headers.contains_key(GRPC_TIMEOUT)
}

fn malformed() -> Status {
    Status::internal("malformed grpc-timeout: one to eight digits and one of H, M, S, m, u, n")
}

/// Writes `timeout` in the smallest unit that has room for it, rounded down.
pub(super) fn write(timeout: Duration, headers: &mut HeaderMap) {
    let seconds = u128::from(timeout.as_secs());
    let units = [
        (timeout.as_nanos(), 'n'),
        (timeout.as_micros(), 'u'),
        (timeout.as_millis(), 'm'),
        (seconds, 'S'),
        (seconds / 60, 'M'),
    ];
    let fits = units.into_iter().find(|&(number, _)| number <= LARGEST);
    let (number, unit) = fits.unwrap_or(((seconds / 3600).min(LARGEST), 'H'));
    if let Ok(value) = HeaderValue::try_from(format!("{number}{unit}")) {
        headers.insert(GRPC_TIMEOUT, value);
    }
}
