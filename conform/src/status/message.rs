//! The message of a status, which a peer may have written wrongly.

use tonic::Status;
use tonic::codegen::http::{HeaderMap, HeaderValue};

/// Replaces what is no UTF-8 in the message of these headers or trailers. tonic would drop the
/// message, and the code with it: PROTOCOL-HTTP2, *Responses*, "When decoding invalid values,
/// implementations MUST NOT error or throw away the message".
pub(super) fn make_readable(headers: &mut HeaderMap) {
    let Some(message) = headers.get(Status::GRPC_MESSAGE) else {
        return;
    };
    let message = decode(message.as_bytes());
    if str::from_utf8(&message).is_ok() {
        return;
    }
    if let Ok(message) = HeaderValue::try_from(encode(&String::from_utf8_lossy(&message))) {
        headers.insert(Status::GRPC_MESSAGE, message);
    }
}

/// Takes percent-encodings for what they stand for; broken ones stay as they are.
fn decode(mut text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = text {
        let (byte, rest) = match text {
            [b'%', high, low, rest @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, rest),
                _ => (*first, &text[1..]),
            },
            _ => (*first, rest),
        };
        bytes.push(byte);
        text = rest;
    }
    bytes
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// PROTOCOL-HTTP2, *Responses*, *Percent-Encoded*.
fn encode(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b' '..=b'$' | b'&'..=b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn read(message: &'static [u8]) -> (HeaderValue, Status) {
        let mut headers = HeaderMap::new();
        headers.insert(Status::GRPC_STATUS, "5".parse().unwrap());
        headers.insert(Status::GRPC_MESSAGE, message.try_into().unwrap());
        make_readable(&mut headers);
        let status = Status::from_header_map(&headers).unwrap();
        (headers[Status::GRPC_MESSAGE].clone(), status)
    }

    #[test]
    fn a_message_that_is_no_utf_8_takes_neither_itself_nor_the_code_away() {
        for (message, expected) in [
            (&b"50%25 of %ff"[..], "50% of \u{fffd}"),
            (b"caf\xe9", "caf\u{fffd}"),
            (b"%e2%82 %zz %4", "\u{fffd} %zz %4"),
            (b"%FF%0a~", "\u{fffd}\n~"),
        ] {
            let (_, status) = read(message);
            assert_eq!(status.code(), Code::NotFound);
            assert_eq!(status.message(), expected);
        }
    }

    #[test]
    fn one_that_is_stays_as_it_is() {
        for message in [
            &b"no such book"[..],
            b"caf%C3%a9",
            b"caf\xc3\xa9",
            b"%zz %",
            b"%",
        ] {
            assert_eq!(read(message).0.as_bytes(), message);
        }
    }

    #[test]
    fn tonic_alone_calls_it_unknown() {
        let headers = [(Status::GRPC_STATUS, "5"), (Status::GRPC_MESSAGE, "%ff")];
        let headers = headers.map(|(name, value)| (name, value.parse().unwrap()));
        let status = Status::from_header_map(&HeaderMap::from_iter(headers)).unwrap();
        assert_eq!(status.code(), Code::Unknown);
    }
}
