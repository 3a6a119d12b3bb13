//! Counts what passes over a connection, by looking at its frames as they pass.

use std::collections::HashMap;
use std::sync::Arc;

use super::socket::Socket;
use crate::frames::{
    ACK, DATA, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, Prefix, RST_STREAM, SETTINGS,
};
use crate::framing::MessageScanner;

/// The type of a TLS record in a handshake: what a connection with TLS begins with. RFC 8446, 5.1.
const TLS_HANDSHAKE: u8 = 22;

const WINDOW_UPDATE: u8 = 0x8;

const PADDED: u8 = 0x8;

const MAX_CONCURRENT_STREAMS: u16 = 0x3;

/// What h2 sends, and awaits the answer of, before it closes a connection gracefully. It asks
/// nobody whether he's still there.
const SHUTDOWN_PING: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// How many open streams are remembered, at most. What comes of one more isn't seen.
pub const MAX_STREAMS: usize = 1024;

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// Who has sent some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    This,
    Peer,
}

/// Looks at both directions of one connection.
#[derive(Debug)]
pub(super) struct Scanner {
    this: Direction,
    peer: Direction,
    connection: Connection,
    /// It isn't HTTP/2, or it is inside of TLS: no frames to be seen.
    is_opaque: bool,
}

impl Scanner {
    pub(super) fn new(role: Role, socket: Arc<Socket>) -> Self {
        let (client, server) = (Direction::Preface(0), Direction::default());
        let (this, peer) = match role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        Self {
            this,
            peer,
            connection: Connection {
                role,
                socket,
                streams: HashMap::new(),
                newest_stream: 0,
            },
            is_opaque: false,
        }
    }

    /// Takes what `sender` has sent.
    pub(super) fn scan(&mut self, sender: Sender, bytes: &[u8]) {
        if self.is_opaque {
            return;
        }
        let direction = match sender {
            Sender::This => &mut self.this,
            Sender::Peer => &mut self.peer,
        };
        let connection = &mut self.connection;
        let scanned = direction.scan(bytes, |event| connection.take(sender, event));
        if let Err(NotHttp2 { is_tls }) = scanned {
            self.is_opaque = true;
            self.connection.socket.is_opaque(is_tls);
        }
    }
}

/// What a direction begins with isn't HTTP/2's preface.
struct NotHttp2 {
    is_tls: bool,
}

/// Cuts what comes in one direction into frames.
#[derive(Debug)]
enum Direction {
    /// So many bytes of the preface have come.
    Preface(usize),
    /// What has come of a frame's header.
    Header(Prefix<9>),
    /// A frame's payload.
    Payload(Frame),
}

impl Default for Direction {
    fn default() -> Self {
        Self::Header(Prefix::default())
    }
}

/// A frame, and what is remembered of its payload.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    length: usize,
    /// How much of the payload is still to come.
    left: usize,
    /// How much of that is padding, at its end.
    padding: usize,
    /// The first bytes of the payload; of SETTINGS the setting that is being read.
    head: [u8; 8],
    filled: usize,
}

/// What is to be seen in a direction.
enum Event<'a> {
    /// A part of a DATA frame's payload.
    Data(u32, &'a [u8]),
    /// One of the settings in a SETTINGS frame.
    Setting(u16, u32),
    /// A frame that is complete.
    Frame(&'a Frame),
}

impl Direction {
    fn scan(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Event<'_>)) -> Result<(), NotHttp2> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self {
                Self::Preface(matched) => {
                    if PREFACE.get(*matched) != Some(&byte) {
                        let is_tls = *matched == 0 && byte == TLS_HANDSHAKE;
                        return Err(NotHttp2 { is_tls });
                    }
                    *matched += 1;
                    if *matched == PREFACE.len() {
                        *self = Self::default();
                    }
                    bytes = rest;
                }
                Self::Header(header) => {
                    if let Some(header) = header.push(byte) {
                        *self = Self::Payload(Frame::new(header));
                    }
                    bytes = rest;
                }
                Self::Payload(frame) => {
                    let (payload, after) = bytes.split_at(bytes.len().min(frame.left));
                    frame.payload(payload, &mut tell);
                    bytes = after;
                }
            }
            if let Self::Payload(frame) = self
                && frame.left == 0
            {
                tell(Event::Frame(frame));
                *self = Self::default();
            }
        }
        Ok(())
    }
}

