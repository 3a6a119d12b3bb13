//! The decoder of one connection: bytes in, events out. It does no input or output, and never
//! fails.
//!
//! What it holds is bounded, whatever the peers send; [`Decoder::BOUND`] says by how much.

mod event;
mod half;
mod streams;
mod validate;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;

pub use self::event::{
    Call, Direction, End, Event, EventKind, Frame, Headers, Payload, Role, TlsRecord, Violation,
};
use self::half::{Half, Incoming, PAYLOAD_KEPT};
use self::streams::{Change, STREAMS, Streams};
use crate::grpc::Descriptors;
use crate::http2::{
    self, END_HEADERS, END_STREAM, FrameType, GoAway, HEAD, Head, HeaderBlock, Piece, Ping,
    Protocol, Record, RstStream, Settings, WindowUpdate,
};

/// Decodes both directions of one connection.
///
/// ```
/// use std::time::Duration;
/// use wire::{Decoder, Direction, FrameType};
///
/// let mut decoder = Decoder::new(1);
/// let mut events = Vec::new();
/// // A PING, in two pieces.
/// let first = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x08\x06";
/// events.extend(decoder.read(Direction::ToServer, first, Duration::ZERO));
/// assert!(events.is_empty());
/// events.extend(decoder.read(Direction::ToServer, b"\0\0\0\0\0pingpong", Duration::ZERO));
/// assert_eq!(events[0].frame().unwrap().kind, FrameType::Ping);
/// ```
pub struct Decoder {
    connection: u64,
    to_server: Half,
    to_client: Half,
    streams: Streams,
    told_of_streams: bool,
}

/// What a frame came to, and what it does to its stream.
struct Finished {
    payload: Payload,
    change: Option<Change>,
    /// Why later headers can't be read.
    lost: Option<&'static str>,
}

impl From<Payload> for Finished {
    fn from(payload: Payload) -> Self {
        Self {
            payload,
            change: None,
            lost: None,
        }
    }
}

impl Decoder {
    /// The most that one decoder ever holds, in bytes.
    pub const BOUND: usize = 2 * Half::BOUND + Streams::BOUND;

    /// A decoder for the connection with this number.
    pub fn new(connection: u64) -> Self {
        Self::with(connection, Arc::default(), Descriptors::built_in())
    }

    /// A decoder that numbers its calls together with others, and shows messages by these types.
    pub(crate) fn with(connection: u64, calls: Arc<AtomicU64>, descriptors: Descriptors) -> Self {
        Self {
            connection,
            to_server: Half::new(Direction::ToServer),
            to_client: Half::new(Direction::ToClient),
            streams: Streams::new(connection, calls, descriptors),
            told_of_streams: false,
        }
    }

    /// Reads what came next in one direction. `at` is copied into the events.
    pub fn read(&mut self, direction: Direction, bytes: &[u8], at: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        self.read_until(direction, bytes, at, |event| {
            events.push(event);
            false
        });
        events
    }

    /// Reads until an event at which `seen` returns true. Returns how many bytes were read.
    pub(crate) fn read_until(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        at: Duration,
        mut seen: impl FnMut(Event) -> bool,
    ) -> usize {
        let mut rest = bytes;
        let stop = Cell::new(false);
        let connection = self.connection;
        let mut sink = |kind| stop.set(stop.get() | seen(Event::new(connection, at, kind)));
        while !rest.is_empty() {
            match self.half(direction).protocol {
                None => self.read_preface(direction, &mut rest, at, &mut sink),
                Some(Protocol::Http2) => self.read_frames(direction, &mut rest, at, &mut sink),
                Some(Protocol::Tls) => self.read_records(direction, &mut rest, &mut sink),
                Some(_) => rest = &[],
            }
            if stop.get() {
                break;
            }
        }
        let read = bytes.len() - rest.len();
        self.half(direction).bytes += read as u64;
        read
    }

