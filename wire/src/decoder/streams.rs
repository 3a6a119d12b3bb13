//! The streams of a connection: which call each belongs to, how far it is, and how it ended.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::event::{Call, Direction, Role};
use crate::grpc::{Descriptors, Encoding, FIRST_BYTES, Messages, Schema, timeout};
use crate::http2::{HeaderBlock, Violation};

/// How many streams are followed at once. Frames of others are still shown, but nothing is known of
/// them.
pub(crate) const STREAMS: usize = 2048;

/// How many streams are remembered after their end, to notice when one ends twice.
const ENDED: usize = 256;

/// How much of a path is kept.
const PATH_KEPT: usize = 512;

/// How many bytes of unfinished messages are held, over all streams of both directions.
const ALLOWANCE: usize = 8 * 1024 * 1024;

/// All streams of one connection.
pub(crate) struct Streams {
    connection: u64,
    pub open: HashMap<u32, Stream>,
    ended: VecDeque<Ended>,
    /// The highest that the client has begun.
    last: u32,
    /// How many bytes of messages may still be held.
    pub allowance: usize,
    calls: Arc<AtomicU64>,
    descriptors: Descriptors,
}

/// What a frame does to its side of its stream.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    End,
    Reset,
}

/// A stream that is over. Frames of the other side may still be under way.
struct Ended {
    stream: u32,
    call: Arc<Call>,
    by_client: bool,
    by_server: bool,
    reset_by_client: bool,
    reset_by_server: bool,
}

/// What is known of one direction of a stream.
#[derive(Default)]
pub(crate) struct Side {
    pub messages: Messages,
    pub encoding: Encoding,
    /// DATA that is not gRPC, or no longer.
    pub plain: bool,
    pub ended: bool,
    pub reset: bool,
}

/// A stream that is not over.
pub(crate) struct Stream {
    pub call: Arc<Call>,
    pub path: Arc<str>,
    pub is_protobuf: bool,
    /// gRPC-Web has its trailers in the body.
    pub is_web: bool,
    pub answered: bool,
    pub to_server: Side,
    pub to_client: Side,
}

impl Stream {
    /// What is known of the messages in this direction.
    pub fn schema(&self, direction: Direction, descriptors: &Descriptors) -> Schema {
        Schema {
            descriptors: descriptors.clone(),
            path: self.path.clone(),
            is_request: direction == Direction::ToServer,
            is_protobuf: self.is_protobuf,
        }
    }

    pub fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

impl Streams {
    /// The most that is ever held.
    pub const BOUND: usize = {
        // A byte that isn't UTF-8 is replaced by a character of three.
        let path = 6 * PATH_KEPT;
        let stream = path + 4 * FIRST_BYTES + size_of::<Stream>();
        let ended = path + 2 * size_of::<Ended>();
        // Buffers grow by doubling, so that up to twice the allowance is held.
        2 * ALLOWANCE + STREAMS * stream + (ENDED + 1) * ended
    };

    pub fn new(connection: u64, calls: Arc<AtomicU64>, descriptors: Descriptors) -> Self {
        Self {
            connection,
            open: HashMap::new(),
            ended: VecDeque::new(),
            last: 0,
            allowance: ALLOWANCE,
            calls,
            descriptors,
        }
    }

    pub fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// The call on a stream, also on one that ended not long ago.
    pub fn call(&self, id: u32) -> Option<Arc<Call>> {
        let open = self.open.get(&id).map(|stream| stream.call.clone());
        open.or_else(|| Some(self.ended(id)?.call.clone()))
    }

    /// The calls that have not ended, oldest first.
    pub fn open_calls(&self) -> Vec<Arc<Call>> {
        let mut open: Vec<_> = self
            .open
            .values()
            .filter(|stream| !stream.to_client.ended)
            .map(|stream| stream.call.clone())
            .collect();
        open.sort_by_key(|call| call.number);
        open
    }

    /// How many bytes are held.
    pub fn held_bytes(&self) -> usize {
        let streams: usize = self
            .open
            .values()
            .map(|stream| {
                size_of::<Stream>()
                    + 2 * stream.path.len()
                    + stream.to_server.messages.held_bytes()
                    + stream.to_client.messages.held_bytes()
            })
            .sum();
        let ended = self.ended.capacity() * size_of::<Ended>() + self.ended.len() * PATH_KEPT;
        streams + ended
    }

    /// What a block of headers is in its call.
    pub fn role(&self, direction: Direction, block: &HeaderBlock) -> Role {
        let stream = self.open.get(&block.stream);
        if block.promised.is_some() {
            return Role::Push;
        }
        match direction {
            Direction::ToServer if stream.is_none() => Role::Request,
            Direction::ToServer => Role::Trailers,
            Direction::ToClient => {
                let status = block.value(":status");
                let answered = stream.is_some_and(|stream| stream.answered);
                if status.is_some_and(|status| status.starts_with(b"1")) {
                    Role::Informational
                } else if answered || (status.is_none() && !block.fields.is_empty()) {
                    Role::Trailers
                } else if block.end_stream {
                    Role::TrailersOnly
                } else {
                    Role::Response
                }
            }
        }
    }

