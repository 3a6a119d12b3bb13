//! A call of any kind, of a method that is known by its descriptor only.

use bytes::Buf;
use futures::Stream;
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor};
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::size::{DYNAMIC, estimate};

/// What a reply may take in memory. tonic takes 4 MiB of bytes, which can stand for much more.
const REPLY: usize = 64 * 1024 * 1024;

/// Calls `method` over `service`, with the messages of `request`: one, unless the method streams
/// them. Returns when the response's headers have come, and the replies are read one by one.
///
/// Begin with a message that is there already: many servers send no headers before they have one.
///
/// # Errors
///
/// The status of a call that has failed already. That of one that fails later comes in place of a
/// reply.
pub async fn call<S>(
    service: S,
    method: &MethodDescriptor,
    request: Request<impl Stream<Item = DynamicMessage> + Send + 'static>,
) -> Result<Response<Replies>, Status>
where
    S: GrpcService<Body>,
    S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <S::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let path = PathAndQuery::try_from(path)
        .map_err(|_| Status::invalid_argument("the method's name can't be sent"))?;
    let mut grpc = Grpc::new(service);
    grpc.ready()
        .await
        .map_err(|error| Status::from_error(error.into()))?;
    let codec = DynamicCodec::new(method.output());
    let response = grpc.streaming(request, path, codec).await?;
    let may_stream = method.is_server_streaming();
    Ok(response.map(|replies| Replies {
        replies,
        may_stream,
        count: 0,
    }))
}

/// The replies of a [`call`].
#[derive(Debug)]
pub struct Replies {
    replies: Streaming<DynamicMessage>,
    may_stream: bool,
    count: u64,
}

impl Replies {
    /// The next reply, or `None` when the call has ended well.
    ///
    /// # Errors
    ///
    /// The status that the call has ended with. A method that has one reply and sent none, or a
    /// second one, is UNIMPLEMENTED, as gRPC's table of status codes has it.
    pub async fn message(&mut self) -> Result<Option<DynamicMessage>, Status> {
        let reply = self.replies.message().await?;
        self.count += u64::from(reply.is_some());
        match self.count {
            0 if !self.may_stream && reply.is_none() => Err(Status::unimplemented(
                "the method has one reply, and none came",
            )),
            2.. if !self.may_stream => Err(Status::unimplemented(
                "the method has one reply, and more came",
            )),
            _ => Ok(reply),
        }
    }

    /// The trailers, once [`message`](Self::message) has returned `None`.
    ///
    /// # Errors
    ///
    /// The status that the call has ended with, if there are replies left.
    pub async fn trailers(&mut self) -> Result<Option<MetadataMap>, Status> {
        self.replies.trailers().await
    }
}

/// Encodes any [`DynamicMessage`], and decodes those of one type, in bounded memory.
#[derive(Clone, Debug)]
pub struct DynamicCodec {
    replies: MessageDescriptor,
}

impl DynamicCodec {
    /// Decodes messages of the type `replies`.
    pub fn new(replies: MessageDescriptor) -> Self {
        Self { replies }
    }
}

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = DynamicDecoder;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder {}
    }

    fn decoder(&mut self) -> DynamicDecoder {
        let replies = self.replies.clone();
        DynamicDecoder { replies }
    }
}

/// The encoder of a [`DynamicCodec`].
#[derive(Clone, Copy, Debug)]
pub struct DynamicEncoder {}

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(
        &mut self,
        message: DynamicMessage,
        buffer: &mut EncodeBuf<'_>,
    ) -> Result<(), Status> {
        let encoded = message.encode(buffer);
        encoded.map_err(|error| Status::internal(format!("a message can't be encoded: {error}")))
    }
}

/// The decoder of a [`DynamicCodec`].
#[derive(Clone, Debug)]
pub struct DynamicDecoder {
    replies: MessageDescriptor,
}

impl Decoder for DynamicDecoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        decode(&self.replies, bytes).map(Some)
    }
}

/// Decodes a message that somebody else has sent.
pub(super) fn decode(message: &MessageDescriptor, bytes: Bytes) -> Result<DynamicMessage, Status> {
    use super::size::Refused;
    let name = message.full_name();
    estimate(message, &bytes, DYNAMIC, REPLY).map_err(|refused| match refused {
        Refused::TooLarge => {
            let limit = REPLY / 1024 / 1024;
            Status::resource_exhausted(format!("a message needs more than {limit} MiB of memory"))
        }
        Refused::TooDeep | Refused::Malformed => {
            Status::internal(format!("what came can't be decoded as {name}"))
        }
    })?;
    DynamicMessage::decode(message.clone(), bytes)
        .map_err(|_| Status::internal(format!("what came can't be decoded as {name}")))
}