impl Frame {
    fn new([a, b, c, kind, flags, stream @ ..]: [u8; 9]) -> Self {
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Self {
            kind,
            flags,
            // The first bit is reserved.
            stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
            length,
            left: length,
            padding: 0,
            head: [0; 8],
            filled: 0,
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The four bytes of the head from `start` on.
    fn number(&self, start: usize) -> u32 {
        let bytes = self.head.get(start..).and_then(|head| head.first_chunk());
        u32::from_be_bytes(bytes.copied().unwrap_or_default())
    }

    /// Takes the next part of the payload, which isn't empty.
    fn payload(&mut self, mut bytes: &[u8], tell: &mut impl FnMut(Event<'_>)) {
        let is_first = self.left == self.length;
        match self.kind {
            DATA => {
                if is_first
                    && self.has(PADDED)
                    && let Some((&padding, data)) = bytes.split_first()
                {
                    self.padding = padding.into();
                    self.left -= 1;
                    bytes = data;
                }
                let data = bytes.len().min(self.left.saturating_sub(self.padding));
                if let Some(data) = bytes.get(..data) {
                    tell(Event::Data(self.stream, data));
                }
            }
            SETTINGS => {
                for &byte in bytes {
                    self.remember(byte);
                    if self.filled == 6 {
                        let id = u16::from_be_bytes([self.head[0], self.head[1]]);
                        tell(Event::Setting(id, self.number(2)));
                        self.filled = 0;
                    }
                }
            }
            _ => bytes.iter().for_each(|&byte| self.remember(byte)),
        }
        self.left -= bytes.len();
    }

    fn remember(&mut self, byte: u8) {
        if let Some(place) = self.head.get_mut(self.filled) {
            *place = byte;
            self.filled += 1;
        }
    }
}

/// What is known of a connection, beside its numbers.
#[derive(Debug)]
struct Connection {
    role: Role,
    socket: Arc<Socket>,
    /// Streams that the server hasn't ended: where their messages begin, from this side and from the
    /// peer.
    streams: HashMap<u32, [MessageScanner; 2]>,
    newest_stream: u32,
}

impl Connection {
    fn take(&mut self, sender: Sender, event: Event<'_>) {
        match event {
            Event::Data(stream, data) => self.data(sender, stream, data),
            Event::Setting(MAX_CONCURRENT_STREAMS, limit) if sender == Sender::Peer => {
                self.socket.peer_allows(limit);
            }
            Event::Setting(..) => {}
            Event::Frame(frame) => self.frame(sender, frame),
        }
    }

    fn data(&mut self, sender: Sender, stream: u32, mut data: &[u8]) {
        let Some([this, peer]) = self.streams.get_mut(&stream) else {
            return;
        };
        let messages = match sender {
            Sender::This => this,
            Sender::Peer => peer,
        };
        // A message counts when all of it has passed.
        let mut complete = i64::from(messages.is_within_message());
        while messages.next_prefix(&mut data).is_some() {
            complete += 1;
        }
        complete -= i64::from(messages.is_within_message());
        if complete > 0 {
            self.socket.messages(sender, complete);
        }
    }

    fn frame(&mut self, sender: Sender, frame: &Frame) {
        let is_this = sender == Sender::This;
        match frame.kind {
            DATA => self.socket.window(sender, -(frame.length as i64)),
            HEADERS if self.is_client(sender) => self.begin(frame.stream),
            RST_STREAM => self.end(frame.stream, false),
            PING if is_this && !frame.has(ACK) && frame.head != SHUTDOWN_PING => {
                self.socket.keep_alive();
            }
            GOAWAY if !is_this => self.socket.goaway(frame.number(4)),
            WINDOW_UPDATE if frame.stream == 0 => {
                // Who sends it lets the other one send more.
                let increment = frame.number(0) & (u32::MAX >> 1);
                self.socket.window(other(sender), increment.into());
            }
            _ => {}
        }
        let ends = matches!(frame.kind, DATA | HEADERS) && frame.has(END_STREAM);
        if ends && !self.is_client(sender) {
            self.end(frame.stream, true);
        }
    }

    fn is_client(&self, sender: Sender) -> bool {
        (sender == Sender::This) == (self.role == Role::Client)
    }

    /// HEADERS of the client: a stream if it's a new one, and else trailers.
    fn begin(&mut self, stream: u32) {
        if stream <= self.newest_stream {
            return;
        }
        self.newest_stream = stream;
        self.socket.stream_started(self.role);
        if self.streams.len() < MAX_STREAMS {
            self.streams.insert(stream, Default::default());
        }
    }

    fn end(&mut self, stream: u32, has_succeeded: bool) {
        if self.streams.remove(&stream).is_some() {
            self.socket.stream_ended(has_succeeded);
        }
    }
}

fn other(sender: Sender) -> Sender {
    match sender {
        Sender::This => Sender::Peer,
        Sender::Peer => Sender::This,
    }
}
