//! What is seen on the wire: frames, and what becomes of the connections that carry them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::grpc::{self, Message};
use crate::http2::{self, ClientHello, ErrorCode, FrameType, RecordType};
use crate::http2::{END_STREAM, Field};

/// Which way something travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Direction {
    /// The other way.
    pub fn opposite(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }

    /// Who sends: `client` or `server`.
    pub fn sender(self) -> &'static str {
        match self {
            Self::ToServer => "client",
            Self::ToClient => "server",
        }
    }
}

/// A call, from the headers that begin it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// 1 for the first call that was seen, over all connections.
    pub number: u64,
    /// On which connection.
    pub connection: u64,
    /// On which of its streams.
    pub stream: u32,
    /// `/package.Service/Method`.
    pub path: String,
    /// When it began, counted from the start of the tap.
    pub began: Duration,
    /// How long it may take, if it has a deadline: the header `grpc-timeout`.
    pub timeout: Option<Duration>,
}

/// One frame, taken apart.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Frame {
    /// 1 for the first connection that was accepted.
    pub connection: u64,
    /// Which way it went.
    pub direction: Direction,
    /// When its last byte was seen, counted from the start of the tap.
    pub at: Duration,
    /// Its stream, or 0 where the connection as a whole is meant.
    pub stream: u32,
    /// What it is for.
    pub kind: FrameType,
    /// One bit a flag; [`Frame::flag_names`] names them.
    pub flags: u8,
    /// How long its payload is, padding included.
    pub length: u32,
    /// What is in it.
    pub payload: Payload,
    /// The call it belongs to.
    pub call: Option<Arc<Call>>,
    /// The rule of HTTP/2 or gRPC that it breaks.
    pub violation: Option<Violation>,
    /// Seen while the tap was stalled: it has not been passed on yet.
    pub held: bool,
    /// Its first bytes as they are: nine for the head, then the payload, 16 KiB of it at most.
    pub bytes: Bytes,
}

/// A rule that a frame breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// One of HTTP/2.
    Http2(http2::Violation),
    /// One of gRPC.
    Grpc(grpc::Violation),
}

impl From<http2::Violation> for Violation {
    fn from(violation: http2::Violation) -> Self {
        Self::Http2(violation)
    }
}

impl From<grpc::Violation> for Violation {
    fn from(violation: grpc::Violation) -> Self {
        Self::Grpc(violation)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http2(violation) => violation.fmt(f),
            Self::Grpc(violation) => violation.fmt(f),
        }
    }
}

/// What is in a frame.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Payload {
    /// DATA.
    Data {
        /// How many bytes are padding, and the byte that says so.
        padding: u32,
        /// The messages whose last byte is in this frame.
        messages: Vec<Message>,
        /// A message that goes on in the next frame: how many bytes there are so far, the five of
        /// its prefix included, and how long it will be without them. `None` says that the prefix
        /// is not complete.
        unfinished: Option<(u32, Option<u32>)>,
    },
    /// HEADERS or CONTINUATION with the last part of a block.
    Headers(Headers),
    /// HEADERS, PUSH_PROMISE or CONTINUATION with a part of a block that goes on.
    HeadersPart,
    /// RST_STREAM, with its error code.
    Reset(ErrorCode),
    /// SETTINGS, number and value.
    Settings(Vec<(u16, u32)>),
    /// PING, with its eight bytes.
    Ping([u8; 8]),
    /// GOAWAY.
    GoAway {
        /// The last stream that its sender has dealt with.
        last_stream: u32,
        /// The error code.
        error: ErrorCode,
        /// What the sender adds for people.
        debug: Bytes,
    },
    /// WINDOW_UPDATE: that many bytes more.
    WindowUpdate(u32),
    /// Nothing that could be read: PRIORITY, a type that is not known, or a frame against the
    /// rules.
    Opaque,
}

/// A block of headers, put together from its frames and decoded.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Headers {
    /// What it is in its call.
    pub role: Role,
    /// The headers, in order.
    pub fields: Vec<Field>,
    /// Headers beyond the bound, which are not in `fields`.
    pub left_out: usize,
    /// How many bytes the block had before it was decoded.
    pub encoded: usize,
    /// Whether it ends its direction of the call.
    pub end_stream: bool,
    /// Whether it could be decoded.
    pub decoded: bool,
}

