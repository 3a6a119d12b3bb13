//! Text that is safe to print: what came over the wire cannot move the cursor or change the
//! colours.

use std::fmt::{Display, Write};

use unicode_width::UnicodeWidthStr;

/// In quotation marks, with quotation marks, backslashes and control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            _ => push_safe(&mut out, c),
        }
    }
    out.push('"');
    out
}

/// As it is, except for what would do something to a terminal.
pub(crate) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push_safe(&mut out, c);
    }
    out
}

/// JSON whose strings hold nothing that would do something to a terminal. The value is the same.
pub(crate) fn safe_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_harmful(c) {
            // None of them needs more than four digits, and outside of strings there are none.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

fn push_safe(out: &mut String, c: char) {
    if is_harmful(c) {
        out.extend(c.escape_default());
    } else {
        out.push(c);
    }
}

/// Control characters, and those that turn the direction of writing around.
fn is_harmful(c: char) -> bool {
    let marks = ['\u{61c}', '\u{200e}', '\u{200f}'];
    let turns = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || marks.contains(&c)
}

/// A number of things: `1 byte`, `2 bytes`.
pub(crate) fn count(number: impl Display, what: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// How many columns of a terminal it takes.
pub(crate) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Breaks text into lines of at most `columns`, at blanks where there are any.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while width(rest) > columns {
        let mut end = 0;
        let mut blank = None;
        for (i, c) in rest.char_indices() {
            let next = i + c.len_utf8();
            if width(&rest[..next]) > columns {
                break;
            }
            end = next;
            if c == ' ' && i > 0 {
                blank = Some(i);
            }
        }
        // A character that is wider than the line has to stand there all the same.
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let end = end.max(first);
        let at = match rest[end..].chars().next() {
            Some(' ') => end,
            _ => blank.unwrap_or(end),
        };
        lines.push(rest[..at].trim_end().to_owned());
        rest = rest[at..].trim_start_matches(' ');
    }
    lines.push(rest.to_owned());
    lines
}

/// Undoes the percent-encoding of `grpc-message`. What is not encoded rightly stays as it is.
pub(crate) fn percent_decoded(value: &[u8]) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        let byte = match tail {
            [a, b, ..] if *first == b'%' => hex(*a).zip(hex(*b)).map(|(a, b)| a << 4 | b),
            _ => None,
        };
        match byte {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}
