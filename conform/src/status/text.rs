//! Errors as one line for a terminal or a log, whatever a peer has put into them.

use std::error::Error;
use std::iter;

use tonic::{Code, ConnectError, Status, transport};

/// No line is longer, in characters.
const LONGEST: usize = 1000;

/// What went wrong, in one line.
///
/// tonic's own words for most failures are "transport error"; what happened stands at the end of
/// the chain of [sources](Error::source). This is the innermost cause, or `Code: message` where
/// that is a [`Status`], in characters that [`escape`] lets through. Two causes whose own words help
/// nobody are followed by what to do: an answer that isn't HTTP/2, and a certificate of a CA that has
/// been made anew.
///
/// ```
/// use conform::status::explain;
/// use tonic::Status;
///
/// let refused = Status::not_found("no such book\x1b[2J");
/// assert_eq!(explain(&refused), r"NotFound: no such book\u{1b}[2J");
/// ```
pub fn explain(error: &(dyn Error + 'static)) -> String {
    let cause = iter::successors(Some(error), |&error| error.source()).last();
    match cause.and_then(|cause| cause.downcast_ref::<Status>()) {
        Some(status) if status.message().is_empty() => format!("{:?}", status.code()),
        Some(status) => escape(&format!("{:?}: {}", status.code(), status.message())),
        None => {
            let cause = cause.unwrap_or(error);
            let text = cause.to_string();
            let advice = advice(cause, &text).unwrap_or_default();
            escape(&(text + advice))
        }
    }
}

/// What to do about `cause`, if its own words don't say it.
fn advice(cause: &(dyn Error + 'static), text: &str) -> Option<&'static str> {
    // The first bytes of TLS and of HTTP/1 are those of an HTTP/2 frame that's too long.
    let is_no_frame = cause.downcast_ref::<h2::Error>().is_some_and(|error| {
        error.is_library() && error.reason() == Some(h2::Reason::FRAME_SIZE_ERROR)
    });
    if is_no_frame {
        return Some(
            ", so it isn't HTTP/2. The URL of a server that speaks TLS begins with https://",
        );
    }
    // These are rustls' words, which is no dependency of this module.
    (text == "invalid peer certificate: BadSignature").then_some(
        ": its CA has the right name and another key. If certificates were made anew, start the \
         server again",
    )
}

/// Whether `error` can mean that the wrong server was called, or none: there is no connection, or
/// the server doesn't have the method (UNIMPLEMENTED).
///
/// For a program that then says which server it needs, and keeps quiet when the right one refuses.
///
/// ```
/// use conform::status::may_be_wrong_server;
/// use tonic::Status;
///
/// assert!(may_be_wrong_server(&Status::unimplemented("")));
/// assert!(!may_be_wrong_server(&Status::not_found("no such book")));
/// ```
pub fn may_be_wrong_server(error: &(dyn Error + 'static)) -> bool {
    let mut is_lost = false;
    for error in iter::successors(Some(error), |&error| error.source()) {
        let status = error.downcast_ref::<Status>();
        if status.is_some_and(|status| status.code() == Code::Unimplemented) {
            return true;
        }
        // Who resets a single call has understood it.
        let reset = error.downcast_ref::<h2::Error>();
        if reset.is_some_and(h2::Error::is_reset) {
            return false;
        }
        is_lost |= error.is::<transport::Error>() || error.is::<ConnectError>();
    }
    is_lost
}

/// `text` without anything that a terminal or a log would take for an instruction, and at most
/// 1,000 characters of it.
///
/// Control characters (a new line, which could forge a line of a log; ESC, which moves the
/// cursor and paints) and those that turn the direction of writing are written as Rust writes
/// them. Everything else stays.
///
/// ```
/// use conform::status::escape;
///
/// assert_eq!(escape("Zoë\nlogged in"), r"Zoë\nlogged in");
/// ```
pub fn escape(text: &str) -> String {
    let mut line = String::new();
    let mut left = LONGEST;
    for character in text.chars() {
        let length = if is_instruction(character) {
            character.escape_default().len()
        } else {
            1
        };
        if length > left {
            line.push('…');
            break;
        }
        left -= length;
        if length > 1 {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

pub(crate) fn is_instruction(character: char) -> bool {
    let turns_direction = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    let ends_line = matches!(character, '\u{2028}' | '\u{2029}');
    character.is_control() || turns_direction || ends_line
}