/// What a block of headers is in its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Begins a call.
    Request,
    /// Begins the answer.
    Response,
    /// An answer of nothing else: a call that fails before it has sent anything.
    TrailersOnly,
    /// Ends the answer, with the status.
    Trailers,
    /// A 1xx response, before the real one.
    Informational,
    /// The request of a pushed answer.
    Push,
}

impl Frame {
    /// The first header of this name. Empty for frames that are no headers.
    ///
    /// ```
    /// # use wire::Tap;
    /// # mod service { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/service.rs")); }
    /// # use service::{Client, HelloRequest};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let server = service::start().await;
    /// let tap = Tap::start(server).await.unwrap();
    /// let mut greeter = Client::connect(tap.url()).await.unwrap();
    /// let mut request = tonic::Request::new(HelloRequest { name: "Ann".to_owned() });
    /// request.set_timeout(std::time::Duration::from_secs(5));
    /// greeter.say_hello(request).await.unwrap();
    ///
    /// let headers = tap.wait_for(|frame| frame.is_request()).await;
    /// assert_eq!(headers.path(), Some("/helloworld.Greeter/SayHello"));
    /// assert_eq!(headers.header("grpc-timeout").as_deref(), Some("5000000u"));
    /// assert!(!headers.is_end_stream());
    /// let trailers = tap.wait_for(|frame| frame.is_trailers()).await;
    /// assert_eq!(trailers.status(), Some("OK"));
    /// assert!(trailers.is_end_stream());
    /// # });
    /// ```
    pub fn header(&self, name: &str) -> Option<String> {
        self.fields()
            .iter()
            .find(|field| field.name == name.as_bytes())
            .map(Field::value)
    }

    /// All headers, in order. Empty for frames that are no headers.
    pub fn fields(&self) -> &[Field] {
        match &self.payload {
            Payload::Headers(headers) => &headers.fields,
            _ => &[],
        }
    }

    /// What these headers are in their call.
    pub fn role(&self) -> Option<Role> {
        match &self.payload {
            Payload::Headers(headers) => Some(headers.role),
            _ => None,
        }
    }

    /// Whether this begins a call.
    pub fn is_request(&self) -> bool {
        self.role() == Some(Role::Request)
    }

    /// Whether this ends a call with a status, also where nothing came before it.
    pub fn is_trailers(&self) -> bool {
        matches!(self.role(), Some(Role::Trailers | Role::TrailersOnly))
    }

    /// The method of the call that it belongs to: `/package.Service/Method`.
    pub fn path(&self) -> Option<&str> {
        let path = self.call.as_ref()?.path.as_str();
        // Of a call whose headers could not be read nothing is known.
        (!path.is_empty()).then_some(path)
    }

    /// The messages whose last byte is in this frame.
    pub fn messages(&self) -> &[Message] {
        match &self.payload {
            Payload::Data { messages, .. } => messages,
            _ => &[],
        }
    }

