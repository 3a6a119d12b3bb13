//! The rules about the form of a frame. RFC 9113, section 6.

use crate::frame::{self, FrameType, Head};

/// Which rule about its form a frame breaks. RFC 9113, section 6.
pub(crate) fn structure_fault(head: &Head, body: &[u8]) -> Option<&'static str> {
    let length = head.length as usize;
    let on_a_stream = head.stream != 0;
    let padding = usize::from(head.has(frame::PADDED));
    match head.kind {
        FrameType::Data if !on_a_stream => Some("DATA without a stream"),
        FrameType::Data if padding > length => Some("too short for its padding"),
        FrameType::Headers | FrameType::PushPromise => {
            let fixed = if head.kind == FrameType::PushPromise {
                4
            } else if head.has(frame::PRIORITY) {
                5
            } else {
                0
            };
            if !on_a_stream {
                Some("headers without a stream")
            } else if padding + fixed > length {
                Some("too short for its flags")
            } else if padding == 1 && usize::from(body[0]) + 1 + fixed > length {
                Some("its padding is longer than the frame")
            } else {
                None
            }
        }
        FrameType::Continuation if !on_a_stream => Some("headers without a stream"),
        FrameType::Priority if !on_a_stream => Some("PRIORITY without a stream"),
        FrameType::Priority if length != 5 => Some("PRIORITY has five bytes"),
        FrameType::RstStream if length != 4 => Some("RST_STREAM has four bytes"),
        FrameType::RstStream if !on_a_stream => Some("RST_STREAM without a stream"),
        FrameType::Settings if on_a_stream => Some("SETTINGS are for the connection"),
        FrameType::Settings if head.has(frame::ACK) && length != 0 => {
            Some("an answer to SETTINGS is empty")
        }
        FrameType::Settings if !length.is_multiple_of(6) => Some("a setting has six bytes"),
        FrameType::Ping if on_a_stream => Some("PING is for the connection"),
        FrameType::Ping if length != 8 => Some("PING has eight bytes"),
        FrameType::GoAway if on_a_stream => Some("GOAWAY is for the connection"),
        FrameType::GoAway if length < 8 => Some("GOAWAY has at least eight bytes"),
        FrameType::WindowUpdate if length != 4 => Some("WINDOW_UPDATE has four bytes"),
        _ => None,
    }
}
