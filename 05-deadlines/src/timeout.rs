//! `grpc-timeout`, the header that carries a deadline: the time that is left, in one unit.
//!
//! The grammar is that of "gRPC over HTTP2", section Requests: at most eight digits, then one of `H`, `M`,
//! `S`, `m`, `u`, `n` for hours, minutes, seconds, milliseconds, microseconds, nanoseconds.

use std::time::Duration;

use tonic::Status;
use tonic::codegen::http::HeaderMap;

/// The name of the header.
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Reads the time that a caller gives, or `None` if it sets no deadline.
///
/// The grammar asks for a positive number. Zero, which callers send whose deadline has passed, is read as
/// no time at all.
///
/// # Errors
///
/// INTERNAL if the header is not of that grammar, or is there twice.
pub fn read(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let mut values = headers.get_all(GRPC_TIMEOUT).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => parse(value.as_bytes()).map(Some).ok_or_else(malformed),
        (Some(_), Some(_)) => Err(malformed()),
    }
}

fn malformed() -> Status {
    Status::internal("malformed grpc-timeout: one to eight digits and one of H, M, S, m, u, n")
}

/// Reads one value, such as `250m`, or returns `None` if it is not of the grammar.
pub fn parse(value: &[u8]) -> Option<Duration> {
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