    /// A call begins.
    pub fn begin(&mut self, id: u32, block: &HeaderBlock, at: Duration) {
        if !id.is_multiple_of(2) {
            self.last = self.last.max(id);
        }
        if id == 0 || self.open.len() >= STREAMS || self.ended(id).is_some() {
            return;
        }
        let path = block.value(":path").unwrap_or_default();
        let path = String::from_utf8_lossy(&path[..path.len().min(PATH_KEPT)]).into_owned();
        let content_type = block.value("content-type").unwrap_or_default();
        let plain = !is_grpc(content_type);
        let time = block.value("grpc-timeout").map(String::from_utf8_lossy);
        let call = Call {
            number: self.calls.fetch_add(1, Ordering::Relaxed) + 1,
            connection: self.connection,
            stream: id,
            path: path.clone(),
            began: at,
            timeout: time.and_then(|time| timeout(&time)),
        };
        let stream = Stream {
            call: Arc::new(call),
            path: path.into(),
            is_protobuf: is_protobuf(content_type),
            is_web: content_type.starts_with(b"application/grpc-web"),
            answered: false,
            to_server: Side {
                plain,
                encoding: Encoding::of(block.value("grpc-encoding")),
                ..Side::default()
            },
            to_client: Side {
                plain,
                ..Side::default()
            },
        };
        self.open.insert(id, stream);
    }

    /// The answer to a call begins.
    pub fn answer(&mut self, block: &HeaderBlock) {
        let Some(stream) = self.open.get_mut(&block.stream) else {
            return;
        };
        stream.answered = true;
        let content_type = block.value("content-type").unwrap_or_default();
        // An error page of something in between is not gRPC, whatever was asked for.
        stream.to_client.plain |= !is_grpc(content_type);
        stream.to_client.encoding = Encoding::of(block.value("grpc-encoding"));
    }

    /// One side ends its half, or the stream.
    pub fn change(&mut self, direction: Direction, id: u32, change: Change) {
        let Some(stream) = self.open.get_mut(&id) else {
            return;
        };
        let side = stream.side(direction);
        match change {
            Change::End => side.ended = true,
            Change::Reset => side.reset = true,
        }
        side.messages.stop(&mut self.allowance);
        let over = stream.to_server.reset
            || stream.to_client.reset
            || (stream.to_server.ended && stream.to_client.ended);
        if !over {
            return;
        }
        if let Some(mut stream) = self.open.remove(&id) {
            stream.to_server.messages.stop(&mut self.allowance);
            stream.to_client.messages.stop(&mut self.allowance);
            self.ended.push_back(Ended {
                stream: id,
                call: stream.call,
                by_client: stream.to_server.ended || stream.to_server.reset,
                by_server: stream.to_client.ended || stream.to_client.reset,
                reset_by_client: stream.to_server.reset,
                reset_by_server: stream.to_client.reset,
            });
        }
        if self.ended.len() > ENDED {
            self.ended.pop_front();
        }
    }

    fn ended(&self, id: u32) -> Option<&Ended> {
        // From the back: what comes late comes soon.
        self.ended.iter().rev().find(|ended| ended.stream == id)
    }

    /// What is wrong with DATA or headers on a stream that their sender has ended.
    pub fn after_end(&self, direction: Direction, id: u32) -> Option<Violation> {
        let ended = match (self.open.get(&id), self.ended(id), direction) {
            (Some(stream), _, Direction::ToServer) => stream.to_server.ended,
            (Some(stream), _, Direction::ToClient) => stream.to_client.ended,
            (None, Some(ended), Direction::ToServer) => ended.by_client,
            (None, Some(ended), Direction::ToClient) => ended.by_server,
            (None, None, _) => false,
        };
        ended.then(|| Violation::AfterEnd(direction.sender()))
    }

    /// What is wrong with an RST_STREAM.
    pub fn wrong_reset(&self, direction: Direction, id: u32) -> Option<Violation> {
        if !id.is_multiple_of(2) && id > self.last {
            return Some(Violation::NeverBegun);
        }
        let ended = self.ended(id)?;
        let twice = match direction {
            Direction::ToServer => ended.reset_by_client,
            Direction::ToClient => ended.reset_by_server,
        };
        twice.then(|| Violation::AfterReset(direction.sender()))
    }

    /// The highest stream that the client has begun.
    pub fn last(&self) -> u32 {
        self.last
    }
}

fn is_grpc(content_type: &[u8]) -> bool {
    content_type.starts_with(b"application/grpc")
}

/// Whether the messages of this content-type are protobuf. Without a subtype they are.
fn is_protobuf(content_type: &[u8]) -> bool {
    let content_type = content_type.split(|&byte| byte == b';').next();
    let content_type = content_type.unwrap_or_default();
    match content_type.iter().position(|&byte| byte == b'+') {
        Some(plus) => content_type[plus..].trim_ascii() == b"+proto",
        None => true,
    }
}