    /// To be called once when one direction has ended: says what was cut off.
    pub fn end(&mut self, direction: Direction, at: Duration) -> Vec<Event> {
        let connection = self.connection;
        let half = self.half(direction);
        if std::mem::replace(&mut half.ended, true) {
            return Vec::new();
        }
        let sender = direction.sender();
        let mut notes = Vec::new();
        if half.protocol.is_none() && half.preface.has_begun() {
            notes.push(format!(
                "the {sender} ended before it had said what it speaks"
            ));
        }
        if let Some(block) = half.block.take() {
            notes.push(format!(
                "the {sender} ended inside of a block of headers, after {} bytes",
                block.length
            ));
        }
        if half.protocol == Some(Protocol::Http2) && !half.reader.is_between_frames() {
            notes.push(match half.incoming.take() {
                None => format!("the {sender} ended inside of the head of a frame"),
                Some(Incoming { head, .. }) => format!(
                    "the {sender} ended inside of a {} frame of {} bytes",
                    head.kind, head.length
                ),
            });
        }
        let notes = notes.into_iter().map(EventKind::Note);
        notes.map(|note| Event::new(connection, at, note)).collect()
    }

    /// The event of the end of this connection.
    pub(crate) fn closed(&self, end: End, at: Duration) -> Event {
        let kind = EventKind::Closed {
            end,
            open: self.open_calls(),
            to_server: self.to_server.bytes,
            to_client: self.to_client.bytes,
        };
        Event::new(self.connection, at, kind)
    }

    /// The calls that have begun and not ended, oldest first.
    pub fn open_calls(&self) -> Vec<Arc<Call>> {
        self.streams.open_calls()
    }

    /// How many bytes have been read in one direction.
    pub fn bytes(&self, direction: Direction) -> u64 {
        match direction {
            Direction::ToServer => self.to_server.bytes,
            Direction::ToClient => self.to_client.bytes,
        }
    }

    /// How many bytes it holds at the moment. Never more than [`Decoder::BOUND`].
    pub fn held_bytes(&self) -> usize {
        self.streams.held_bytes() + self.to_server.held_bytes() + self.to_client.held_bytes()
    }

    fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Finds out by the first bytes what is spoken here.
    fn read_preface(
        &mut self,
        direction: Direction,
        rest: &mut &[u8],
        at: Duration,
        seen: &mut impl FnMut(EventKind),
    ) {
        let half = self.half(direction);
        let Some(protocol) = half.preface.read(rest) else {
            return;
        };
        half.protocol = Some(protocol);
        if protocol == Protocol::Http2 {
            // A server has no preface: what told its protocol was the head of its first frame.
            let head = half.preface.take_frame_head();
            self.read_frames(direction, &mut head.as_slice(), at, seen);
            return;
        }
        // What one side doesn't understand the other doesn't either.
        let other = self.half(direction.opposite()).protocol;
        if direction == Direction::ToServer || other == Some(Protocol::Http2) {
            seen(EventKind::Note(protocol.sentence(direction.sender())));
        }
        if direction == Direction::ToServer && other.is_none() {
            self.to_client.protocol = Some(protocol);
        }
        if protocol == Protocol::Tls {
            let first = self.half(direction).preface.bytes();
            self.read_records(direction, &mut first.as_slice(), seen);
        }
    }

    /// One record at a time, so that a reader can stop between two of them.
    fn read_records(
        &mut self,
        direction: Direction,
        rest: &mut &[u8],
        seen: &mut impl FnMut(EventKind),
    ) {
        let record = self.half(direction).records.next(rest);
        if let Some(Record {
            kind,
            length,
            hello,
        }) = record
        {
            seen(EventKind::Tls(TlsRecord {
                direction,
                kind,
                length,
                hello,
            }));
        }
    }

    fn read_frames(
        &mut self,
        direction: Direction,
        rest: &mut &[u8],
        at: Duration,
        seen: &mut impl FnMut(EventKind),
    ) {
        // One frame at a time, so that a reader can stop between two of them.
        while let Some(piece) = self.half(direction).reader.next(rest) {
            match piece {
                Piece::Head(head) => self.begin(direction, head, seen),
                Piece::Payload(payload) => match direction {
                    Direction::ToServer => {
                        self.to_server
                            .payload(direction, payload, &mut self.streams);
                    }
                    Direction::ToClient => {
                        self.to_client
                            .payload(direction, payload, &mut self.streams);
                    }
                },
                Piece::End => {
                    self.finish(direction, at, seen);
                    return;
                }
            }
        }
    }

