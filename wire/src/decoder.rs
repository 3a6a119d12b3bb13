//! The decoder of one connection: bytes in, events out. It does no input or output, and never fails.
//!
//! What it holds is bounded, whatever the peers send; [`Decoder::BOUND`] says by how much.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;

use crate::event::{Block, Call, Direction, Event, Frame, Payload, Role};
use crate::frame::{
    self, DEFAULT_MAX_FRAME_SIZE, FrameType, HEAD, Head, Piece, Splitter, error_name,
};
use crate::grpc::{FIRST_BYTES, NoPrefix};
use crate::headers::{BLOCK_BOUND, HeaderDecoder};
use crate::message::Message;
use crate::opening::{Opening, Protocol};
use crate::rules::structure_fault;
use crate::streams::{Change, STREAMS, Streams};

/// How many bytes of a payload are kept to be shown.
const PAYLOAD_KEPT: usize = 16 * 1024;

/// How many messages of one frame are kept, and how many of their bytes. Only a frame far over the usual limit
/// has room for more.
const MESSAGES_A_FRAME: usize = 4096;
const BYTES_A_FRAME: usize = 1024 * 1024;

/// Decodes both directions of one connection.
///
/// ```
/// use std::time::Duration;
/// use wire::{Decoder, Direction, Event, FrameType};
///
/// let mut decoder = Decoder::new(1);
/// let mut events = Vec::new();
/// // A PING, in two pieces.
/// events.extend(decoder.read(Direction::ToServer, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x08\x06", Duration::ZERO));
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

/// What is known of one direction.
struct Half {
    opening: Opening,
    protocol: Option<Protocol>,
    splitter: Splitter,
    headers: HeaderDecoder,
    /// What this side accepts from the other, by its SETTINGS.
    max_frame_size: u32,
    /// Table sizes that this side has asked for and the other has not acknowledged.
    table_sizes: VecDeque<Option<u32>>,
    block: Option<OpenBlock>,
    current: Option<Current>,
    bytes: u64,
    ended: bool,
}

/// A block of headers whose end has not been seen.
pub(crate) struct OpenBlock {
    pub stream: u32,
    pub promised: Option<u32>,
    pub end_stream: bool,
    bytes: Vec<u8>,
    /// Its true length; `bytes` stops at a bound.
    length: usize,
}

/// A frame whose end has not been seen.
struct Current {
    head: Head,
    kept: Vec<u8>,
    fault: Option<String>,
    /// For DATA, which is read as it comes: what is left of the payload proper, and the messages in it.
    data_left: u32,
    padding: u32,
    messages: Vec<Message>,
    message_bytes: usize,
    at_padding: bool,
}

impl Decoder {
    /// The most that one decoder ever holds, in bytes.
    pub const BOUND: usize = {
        let messages = BYTES_A_FRAME + MESSAGES_A_FRAME * (FIRST_BYTES + 2 * size_of::<Message>());
        let half = 4 * BLOCK_BOUND + HeaderDecoder::BOUND + messages + 4096;
        2 * half + Streams::BOUND
    };

    /// A decoder for the connection with this number.
    pub fn new(connection: u64) -> Self {
        Self::counting(connection, Arc::default())
    }