    /// The gRPC status by name, `NOT_FOUND`, if it is in these headers.
    pub fn status(&self) -> Option<&'static str> {
        grpc::status_name(self.header("grpc-status")?.as_bytes())
    }

    /// Whether its sender sends nothing more on this stream.
    pub fn is_end_stream(&self) -> bool {
        match &self.payload {
            Payload::Headers(headers) => headers.end_stream,
            _ => self.kind == FrameType::Data && self.flags & END_STREAM != 0,
        }
    }

    /// The error by name, if this is an RST_STREAM: `CANCEL`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use wire::Tap;
    /// # mod service { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/service.rs")); }
    /// # use service::{Client, Number};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let server = service::start().await;
    /// let tap = Tap::start(server).await.unwrap();
    /// let mut numbers = Client::connect(tap.url()).await.unwrap();
    /// let replies = numbers.count(Number { value: 1_000_000_000 }).await.unwrap();
    ///
    /// drop(replies);
    /// let reset = tap.wait_for(|frame| frame.reset().is_some()).await;
    /// assert_eq!(reset.reset(), Some("CANCEL"));
    /// # });
    /// ```
    pub fn reset(&self) -> Option<&'static str> {
        match self.payload {
            Payload::Reset(code) => Some(code.name().unwrap_or("UNKNOWN_ERROR")),
            _ => None,
        }
    }

    /// The error by name, if this is a GOAWAY: `NO_ERROR`, `ENHANCE_YOUR_CALM`.
    pub fn go_away(&self) -> Option<&'static str> {
        match self.payload {
            Payload::GoAway { error, .. } => Some(error.name().unwrap_or("UNKNOWN_ERROR")),
            _ => None,
        }
    }

    /// The names of the flags that are set, of those that the type knows.
    pub fn flag_names(&self) -> Vec<&'static str> {
        self.kind
            .flags()
            .iter()
            .filter(|(flag, _)| self.flags & flag != 0)
            .map(|(_, name)| *name)
            .collect()
    }

    /// Whether it belongs to a call, and not to the connection as a whole.
    pub fn belongs_to_a_call(&self) -> bool {
        matches!(
            self.kind,
            FrameType::Data
                | FrameType::Headers
                | FrameType::Continuation
                | FrameType::PushPromise
                | FrameType::RstStream
        )
    }
}

/// Something that happened: on which connection, when, and what.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// 1 for the first connection.
    pub connection: u64,
    /// When, counted from the start of the tap.
    pub at: Duration,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A client has connected, and the server has accepted.
    Opened,
    /// A frame was seen.
    Frame(Frame),
    /// A record of TLS was seen.
    Tls(TlsRecord),
    /// Something other than a frame, in a sentence without a full stop: what cannot be decoded,
    /// what the tap did.
    Note(String),
    /// One side has said, by closing its half of the connection, that it sends nothing more.
    HalfClosed(Direction),
    /// A connection is over.
    Closed {
        /// How it ended.
        end: End,
        /// The calls that it broke off.
        open: Vec<Arc<Call>>,
        /// How many bytes went from the client to the server.
        to_server: u64,
        /// How many bytes went from the server to the client.
        to_client: u64,
    },
}

/// What can be seen of TLS from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsRecord {
    /// Which way it went.
    pub direction: Direction,
    /// What it is for.
    pub kind: RecordType,
    /// How many bytes it has, without its head of five. Encryption adds some dozen bytes and hides
    /// nothing of the length.
    pub length: u16,
    /// The client's first message, if this record holds it.
    pub hello: Option<ClientHello>,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Both sides have closed their halves.
    Finished,
    /// One side has reset it: the one that sends in this direction.
    Reset(Direction),
    /// The tap has reset it, as requested.
    ResetByTap,
    /// The tap itself was dropped.
    Dropped,
    /// The server could not be reached, for this reason.
    Refused(String),
}

impl Event {
    pub(crate) fn new(connection: u64, at: Duration, kind: EventKind) -> Self {
        Self {
            connection,
            at,
            kind,
        }
    }

    /// The frame, if it is one.
    pub fn frame(&self) -> Option<&Frame> {
        match &self.kind {
            EventKind::Frame(frame) => Some(frame),
            _ => None,
        }
    }

    /// How the connection ended, if this is its end.
    pub fn end(&self) -> Option<&End> {
        match &self.kind {
            EventKind::Closed { end, .. } => Some(end),
            _ => None,
        }
    }

    /// An upper limit of the memory that it takes.
    pub(crate) fn weight(&self) -> usize {
        const BASE: usize = 512;
        BASE + match &self.kind {
            EventKind::Frame(frame) => frame.weight(),
            EventKind::Closed { open, .. } => open.len() * 16,
            _ => 0,
        }
    }
}

impl Frame {
    fn weight(&self) -> usize {
        let fields = self.fields().iter().map(|field| field.size() + 32);
        let messages = self.messages().iter();
        let messages = messages.map(|message| message.bytes.len() + size_of::<Message>());
        let other = match &self.payload {
            Payload::Settings(settings) => settings.len() * 8,
            Payload::GoAway { debug, .. } => debug.len(),
            _ => 0,
        };
        self.bytes.len() + fields.sum::<usize>() + messages.sum::<usize>() + other
    }
}