    fn begin(&mut self, direction: Direction, head: Head, seen: &mut impl FnMut(EventKind)) {
        let limit = self.half(direction.opposite()).max_frame_size;
        let half = self.half(direction);
        let mut incoming = Incoming::new(head, half.reader.head_bytes());
        if head.length > limit {
            incoming.violates(http2::Violation::TooLong(limit));
        }
        // Nothing may come between the frames of a block.
        let continues = |block: &HeaderBlock| {
            head.kind == FrameType::Continuation && head.stream == block.stream
        };
        let interrupts = half.block.as_ref().is_some_and(|block| !continues(block));
        if interrupts {
            half.block = None;
            incoming.violation = Some(http2::Violation::Interrupts.into());
        }
        match http2::validate(&head) {
            Some(violation) => incoming.malformed(violation),
            None => incoming.read_prelude(&mut [].as_slice()),
        }
        if matches!(head.kind, FrameType::Headers | FrameType::PushPromise) {
            let end_stream = head.kind == FrameType::Headers && head.has(END_STREAM);
            half.block = Some(HeaderBlock::new(head.stream, None, end_stream));
        }
        half.incoming = Some(incoming);
        if interrupts {
            self.lose_headers(direction, "a block of headers has no end", seen);
        }
    }

    fn finish(&mut self, direction: Direction, at: Duration, seen: &mut impl FnMut(EventKind)) {
        let Some(mut incoming) = self.half(direction).incoming.take() else {
            return;
        };
        let head = incoming.head;
        let finished = match head.kind {
            FrameType::Headers | FrameType::PushPromise | FrameType::Continuation => {
                self.finish_headers(direction, &mut incoming, at)
            }
            FrameType::Data => self.finish_data(direction, &mut incoming),
            _ if incoming.is_malformed => Payload::Opaque.into(),
            _ => self.finish_other(direction, &mut incoming),
        };
        let mut bytes = Bytes::from(incoming.kept);
        bytes.truncate(HEAD + PAYLOAD_KEPT);
        seen(EventKind::Frame(Frame {
            connection: self.connection,
            direction,
            at,
            stream: head.stream,
            kind: head.kind,
            flags: head.flags,
            length: head.length,
            payload: finished.payload,
            call: self.streams.call(head.stream),
            violation: incoming.violation,
            held: false,
            bytes,
        }));
        if let Some(reason) = finished.lost {
            self.lose_headers(direction, reason, seen);
        }
        if let Some(change) = finished.change {
            self.streams.change(direction, head.stream, change);
        }
        let is_full = self.streams.open.len() == STREAMS;
        if is_full && !std::mem::replace(&mut self.told_of_streams, true) {
            let text = format!("more than {STREAMS} streams are open: the others are not followed");
            seen(EventKind::Note(text));
        }
    }

    fn lose_headers(
        &mut self,
        direction: Direction,
        reason: &str,
        seen: &mut impl FnMut(EventKind),
    ) {
        let half = self.half(direction);
        if half.headers.is_lost() {
            return;
        }
        half.headers.lose();
        let sender = direction.sender();
        seen(EventKind::Note(format!(
            "the {sender}'s headers can no longer be read: {reason}"
        )));
    }

    fn finish_data(&mut self, direction: Direction, incoming: &mut Incoming) -> Finished {
        let head = incoming.head;
        if let Some(violation) = self.streams.after_end(direction, head.stream) {
            incoming.violates(violation);
        }
        let stream = self.streams.open.get_mut(&head.stream);
        let unfinished = stream.and_then(|stream| stream.side(direction).messages.unfinished());
        let ends = head.has(END_STREAM);
        if ends
            && let Some(violation) = validate::end_of_data(&self.streams, direction, head.stream)
        {
            incoming.violates(violation);
        }
        Finished {
            payload: Payload::Data {
                padding: incoming.padding(),
                messages: std::mem::take(&mut incoming.messages),
                unfinished,
            },
            change: ends.then_some(Change::End),
            lost: None,
        }
    }