    /// A decoder that numbers its calls together with others.
    pub(crate) fn counting(connection: u64, calls: Arc<AtomicU64>) -> Self {
        Self {
            connection,
            to_server: Half::new(Direction::ToServer),
            to_client: Half::new(Direction::ToClient),
            streams: Streams::new(connection, calls),
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
        let mut sink = |event| stop.set(stop.get() | seen(event));
        while !rest.is_empty() {
            match self.half(direction).protocol {
                None => self.open(direction, &mut rest, at, &mut sink),
                Some(Protocol::Http2) => self.read_frames(direction, &mut rest, at, &mut sink),
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
        if half.protocol.is_none() && half.opening.has_begun() {
            notes.push(format!(
                "the {sender} ended before it had said enough to tell what it speaks"
            ));
        }
        if let Some(block) = half.block.take() {
            notes.push(format!(
                "the {sender} ended inside of a block of headers, after {} bytes",
                block.length
            ));
        }
        if half.protocol == Some(Protocol::Http2) && !half.splitter.is_between_frames() {
            notes.push(match half.current.take() {
                None => format!("the {sender} ended inside of the head of a frame"),
                Some(current) => format!(
                    "the {sender} ended inside of a {} frame of {} bytes",
                    current.head.kind, current.head.length
                ),
            });
        }
        notes
            .into_iter()
            .map(|text| Event::Note {
                connection,
                at,
                text,
            })
            .collect()
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

    fn note(&self, at: Duration, text: String) -> Event {
        Event::Note {
            connection: self.connection,
            at,
            text,
        }
    }

    /// Finds out by the first bytes what is spoken here.
    fn open(
        &mut self,
        direction: Direction,
        rest: &mut &[u8],
        at: Duration,
        seen: &mut impl FnMut(Event),
    ) {
        let half = self.half(direction);
        let Some(protocol) = half.opening.read(rest) else {
            return;
        };
        half.protocol = Some(protocol);
        if protocol == Protocol::Http2 {
            // A server has no preface: what told its protocol was the head of its first frame.
            let head = half.opening.take_frame_head();
            let mut head = head.as_slice();
            self.read_frames(direction, &mut head, at, seen);
            return;
        }
        // What one side does not understand the other does not either.
        let told = self.half(direction.opposite()).protocol;
        if direction == Direction::ToServer || told == Some(Protocol::Http2) {
            let text = protocol.sentence(direction.sender());
            seen(self.note(at, text));
        }
        if direction == Direction::ToServer && told.is_none() {
            self.to_client.protocol = Some(protocol);
        }
    }

    fn read_frames(
        &mut self,
        direction: Direction,
        rest: &mut &[u8],
        at: Duration,
        seen: &mut impl FnMut(Event),
    ) {
        // One frame at a time, so that a reader can stop between two of them.
        while let Some(piece) = self.half(direction).splitter.next(rest) {
            match piece {
                Piece::Head(head) => self.begin(direction, head, at, seen),
                Piece::Payload(payload) => self.payload(direction, payload),
                Piece::End => {
                    self.finish(direction, at, seen);
                    return;
                }
            }
        }
    }

    fn begin(
        &mut self,
        direction: Direction,
        head: Head,
        at: Duration,
        seen: &mut impl FnMut(Event),
    ) {
        let limit = self.half(direction.opposite()).max_frame_size;
        let half = self.half(direction);
        let mut current = Current {
            head,
            kept: half.splitter.head_bytes().to_vec(),
            fault: None,
            data_left: head.length,
            padding: 0,
            messages: Vec::new(),
            message_bytes: 0,
            at_padding: head.kind == FrameType::Data && head.has(frame::PADDED),
        };
        if head.length > limit {
            current.fault = Some(format!("longer than the {limit} bytes that are allowed"));
        }
        // Nothing may come between the frames of a block.
        let interrupted = match &half.block {
            Some(block) => head.kind != FrameType::Continuation || head.stream != block.stream,
            None => false,
        };
        if interrupted {
            half.block = None;
            current.fault = Some("comes between two parts of a block of headers".to_owned());
        }
        half.current = Some(current);
        if interrupted {
            self.lose_headers(direction, "a block of headers has no end", at, seen);
        }
    }

    fn payload(&mut self, direction: Direction, payload: &[u8]) {
        let (half, streams) = match direction {
            Direction::ToServer => (&mut self.to_server, &mut self.streams),
            Direction::ToClient => (&mut self.to_client, &mut self.streams),
        };
        let Some(current) = &mut half.current else {
            return;
        };
        let bound = match current.head.kind {
            FrameType::Headers | FrameType::PushPromise | FrameType::Continuation => BLOCK_BOUND,
            _ => PAYLOAD_KEPT,
        };
        let room = (HEAD + bound).saturating_sub(current.kept.len());
        current
            .kept
            .extend_from_slice(&payload[..payload.len().min(room)]);
        if current.head.kind != FrameType::Data {
            return;
        }
        let mut data = payload;
        if current.at_padding {
            // Not empty: a piece of payload never is.
            let (length, rest) = data.split_at(1);
            current.at_padding = false;
            current.padding = u32::from(length[0]) + 1;
            data = rest;
            match current.head.length.checked_sub(current.padding) {
                Some(left) => current.data_left = left,
                None => {
                    current.data_left = 0;
                    current.fault = Some("its padding is longer than the frame".to_owned());
                }
            }
        }
        let taken = data
            .len()
            .min(usize::try_from(current.data_left).unwrap_or(usize::MAX));
        // At most `data_left`, which is a `u32`.
        current.data_left -= taken as u32;
        let data = &data[..taken];
        let Some(stream) = streams.open.get_mut(&current.head.stream) else {
            return;
        };
        let method = stream.method.clone();
        let is_protobuf = stream.is_protobuf;
        let side = stream.side(direction);
        if side.plain || side.ended || side.reset {
            return;
        }
        let (messages, message_bytes) = (&mut current.messages, &mut current.message_bytes);
        let mut too_many = false;
        let read = side.messages.read(data, &mut streams.allowance, |mut raw| {
            if messages.len() == MESSAGES_A_FRAME {
                too_many = true;
                return;
            }
            if *message_bytes + raw.bytes.len() > BYTES_A_FRAME {
                raw.bytes = Bytes::copy_from_slice(&raw.bytes[..raw.bytes.len().min(FIRST_BYTES)]);
            }
            *message_bytes += raw.bytes.len();
            let descriptor = method.as_ref().map(|method| match direction {
                Direction::ToServer => method.input(),
                Direction::ToClient => method.output(),
            });
            messages.push(Message::new(raw, descriptor, is_protobuf));
        });
        if too_many {
            current.fault = Some(format!(
                "more than the {MESSAGES_A_FRAME} messages that are shown"
            ));
        }
        if let Err(NoPrefix(flags)) = read {
            side.plain = true;
            side.messages.stop(&mut streams.allowance);
            current.fault = Some(format!(
                "no gRPC message begins with the byte {flags:#04x}; the rest is not decoded"
            ));
        }
    }

    fn finish(&mut self, direction: Direction, at: Duration, seen: &mut impl FnMut(Event)) {
        let Some(mut current) = self.half(direction).current.take() else {
            return;
        };
        let head = current.head;
        let kept = std::mem::take(&mut current.kept);
        let body = &kept[HEAD..];
        let fault = structure_fault(&head, body);
        let broken = fault.is_some();
        if let Some(fault) = fault {
            current.fault.get_or_insert(fault.to_owned());
        }

        let mut after = None;
        let mut note = None;
        let payload = match head.kind {
            FrameType::Data => {
                let fault = self.streams.ended_fault(direction, head.stream);
                if let Some(fault) = fault {
                    current.fault.get_or_insert(fault);
                }
                let unfinished = self
                    .streams
                    .open
                    .get_mut(&head.stream)
                    .and_then(|stream| stream.side(direction).messages.unfinished());
                if head.has(frame::END_STREAM) {
                    if unfinished.is_some() {
                        current
                            .fault
                            .get_or_insert("the stream ends inside of a message".to_owned());
                    }
                    after = Some(Change::End);
                }
                Payload::Data {
                    padding: current.padding,
                    messages: std::mem::take(&mut current.messages),
                    unfinished,
                }
            }
            FrameType::Headers | FrameType::PushPromise | FrameType::Continuation => {
                if broken {
                    // Whatever the block was, it is gone.
                    if head.kind != FrameType::Continuation
                        || self.half(direction).block.take().is_some()
                    {
                        note = Some("a block of headers cannot be told from its frame");
                    }
                    Payload::Opaque
                } else {
                    match self.block(direction, &mut current, body, at) {
                        Ok((payload, change)) => {
                            after = change;
                            payload
                        }
                        Err(reason) => {
                            note = Some(reason);
                            Payload::Opaque
                        }
                    }
                }
            }
            _ if broken => Payload::Opaque,
            FrameType::RstStream => {
                if let Some(fault) = self.streams.reset_fault(direction, head.stream) {
                    current.fault.get_or_insert(fault);
                }
                after = Some(Change::Reset);
                Payload::Reset(be32(body))
            }
            FrameType::Settings => self.settings(direction, &head, body),
            FrameType::Ping => {
                let mut opaque = [0; 8];
                opaque.copy_from_slice(&body[..8]);
                Payload::Ping(opaque)
            }
            FrameType::GoAway => Payload::GoAway {
                last_stream: be32(body) & 0x7fff_ffff,
                error: be32(&body[4..]),
                debug: Bytes::copy_from_slice(&body[8..]),
            },
            FrameType::WindowUpdate => {
                let increment = be32(body) & 0x7fff_ffff;
                if increment == 0 {
                    current
                        .fault
                        .get_or_insert("a window that grows by nothing".to_owned());
                }
                Payload::WindowUpdate(increment)
            }
            FrameType::Priority | FrameType::Unknown(_) => Payload::Opaque,
        };

        let call = self.streams.call(head.stream);
        let mut bytes = Bytes::from(kept);
        bytes.truncate(HEAD + PAYLOAD_KEPT);
        seen(Event::Frame(Frame {
            connection: self.connection,
            direction,
            at,
            stream: head.stream,
            kind: head.kind,
            flags: head.flags,
            length: head.length,
            payload,
            call,
            fault: current.fault,
            held: false,
            bytes,
        }));
        if let Some(reason) = note {
            self.lose_headers(direction, reason, at, seen);
        }
        if let Some(change) = after {
            self.streams.change(direction, head.stream, change);
        }
        if self.streams.open.len() == STREAMS && !std::mem::replace(&mut self.told_of_streams, true)
        {
            seen(self.note(
                at,
                format!("more than {STREAMS} streams are open: the others are not followed"),
            ));
        }
    }

    fn lose_headers(
        &mut self,
        direction: Direction,
        reason: &str,
        at: Duration,
        seen: &mut impl FnMut(Event),
    ) {
        if self.half(direction).headers.is_lost() {
            return;
        }
        self.half(direction).headers.lose();
        let sender = direction.sender();
        seen(self.note(
            at,
            format!("the {sender}'s headers can no longer be read: {reason}"),
        ));
    }

    /// Takes in a part of a block of headers, and decodes the block if this was its last part.
    fn block(
        &mut self,
        direction: Direction,
        current: &mut Current,
        body: &[u8],
        at: Duration,
    ) -> Result<(Payload, Option<Change>), &'static str> {
        let head = current.head;
        let length = head.length as usize;
        let (fragment, missing, mut block) = if head.kind == FrameType::Continuation {
            let Some(block) = self.half(direction).block.take() else {
                return Err("a CONTINUATION continues nothing");
            };
            (body, length - body.len(), block)
        } else {
            let mut skip = 0;
            let mut padding = 0;
            if head.has(frame::PADDED) {
                padding = body.first().copied().map_or(0, usize::from);
                skip += 1;
            }
            if head.kind == FrameType::Headers && head.has(frame::PRIORITY) {
                skip += 5;
            }
            let mut promised = None;
            if head.kind == FrameType::PushPromise {
                promised = Some(be32(&body[skip..]) & 0x7fff_ffff);
                skip += 4;
            }
            current.padding = (padding + usize::from(head.has(frame::PADDED))) as u32;
            // Of a frame over the bound the end is missing, and with it the padding.
            let end = (length - padding).min(body.len());
            let block = OpenBlock {
                stream: head.stream,
                promised,
                end_stream: head.kind == FrameType::Headers && head.has(frame::END_STREAM),
                bytes: Vec::new(),
                length: 0,
            };
            (&body[skip..end], (length - padding) - end, block)
        };
        let room = BLOCK_BOUND - block.bytes.len();
        block
            .bytes
            .extend_from_slice(&fragment[..fragment.len().min(room)]);
        block.length += fragment.len() + missing;
        if !head.has(frame::END_HEADERS) {
            self.half(direction).block = Some(block);
            return Ok((Payload::HeadersPart, None));
        }
        if block.bytes.len() < block.length {
            return Err("a block of headers is longer than the 64 KiB that are read");
        }
        let half = self.half(direction);
        if half.headers.is_lost() {
            let payload = Payload::Headers(Block {
                role: self.streams.role(direction, &block, &[]),
                fields: Vec::new(),
                left_out: 0,
                encoded: block.length,
                end_stream: block.end_stream,
                decoded: false,
            });
            return Ok((payload, block.end_stream.then_some(Change::End)));
        }
        let decoded = match half.headers.decode(&block.bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                current.fault.get_or_insert(format!("HPACK: {error}"));
                return Err("HPACK needs every block of headers to read the next");
            }
        };
        let role = self.streams.role(direction, &block, &decoded.fields);
        let fault = self.streams.headers_fault(direction, &block, role);
        if let Some(fault) = fault {
            current.fault.get_or_insert(fault);
        }
        let stream = block.promised.unwrap_or(block.stream);
        match role {
            Role::Request | Role::Push => self.streams.begin(stream, &decoded.fields, at),
            Role::Response | Role::TrailersOnly => self.streams.answer(stream, &decoded.fields),
            Role::Trailers | Role::Informational => {}
        }
        let payload = Payload::Headers(Block {
            role,
            fields: decoded.fields,
            left_out: decoded.left_out,
            encoded: block.length,
            end_stream: block.end_stream,
            decoded: true,
        });
        Ok((payload, block.end_stream.then_some(Change::End)))
    }

    fn settings(&mut self, direction: Direction, head: &Head, body: &[u8]) -> Payload {
        if head.has(frame::ACK) {
            // The other side's settings are in force now for what this side sends.
            let half = self.half(direction.opposite());
            if let Some(Some(size)) = half.table_sizes.pop_front() {
                self.half(direction).headers.allow(size);
            }
            return Payload::Settings(Vec::new());
        }
        let mut table_size = None;
        let mut settings = Vec::new();
        for setting in body.chunks_exact(6) {
            let id = u16::from_be_bytes([setting[0], setting[1]]);
            let value = be32(&setting[2..]);
            match id {
                0x1 => table_size = Some(value),
                0x5 => self.half(direction).max_frame_size = value,
                _ => {}
            }
            settings.push((id, value));
        }
        let other = self.half(direction.opposite());
        if let Some(size) = table_size {
            // More may be used as soon as it is known; less has to be waited for.
            let size = size.max(other.headers.allowed());
            other.headers.allow(size);
        }
        let half = self.half(direction);
        // Nobody needs more than a few; who sends thousands and is never answered is not followed.
        if half.table_sizes.len() < 64 {
            half.table_sizes.push_back(table_size);
        }
        Payload::Settings(settings)
    }
}

impl Half {
    fn new(direction: Direction) -> Self {
        Self {
            opening: Opening::of(direction),
            protocol: None,
            splitter: Splitter::default(),
            headers: HeaderDecoder::new(),
            max_frame_size: DEFAULT_MAX_FRAME_SIZE,
            table_sizes: VecDeque::new(),
            block: None,
            current: None,
            bytes: 0,
            ended: false,
        }
    }

    fn held_bytes(&self) -> usize {
        let block = self
            .block
            .as_ref()
            .map_or(0, |block| block.bytes.capacity());
        let current = self.current.as_ref().map_or(0, |current| {
            let messages: usize = current
                .messages
                .iter()
                .map(|message| message.bytes.len() + size_of::<Message>())
                .sum();
            current.kept.capacity() + messages
        });
        block + current + self.headers.held_bytes() + self.table_sizes.capacity() * 8
    }
}

fn be32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().copied().map_or(0, u32::from_be_bytes)
}

/// The error code of RST_STREAM or GOAWAY, by name and number where it has no name.
pub(crate) fn error_text(code: u32) -> String {
    match error_name(code) {
        "an error without a name" => format!("error {code}"),
        name => name.to_owned(),
    }
}
