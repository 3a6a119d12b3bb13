//! Headers whose values let others pass for their sender.

use crate::http2::Field;
use crate::text::{count, safe};

const NAMES: [&[u8]; 4] = [
    b"authorization",
    b"cookie",
    b"proxy-authorization",
    b"set-cookie",
];

/// Whether the value isn't to be shown unless it was asked for.
pub(crate) fn is_secret(field: &Field) -> bool {
    NAMES.contains(&field.name.as_slice())
}

/// `Bearer …, 24 bytes`
pub(crate) fn masked(field: &Field) -> String {
    let value = field.value();
    match value.split_once(' ') {
        // A scheme is short: what is longer may be a part of a secret with a blank in it.
        Some((scheme, rest))
            if scheme.len() <= 10 && scheme.is_ascii() && field.name == NAMES[0] =>
        {
            format!("{} …, {}", safe(scheme), count(rest.len(), "byte"))
        }
        _ => format!("…, {}", count(field.value.len(), "byte")),
    }
}
