//! `grpc-timeout`, the header that carries a deadline: the time that is left, in one unit.

use std::time::Duration;

use tonic::Status;
use tonic::codegen::Bytes;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

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

fn malformed() -> Status {
    Status::internal("malformed grpc-timeout: one to eight digits and one of H, M, S, m, u, n")
}

/// Writes `timeout` in the smallest unit that has room for it, rounded down.
pub(super) fn write(timeout: Duration, headers: &mut HeaderMap) {
    headers.insert(GRPC_TIMEOUT, value(timeout));
}

/// A timeout of many calls: how long it is, and how servers are told.
#[cfg(feature = "service_config")]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Timeout {
    duration: Duration,
    header: HeaderValue,
}

#[cfg(feature = "service_config")]
impl Timeout {
    pub(crate) fn new(duration: Duration) -> Self {
        let header = value(duration);
        Self { duration, header }
    }

    pub(crate) fn duration(&self) -> Duration {
        self.duration
    }

    /// Gives a call this much time, if it has more, or as much as it likes. What breaks the grammar
    /// stays.
    pub(crate) fn shorten(&self, headers: &mut HeaderMap) {
        if let Ok(own) = read(headers)
            && own.is_none_or(|own| own > self.duration)
        {
            headers.insert(GRPC_TIMEOUT, self.header.clone());
        }
    }
}

/// What [`write`] writes. Its clones share the text.
fn value(timeout: Duration) -> HeaderValue {
    let seconds = u128::from(timeout.as_secs());
    let units = [
        (timeout.as_nanos(), b'n'),
        (timeout.as_micros(), b'u'),
        (timeout.as_millis(), b'm'),
        (seconds, b'S'),
        (seconds / 60, b'M'),
    ];
    let fits = units.into_iter().find(|&(number, _)| number <= LARGEST);
    let (number, unit) = fits.unwrap_or(((seconds / 3600).min(LARGEST), b'H'));
    let text = Bytes::from_owner(Text::new(number, unit));
    // Digits and a letter are always a value.
    HeaderValue::from_maybe_shared(text).unwrap_or(HeaderValue::from_static("0n"))
}

/// A timeout as it travels: a whole call is too short to allocate a `String` for it.
struct Text {
    bytes: [u8; 9],
    /// Where the digits begin.
    begin: usize,
}

impl Text {
    /// `number` has eight digits at most.
    fn new(mut number: u128, unit: u8) -> Self {
        let mut bytes = [unit; 9];
        let mut begin = bytes.len() - 1;
        for place in bytes[..8].iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
            begin -= 1;
            if number == 0 {
                break;
            }
        }
        Self { bytes, begin }
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }
}
