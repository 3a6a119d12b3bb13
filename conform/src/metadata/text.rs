//! Text that isn't ASCII, as metadata.

use tonic::metadata::{Ascii, MetadataValue};

/// Any text as a value that every gRPC library takes.
///
/// A text value is printable ASCII (PROTOCOL-HTTP2, *ASCII-Value*). What isn't, and `%`, is
/// written as `%` and two hexadecimal digits for each byte of UTF-8, the way in which gRPC itself
/// sends `grpc-message` (*Percent-Encoded*). The receiver has to know: the other way is a name
/// that ends in `-bin`, whose values are bytes.
///
/// ```
/// use conform::metadata::{decode_text, encode_text};
/// use tonic::Request;
///
/// let mut request = Request::new(());
/// let value = encode_text("Zoë, 100%");
/// assert_eq!(value, "Zo%C3%AB, 100%25");
/// assert_eq!(decode_text(&value), "Zoë, 100%");
/// request.metadata_mut().insert("asked-by", value);
/// ```
pub fn encode_text(text: &str) -> MetadataValue<Ascii> {
    let mut encoded = String::with_capacity(text.len());
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        // HTTP cuts blanks off at both ends of a value.
        let at_an_end = at == 0 || at + 1 == text.len();
        match byte {
            b'%' => encoded.push_str("%25"),
            b' ' if at_an_end => encoded.push_str("%20"),
            b' '..=b'~' => encoded.push(char::from(byte)),
            _ => {
                let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
                encoded.extend(['%', digit(byte >> 4), digit(byte & 0xf)]);
            }
        }
    }
    // Printable ASCII is always a value; the empty one can't come of it.
    MetadataValue::try_from(encoded).unwrap_or(MetadataValue::from_static(""))
}

/// What [`encode_text`], or another library's percent-encoding, has made a value of.
///
/// What can't be decoded stays, as PROTOCOL-HTTP2 asks for `grpc-message`; bytes that aren't UTF-8
/// become U+FFFD.
pub fn decode_text(value: &MetadataValue<Ascii>) -> String {
    let mut rest = value.as_encoded_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let digits = match (byte, after) {
            (b'%', [high, low, ..]) => hexadecimal(*high).zip(hexadecimal(*low)),
            _ => None,
        };
        match digits {
            Some((high, low)) => {
                decoded.push(high * 16 + low);
                rest = &after[2..];
            }
            None => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}
