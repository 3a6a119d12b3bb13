//! What is known of one direction of a connection, and of the frame that is being read.

use std::collections::VecDeque;

use bytes::Bytes;

use super::event::{Direction, Violation};
use super::streams::Streams;
use crate::grpc::{FIRST_BYTES, Message, NoPrefix, Violation as Grpc};
use crate::http2::{
    self, Content, DEFAULT_MAX_FRAME_SIZE, FrameReader, FrameType, HEAD, Head, HeaderBlock,
    HeaderDecoder, Preface, Prelude, Protocol, Records, Setting, Settings,
};

/// How many bytes of a payload are kept to be shown.
pub(crate) const PAYLOAD_KEPT: usize = 16 * 1024;

/// How many messages of one frame are kept, and how many of their bytes. Only a frame far over the
/// usual limit has room for more.
const MESSAGES_A_FRAME: usize = 4096;
const BYTES_A_FRAME: usize = 1024 * 1024;

/// How many SETTINGS may wait for their acknowledgement. A peer that sends thousands and is never
/// answered is not followed.
const UNACKNOWLEDGED: usize = 64;

/// What is known of one direction.
pub(crate) struct Half {
    pub preface: Preface,
    pub protocol: Option<Protocol>,
    pub reader: FrameReader,
    /// In place of frames, if TLS is spoken.
    pub records: Records,
    pub headers: HeaderDecoder,
    /// What this side accepts from the other, by its SETTINGS.
    pub max_frame_size: u32,
    /// Table sizes that this side has asked for and the other has not acknowledged.
    table_sizes: VecDeque<Option<u32>>,
    pub block: Option<HeaderBlock>,
    pub incoming: Option<Incoming>,
    pub bytes: u64,
    pub ended: bool,
}

impl Half {
    /// The most that is ever held.
    pub const BOUND: usize = {
        let messages = BYTES_A_FRAME + MESSAGES_A_FRAME * (FIRST_BYTES + 2 * size_of::<Message>());
        let kept = 2 * (HEAD + PAYLOAD_KEPT);
        let others = HeaderBlock::BOUND + HeaderDecoder::BOUND + Records::BOUND;
        others + messages + kept + 16 * UNACKNOWLEDGED + 4096
    };

    pub fn new(direction: Direction) -> Self {
        Self {
            preface: match direction {
                Direction::ToServer => Preface::of_client(),
                Direction::ToClient => Preface::of_server(),
            },
            protocol: None,
            reader: FrameReader::default(),
            records: match direction {
                Direction::ToServer => Records::of_client(),
                Direction::ToClient => Records::of_server(),
            },
            headers: HeaderDecoder::new(),
            max_frame_size: DEFAULT_MAX_FRAME_SIZE,
            table_sizes: VecDeque::new(),
            block: None,
            incoming: None,
            bytes: 0,
            ended: false,
        }
    }

    /// This side has sent SETTINGS, which bind the other side.
    pub fn apply(&mut self, settings: &Settings, other: &mut Self) {
        if settings.ack {
            // The other side's settings are in force now for what this side sends.
            if let Some(Some(size)) = other.table_sizes.pop_front() {
                self.headers.allow(size);
            }
            return;
        }
        if let Some(size) = settings.get(Setting::MAX_FRAME_SIZE) {
            self.max_frame_size = size;
        }
        let table_size = settings.get(Setting::HEADER_TABLE_SIZE);
        if let Some(size) = table_size {
            // More may be used as soon as it is known; less has to be waited for.
            other.headers.allow(size.max(other.headers.allowed()));
        }
        if self.table_sizes.len() < UNACKNOWLEDGED {
            self.table_sizes.push_back(table_size);
        }
    }

    /// Takes in the next bytes of a frame's payload.
    pub fn payload(&mut self, direction: Direction, payload: &[u8], streams: &mut Streams) {
        let Some(incoming) = &mut self.incoming else {
            return;
        };
        incoming.keep(payload);
        let Some(content) = incoming.content(payload) else {
            return;
        };
        match incoming.head.kind {
            FrameType::Data => incoming.data(direction, content, streams),
            FrameType::Headers | FrameType::PushPromise | FrameType::Continuation => {
                if let Some(block) = &mut self.block {
                    self.headers.feed(block, content);
                }
            }
            _ => {}
        }
    }

