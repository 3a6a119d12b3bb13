//! Every form of `grpc-timeout` that the grammar has, and no other.

use tonic::codegen::http::{HeaderMap, HeaderValue};

use super::*;
use crate::timeout::{GRPC_TIMEOUT, parse, read};

#[test]
fn every_unit_is_read() {
    for (value, expected) in [
        ("2H", Duration::from_secs(7200)),
        ("3M", Duration::from_secs(180)),
        ("4S", Duration::from_secs(4)),
        ("5m", Duration::from_millis(5)),
        ("6u", Duration::from_micros(6)),
        ("7n", Duration::from_nanos(7)),
        ("00000001S", Duration::from_secs(1)),
        ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ("99999999n", Duration::from_nanos(99_999_999)),
        ("0S", Duration::ZERO),
    ] {
        assert_eq!(parse(value.as_bytes()), Some(expected), "{value}");
    }
}

#[test]
fn every_number_of_digits_up_to_eight_is_read_with_every_unit() {
    for (unit, nanos) in [
        ("H", 3_600_000_000_000),
        ("M", 60_000_000_000),
        ("S", 1_000_000_000),
        ("m", 1_000_000),
        ("u", 1_000),
        ("n", 1),
    ] {
        for digits in 1..=8 {
            let number = "123456789"[..digits].to_owned();
            let expected = number.parse::<u128>().unwrap() * nanos;
            let parsed = parse(format!("{number}{unit}").as_bytes()).unwrap();
            assert_eq!(parsed.as_nanos(), expected, "{number}{unit}");
        }
    }
}

#[test]
fn everything_else_is_refused() {
    for value in [
        "",
        "S",
        "1",
        "100",
        "1s",
        "1h",
        "1N",
        "1U",
        "1ms",
        "1 S",
        " 1S",
        "1S ",
        "+1S",
        "-1S",
        "1.5S",
        "1e3m",
        "0x1S",
        "1_0S",
        "123456789S",
        "000000001S",
        "٣S",
        "1S,2S",
        "H1",
        "one",
    ] {
        assert_eq!(parse(value.as_bytes()), None, "{value:?}");
    }
    for byte in (0..=255).filter(|byte| !b"HMSmun".contains(byte)) {
        assert_eq!(parse(&[b'1', byte]), None, "unit {byte}");
    }
    for byte in (0..=255).filter(|byte: &u8| !byte.is_ascii_digit()) {
        assert_eq!(parse(&[b'1', byte, b'S']), None, "digit {byte}");
    }
}

#[test]
fn a_header_that_is_there_twice_is_refused() {
    let mut headers = HeaderMap::new();
    assert_eq!(read(&headers).unwrap(), None);
    headers.append(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
    assert_eq!(read(&headers).unwrap(), Some(Duration::from_secs(1)));
    headers.append(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
    assert_eq!(read(&headers).unwrap_err().code(), Code::Internal);
}

#[test]
fn what_tonic_writes_is_read_back() {
    for nanos in [
        1,
        999,
        99_999_999,
        100_000_000,
        1_500_000_001,
        86_400_000_000_000,
    ] {
        let timeout = Duration::from_nanos(nanos);
        let mut request = Request::new(());
        request.set_timeout(timeout);
        let headers = request.metadata().clone().into_headers();
        let read = read(&headers).unwrap().unwrap();
        // Eight digits are not always enough: the rest is cut off.
        assert!(
            read <= timeout && timeout - read < Duration::from_millis(1),
            "{read:?}"
        );
    }
}
