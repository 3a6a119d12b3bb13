//! Tells by the first bytes of a connection what is spoken on it: HTTP/2, TLS, HTTP/1, or something
//! else.

use super::frame::{FrameType, HEAD, Head};

/// What a client says first. RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is spoken in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http2,
    Http1,
    Tls,
    Other,
}

impl Protocol {
    /// What there is to say of it.
    pub fn sentence(self, sender: &str) -> String {
        let what = match self {
            Self::Http2 => return format!("the {sender} speaks HTTP/2"),
            Self::Http1 => "HTTP/1, not gRPC",
            Self::Tls => {
                return format!("the {sender} speaks TLS: only lengths can be read");
            }
            Self::Other => "something that isn't HTTP/2",
        };
        format!("the {sender} speaks {what}: passed on, not shown")
    }
}

/// The first bytes of one direction, until they tell.
#[derive(Debug)]
pub(crate) struct Preface {
    by_client: bool,
    // Not grown: the longest thing to look at is the preface.
    bytes: [u8; PREFACE.len()],
    have: usize,
}

impl Preface {
    pub fn of_client() -> Self {
        Self::new(true)
    }

    pub fn of_server() -> Self {
        Self::new(false)
    }

    fn new(by_client: bool) -> Self {
        Self {
            by_client,
            bytes: [0; PREFACE.len()],
            have: 0,
        }
    }

    /// Takes bytes one by one, so that the answer does not depend on how they arrive.
    pub fn read(&mut self, rest: &mut &[u8]) -> Option<Protocol> {
        while let Some((&first, others)) = rest.split_first() {
            self.bytes[self.have] = first;
            self.have += 1;
            *rest = others;
            let bytes = &self.bytes[..self.have];
            let protocol = if self.by_client {
                client(bytes)
            } else {
                server(bytes)
            };
            if protocol.is_some() {
                return protocol;
            }
        }
        None
    }

    /// What was read to find out.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes[..self.have].to_vec()
    }

    pub fn has_begun(&self) -> bool {
        self.have > 0
    }

    /// The bytes that belong to the first frame. A client has none yet: it sends its preface first.
    pub fn take_frame_head(&mut self) -> Vec<u8> {
        if self.by_client {
            Vec::new()
        } else {
            self.bytes[..self.have].to_vec()
        }
    }
}

/// Called with one byte more each time, until it has an answer: at the latest with the whole
/// preface.
fn client(bytes: &[u8]) -> Option<Protocol> {
    if bytes == PREFACE {
        Some(Protocol::Http2)
    } else if PREFACE.starts_with(bytes) {
        None
    } else {
        match bytes {
            // A handshake record, version 3.
            [0x16] => None,
            [0x16, 3, ..] => Some(Protocol::Tls),
            // A method in capitals, and a blank.
            [method @ .., b' '] if method.len() >= 3 && is_method(method) => Some(Protocol::Http1),
            method if method.len() < 12 && is_method(method) => None,
            _ => Some(Protocol::Other),
        }
    }
}

fn is_method(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_uppercase)
}

/// A server begins with SETTINGS.
fn server(bytes: &[u8]) -> Option<Protocol> {
    const HTTP1: &[u8] = b"HTTP/";
    // A handshake or an alert.
    if let [0x15 | 0x16, 3, _] = bytes {
        return Some(Protocol::Tls);
    }
    if bytes.starts_with(HTTP1) {
        return Some(Protocol::Http1);
    }
    let head = Head::parse(*bytes.first_chunk::<HEAD>()?);
    Some(if head.kind == FrameType::Settings && head.stream == 0 {
        Protocol::Http2
    } else {
        Protocol::Other
    })
}
