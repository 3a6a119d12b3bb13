//! The rules that need more than one frame: what may follow what on a stream, and what ends a call.

use super::event::{Direction, Role, Violation};
use super::streams::{Stream, Streams};
use crate::grpc::Violation as Grpc;
use crate::http2::{HeaderBlock, Violation as Http2};

/// What is wrong with a whole block of headers at this point of its stream.
pub(crate) fn headers(
    streams: &Streams,
    direction: Direction,
    block: &HeaderBlock,
    role: Role,
) -> Option<Violation> {
    let http2 = position(streams, direction, block, role).or_else(|| upper_case(block));
    if let Some(violation) = http2 {
        return Some(violation.into());
    }
    let stream = streams.open.get(&block.stream)?;
    let grpc = match direction {
        Direction::ToServer if block.end_stream => requests(streams, stream),
        Direction::ToServer => None,
        Direction::ToClient => status(streams, stream, block, role),
    };
    grpc.map(Violation::from)
}

fn position(
    streams: &Streams,
    direction: Direction,
    block: &HeaderBlock,
    role: Role,
) -> Option<Http2> {
    if block.promised.is_some() {
        return (direction == Direction::ToServer).then_some(Http2::ClientPushes);
    }
    if let Some(violation) = streams.after_end(direction, block.stream) {
        return Some(violation);
    }
    match role {
        Role::Trailers if !block.end_stream => Some(Http2::TrailersWithoutEnd),
        Role::Request if block.stream.is_multiple_of(2) => Some(Http2::EvenStream),
        Role::Request if block.stream <= streams.last() => Some(Http2::StreamNumber),
        _ => None,
    }
}

fn upper_case(block: &HeaderBlock) -> Option<Http2> {
    let mut fields = block.fields.iter();
    let wrong = fields.find(|field| field.name.iter().any(u8::is_ascii_uppercase))?;
    let name: String = wrong.name().chars().take(64).collect();
    Some(Http2::UpperCaseName(name))
}

/// What a server says of the status, where, and with how many messages.
fn status(streams: &Streams, stream: &Stream, block: &HeaderBlock, role: Role) -> Option<Grpc> {
    let content_type = block.value("content-type").unwrap_or_default();
    // Whether this is gRPC stands in the first headers; for trailers it is known.
    let is_grpc = match role {
        Role::Trailers => !stream.to_client.plain,
        Role::Response | Role::TrailersOnly => {
            !stream.to_server.plain && content_type.starts_with(b"application/grpc")
        }
        _ => false,
    };
    if !is_grpc || stream.is_web {
        return None;
    }
    let status = block.value("grpc-status");
    match (role, status) {
        (Role::Response, Some(_)) => Some(Grpc::StatusBeforeEnd),
        (Role::Response, None) => None,
        (_, None) if block.left_out == 0 => Some(Grpc::TrailersWithoutStatus),
        (_, Some(b"0")) => replies(streams, stream),
        _ => None,
    }
}

/// A method with one reply has exactly one, if it ends well.
fn replies(streams: &Streams, stream: &Stream) -> Option<Grpc> {
    let schema = stream.schema(Direction::ToClient, streams.descriptors());
    if schema.method()?.is_server_streaming() {
        return None;
    }
    match stream.to_client.messages.count() {
        0 => Some(Grpc::OkWithoutReply),
        1 => None,
        more => Some(Grpc::Replies(more)),
    }
}

/// A method that takes one request gets exactly one.
fn requests(streams: &Streams, stream: &Stream) -> Option<Grpc> {
    let side = &stream.to_server;
    let schema = stream.schema(Direction::ToServer, streams.descriptors());
    if side.plain || schema.method()?.is_client_streaming() {
        return None;
    }
    let count = side.messages.count();
    (count != 1).then_some(Grpc::Requests(count))
}

/// What is wrong with DATA that ends its side of a stream.
pub(crate) fn end_of_data(streams: &Streams, direction: Direction, id: u32) -> Option<Grpc> {
    let stream = streams.open.get(&id)?;
    match direction {
        Direction::ToServer if stream.to_server.messages.unfinished().is_some() => {
            Some(Grpc::UnfinishedMessage)
        }
        Direction::ToClient if stream.to_client.messages.unfinished().is_some() => {
            Some(Grpc::UnfinishedMessage)
        }
        Direction::ToServer => requests(streams, stream),
        Direction::ToClient if stream.is_web || stream.to_client.plain || !stream.answered => None,
        Direction::ToClient => Some(Grpc::EndWithoutTrailers),
    }
}
