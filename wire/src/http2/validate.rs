//! The rules of HTTP/2 that the head of a frame alone tells. RFC 9113, section 6.

use super::frame::{self, FrameType, Head};
use super::payload::fixed_size;
use super::violation::Violation;

/// Which rule a frame breaks, as far as its head tells.
pub(crate) fn validate(head: &Head) -> Option<Violation> {
    use FrameType::{
        Continuation, Data, GoAway, Headers, Ping, Priority, PushPromise, RstStream, Settings,
        WindowUpdate,
    };
    let on_stream = head.stream != 0;
    match head.kind {
        Data | Headers | PushPromise | Continuation | Priority | RstStream if !on_stream => {
            return Some(Violation::WithoutStream(head.kind));
        }
        Settings | Ping | GoAway if on_stream => return Some(Violation::OnStream(head.kind)),
        _ => {}
    }
    let length = head.length as usize;
    let fits = match head.kind {
        Data | Headers | PushPromise if fixed_size(head) > length => {
            return Some(Violation::TooShort);
        }
        Settings if head.has(frame::ACK) && length != 0 => return Some(Violation::AckNotEmpty),
        Settings => length.is_multiple_of(6),
        Priority => length == 5,
        RstStream | WindowUpdate => length == 4,
        Ping => length == 8,
        GoAway => length >= 8,
        _ => true,
    };
    (!fits).then_some(Violation::Length(head.kind))
}