    /// A frame of a block of headers, and with the last one the block.
    fn finish_headers(
        &mut self,
        direction: Direction,
        incoming: &mut Incoming,
        at: Duration,
    ) -> Finished {
        let lost = |reason| Finished {
            lost: Some(reason),
            ..Payload::Opaque.into()
        };
        let half = self.half(direction);
        let block = half.block.take();
        if incoming.is_malformed {
            // Whatever the block was, it is gone.
            return lost("a frame with headers is malformed");
        }
        let Some(mut block) = block else {
            incoming.violates(http2::Violation::ContinuesNothing);
            return lost("a CONTINUATION continues nothing");
        };
        if let Some(layout) = &incoming.layout {
            block.promised = block.promised.or(layout.promised);
        }
        if !incoming.head.has(END_HEADERS) {
            half.block = Some(block);
            return Payload::HeadersPart.into();
        }
        let decoded = !half.headers.is_lost();
        if let Err(error) = half.headers.finish(&mut block) {
            incoming.violates(http2::Violation::Hpack(error));
            self.begin_unread(direction, &block, at);
            return Finished {
                change: block.end_stream.then_some(Change::End),
                ..lost("HPACK needs every block of headers to read the next")
            };
        }
        self.finish_block(direction, incoming, block, decoded, at)
    }

    /// A call begins whose headers can't be read; its frames are to be known as its own.
    fn begin_unread(&mut self, direction: Direction, block: &HeaderBlock, at: Duration) {
        let role = self.streams.role(direction, block);
        if role == Role::Request {
            let unread = HeaderBlock::new(block.stream, None, block.end_stream);
            self.streams.begin(block.stream, &unread, at);
        }
    }

    fn finish_block(
        &mut self,
        direction: Direction,
        incoming: &mut Incoming,
        block: HeaderBlock,
        decoded: bool,
        at: Duration,
    ) -> Finished {
        let role = self.streams.role(direction, &block);
        if decoded
            && let Some(violation) = validate::headers(&self.streams, direction, &block, role)
        {
            incoming.violates(violation);
        }
        match role {
            Role::Request => self.streams.begin(block.stream, &block, at),
            Role::Push => {
                let promised = block.promised.unwrap_or_default();
                self.streams.begin(promised, &block, at);
            }
            Role::Response | Role::TrailersOnly => self.streams.answer(&block),
            Role::Trailers | Role::Informational => {}
        }
        Finished {
            change: block.end_stream.then_some(Change::End),
            payload: Payload::Headers(Headers {
                role,
                left_out: block.left_out,
                encoded: block.length,
                end_stream: block.end_stream,
                decoded,
                fields: block.fields,
            }),
            lost: None,
        }
    }

    /// A frame that is read at its end, whole.
    fn finish_other(&mut self, direction: Direction, incoming: &mut Incoming) -> Finished {
        let head = incoming.head;
        let payload = match head.kind {
            FrameType::RstStream => {
                if let Some(violation) = self.streams.wrong_reset(direction, head.stream) {
                    incoming.violates(violation);
                }
                let RstStream(error) = RstStream::parse(incoming.body());
                return Finished {
                    change: Some(Change::Reset),
                    ..Payload::Reset(error).into()
                };
            }
            FrameType::Settings => {
                let settings = Settings::parse(&head, incoming.body());
                match direction {
                    Direction::ToServer => self.to_server.apply(&settings, &mut self.to_client),
                    Direction::ToClient => self.to_client.apply(&settings, &mut self.to_server),
                }
                Payload::Settings(settings.values)
            }
            FrameType::Ping => Payload::Ping(Ping::parse(incoming.body()).0),
            FrameType::GoAway => {
                let go_away = GoAway::parse(incoming.body());
                Payload::GoAway {
                    last_stream: go_away.last_stream,
                    error: go_away.error,
                    debug: go_away.debug,
                }
            }
            FrameType::WindowUpdate => {
                let WindowUpdate(increment) = WindowUpdate::parse(incoming.body());
                if increment == 0 {
                    incoming.violates(http2::Violation::EmptyWindowUpdate);
                }
                Payload::WindowUpdate(increment)
            }
            _ => Payload::Opaque,
        };
        payload.into()
    }
}