    pub fn held_bytes(&self) -> usize {
        let block = self.block.as_ref().map_or(0, HeaderBlock::held_bytes);
        let incoming = self.incoming.as_ref().map_or(0, Incoming::held_bytes);
        let others = self.headers.held_bytes() + self.records.held_bytes();
        block + incoming + others + self.table_sizes.capacity() * 8
    }
}

/// A frame whose end has not been seen.
pub(crate) struct Incoming {
    pub head: Head,
    /// Its first bytes as they are.
    pub kept: Vec<u8>,
    pub violation: Option<Violation>,
    /// Its form is against the rules, so that nothing in it can be found.
    pub is_malformed: bool,
    prelude: Prelude,
    /// Known when the prelude is complete; `None` before that.
    pub layout: Option<Content>,
    left: u32,
    pub messages: Vec<Message>,
    message_bytes: usize,
}

impl Incoming {
    pub fn new(head: Head, bytes: [u8; HEAD]) -> Self {
        Self {
            head,
            kept: bytes.to_vec(),
            violation: None,
            is_malformed: false,
            prelude: Prelude::of(&head),
            layout: None,
            left: 0,
            messages: Vec::new(),
            message_bytes: 0,
        }
    }

    /// The form of the frame breaks this rule.
    pub fn malformed(&mut self, violation: http2::Violation) {
        self.is_malformed = true;
        self.violates(violation);
    }

    /// The first violation stands.
    pub fn violates(&mut self, violation: impl Into<Violation>) {
        self.violation.get_or_insert(violation.into());
    }

    /// How many bytes are padding, and the byte that says so.
    pub fn padding(&self) -> u32 {
        self.layout.as_ref().map_or(0, |layout| layout.padding)
    }

    /// What was kept of the payload.
    pub fn body(&self) -> &[u8] {
        &self.kept[HEAD..]
    }

    fn keep(&mut self, payload: &[u8]) {
        let room = (HEAD + PAYLOAD_KEPT).saturating_sub(self.kept.len());
        let kept = &payload[..payload.len().min(room)];
        self.kept.extend_from_slice(kept);
    }

    /// What of the payload is neither prelude nor padding.
    fn content<'a>(&mut self, mut payload: &'a [u8]) -> Option<&'a [u8]> {
        self.read_prelude(&mut payload);
        self.layout.as_ref()?;
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let content = &payload[..payload.len().min(left)];
        // At most `left`, which is a `u32`.
        self.left -= content.len() as u32;
        Some(content)
    }

    /// Reads what stands before the content. Of an empty frame that is nothing at all.
    pub fn read_prelude(&mut self, payload: &mut &[u8]) {
        if self.is_malformed || self.layout.is_some() || !self.prelude.read(payload) {
            return;
        }
        match self.prelude.content(&self.head) {
            Ok(layout) => {
                self.left = layout.length;
                self.layout = Some(layout);
            }
            Err(violation) => self.malformed(violation),
        }
    }

    fn data(&mut self, direction: Direction, data: &[u8], streams: &mut Streams) {
        let descriptors = streams.descriptors().clone();
        let Some(stream) = streams.open.get_mut(&self.head.stream) else {
            return;
        };
        let schema = stream.schema(direction, &descriptors);
        let side = stream.side(direction);
        if side.plain || side.ended || side.reset {
            return;
        }
        let encoding = side.encoding.clone();
        let (messages, message_bytes) = (&mut self.messages, &mut self.message_bytes);
        let read = side.messages.read(data, &mut streams.allowance, |mut raw| {
            if messages.len() == MESSAGES_A_FRAME {
                return;
            }
            if *message_bytes + raw.bytes.len() > BYTES_A_FRAME {
                raw.bytes = Bytes::copy_from_slice(&raw.bytes[..raw.bytes.len().min(FIRST_BYTES)]);
            }
            *message_bytes += raw.bytes.len();
            messages.push(Message::new(raw, encoding.clone(), schema.clone()));
        });
        if let Err(NoPrefix(byte)) = read {
            side.plain = true;
            side.messages.stop(&mut streams.allowance);
            self.violates(Grpc::NoMessage(byte));
        }
    }

    fn held_bytes(&self) -> usize {
        let messages = self.messages.iter();
        let messages = messages.map(|message| message.bytes.len() + size_of::<Message>());
        self.kept.capacity() + messages.sum::<usize>()
    }
}
