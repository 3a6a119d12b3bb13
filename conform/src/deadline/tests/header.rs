//! The header and its grammar.

use super::super::timeout::{LONGEST, read, write};
use super::*;

#[test]
fn the_grammar_is_that_of_grpc_over_http2() {
    for (value, nanos) in [
        ("1n", 1),
        ("1u", 1_000),
        ("1m", 1_000_000),
        ("1S", 1_000_000_000),
        ("1M", 60_000_000_000),
        ("1H", 3_600_000_000_000),
        ("00000020m", 20_000_000),
        ("99999999n", 99_999_999),
        ("12345678S", 12_345_678_000_000_000),
        ("0n", 0),
    ] {
        let expected = Some(Duration::from_nanos(nanos));
        assert_eq!(parse_timeout(value.as_bytes()), expected, "{value}");
    }
    assert_eq!(parse_timeout(b"99999999H"), Some(LONGEST));
    for value in [
        "",
        "n",
        "1",
        "100000000n",
        "000000001S",
        "+1S",
        "-1S",
        " 1S",
        "1S ",
        "1 S",
        "1s",
        "1h",
        "1ms",
        "1.5S",
        "1,5S",
        "0x1S",
        "S1",
        "٣S",
        "1/S",
        "1:S",
    ] {
        assert_eq!(parse_timeout(value.as_bytes()), None, "{value:?}");
    }
    assert_eq!(parse_timeout(b"\xff"), None);
}

#[test]
fn a_header_is_read_once() {
    let mut headers = HeaderMap::new();
    assert_eq!(read(&headers).unwrap(), None);
    headers.insert("grpc-timeout", "20m".parse().unwrap());
    assert_eq!(read(&headers).unwrap(), Some(millis(20)));
    headers.append("grpc-timeout", "20m".parse().unwrap());
    assert_eq!(read(&headers).unwrap_err().code(), Code::Internal);
    headers.insert("grpc-timeout", "20".parse().unwrap());
    assert_eq!(read(&headers).unwrap_err().code(), Code::Internal);
}

#[test]
fn what_is_written_has_eight_digits_at_most_and_is_never_more() {
    for (timeout, expected) in [
        (Duration::ZERO, "0n"),
        (Duration::from_nanos(1), "1n"),
        (Duration::from_nanos(99_999_999), "99999999n"),
        (Duration::from_nanos(100_000_000), "100000u"),
        (Duration::from_nanos(100_000_999), "100000u"),
        (Duration::from_micros(99_999_999), "99999999u"),
        (Duration::from_micros(100_000_000), "100000m"),
        (Duration::from_millis(100_000_000), "100000S"),
        (Duration::from_secs(99_999_999), "99999999S"),
        (Duration::from_secs(100_000_000), "1666666M"),
        (Duration::from_secs(60 * 99_999_999 + 59), "99999999M"),
        (Duration::from_secs(60 * 100_000_000), "1666666H"),
        (LONGEST, "99999999H"),
        (Duration::MAX, "99999999H"),
    ] {
        let mut headers = HeaderMap::new();
        headers.append("grpc-timeout", "1S".parse().unwrap());
        headers.append("grpc-timeout", "2S".parse().unwrap());
        write(timeout, &mut headers);
        assert_eq!(headers.get_all("grpc-timeout").iter().count(), 1);
        assert_eq!(headers["grpc-timeout"], expected);
        let read = read(&headers).unwrap().unwrap();
        assert!(read <= timeout, "{read:?} > {timeout:?}");
        // The loss is less than one in a hundred thousand.
        assert!(read >= timeout.min(LONGEST) - timeout.min(LONGEST) / 100_000);
    }
}
