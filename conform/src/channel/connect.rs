//! Makes one connection, and tells when it takes no more calls.

use std::error::Error;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::Status;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::Scheme;
use tonic::codegen::{Service, StdError};
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt;

use crate::balance::{LineEnd, Shared};
use crate::frames::{FrameScanner, GOAWAY, Heard, Listen, SETTINGS};
use crate::resolver::Address;
use crate::status::{NotSent, explain};

/// Makes connections.
pub(super) trait Connect: Send + Sync + 'static {
    /// A connection of this subchannel, which is told when the connection, with this `number`, takes
    /// no more calls; so is `ended`. It's closed at the end of `line`.
    fn connect(
        &self,
        subchannel: &Arc<Shared>,
        number: u64,
        ended: oneshot::Sender<()>,
        line: LineEnd,
    ) -> BoxFuture<'static, Result<Channel, Status>>;
}

/// How many streams that were broken off here, by a deadline or a hedge that lost for example, a
/// connection remembers: what the server still sends on them is overlooked. What comes on one that is
/// forgotten is a fault of the server's, and after 1024 such faults in the life of a connection h2
/// ends it, with all its calls. h2 remembers 50, for a second, which a client that is busy exceeds.
const REMEMBERED_STREAMS: usize = 4096;

/// For how long it remembers them.
const REMEMBERED_FOR: Duration = Duration::from_secs(5);

/// Settings of an endpoint for a channel that breaks off many calls.
pub(super) fn patient(endpoint: Endpoint) -> Endpoint {
    endpoint
        .http2_max_concurrent_reset_streams(REMEMBERED_STREAMS)
        .http2_reset_stream_duration(REMEMBERED_FOR)
}

/// Connects to addresses, with one endpoint's settings.
#[derive(Clone)]
pub(super) struct Connector {
    endpoint: Endpoint,
    tcp: HttpConnector,
}

impl Connector {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(endpoint.get_tcp_nodelay());
        tcp.set_keepalive(endpoint.get_tcp_keepalive());
        tcp.set_keepalive_interval(endpoint.get_tcp_keepalive_interval());
        tcp.set_keepalive_retries(endpoint.get_tcp_keepalive_retries());
        tcp.set_connect_timeout(endpoint.get_connect_timeout());
        Self { endpoint, tcp }
    }
}

impl Connect for Connector {
    fn connect(
        &self,
        subchannel: &Arc<Shared>,
        number: u64,
        ended: oneshot::Sender<()>,
        line: LineEnd,
    ) -> BoxFuture<'static, Result<Channel, Status>> {
        let guard = Guard {
            subchannel: Arc::downgrade(subchannel),
            number,
            ended: Some(ended),
        };
        let connector = self.clone();
        let address = subchannel.address().clone();
        #[cfg(feature = "channelz")]
        let show = subchannel.entry().cloned();
        #[cfg(not(feature = "channelz"))]
        let show = ();
        Box::pin(async move {
            let connecting = connector.establish(&address, guard, line, show);
            let Some(limit) = connector.endpoint.get_connect_timeout() else {
                return connecting.await;
            };
            let result = timeout(limit, connecting).await;
            result.unwrap_or_else(|_| Err(too_late(&address)))
        })
    }
}

/// The status of an attempt that has taken too long.
pub(super) fn too_late(address: &Address) -> Status {
    Status::unavailable(format!("connecting to {address} took too long"))
}

impl Connector {
    /// Waits for the server's first SETTINGS, so that what answers is a server of HTTP/2. Inside of
    /// TLS they can't be seen: there the handshake has to do.
    async fn establish(
        &self,
        address: &Address,
        guard: Guard,
        line: LineEnd,
        show: Show,
    ) -> Result<Channel, Status> {
        let failed = |error: &(dyn Error + 'static)| {
            let why = explain(error);
            Status::unavailable(format!("connecting to {address} failed: {why}"))
        };
        let io = self.open(address, show).await;
        let io = io.map_err(|error| failed(&*error))?;
        let wants_tls = self.endpoint.uri().scheme() == Some(&Scheme::HTTPS);
        let (first, mut has_begun) = oneshot::channel();
        let ear = Ear {
            wants_tls,
            frames: Some(FrameScanner::default()),
            first: Some(first),
            guard,
            line,
        };
        let io = Heard::new(io, ear);
        let once = Once(Some(TokioIo::new(io)));
        let channel = self.endpoint.connect_with_connector(once).await;
        if wants_tls {
            return channel.map_err(|error| match has_begun.try_recv() {
                Ok(First::Tls) | Err(_) => failed(&error),
                Ok(_) => Status::unavailable(format!("{address} doesn't speak TLS")),
            });
        }
        let channel = channel.map_err(|error| failed(&error))?;
        let why = match has_begun.await {
            Ok(First::Settings) => return Ok(channel),
            Ok(First::Tls) => "speaks TLS, and this channel plain text",
            Ok(First::Other) | Err(_) => "closed the connection, or doesn't speak HTTP/2",
        };
        Err(Status::unavailable(format!("{address} {why}")))
    }

    async fn open(&self, address: &Address, show: Show) -> Result<Io, StdError> {
        #[cfg(not(feature = "channelz"))]
        let () = show;
        match address {
            Address::Tcp(address) => {
                let uri = Uri::builder()
                    .scheme(Scheme::HTTP)
                    .authority(address.to_string())
                    .path_and_query("/")
                    .build()?;
                let stream = self.tcp.clone().oneshot(uri).await?;
                #[cfg(feature = "channelz")]
                if let Some(entry) = show {
                    return Ok(Box::new(entry.socket(stream)));
                }
                Ok(Box::new(stream.into_inner()))
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await?;
                #[cfg(feature = "channelz")]
                if let Some(entry) = show {
                    return Ok(Box::new(entry.socket(TokioIo::new(stream))));
                }
                Ok(Box::new(stream))
            }
            #[cfg(not(unix))]
            Address::Unix(_) => Err(format!("{address} can't be connected to here").into()),
        }
    }
}

/// Who tells of a connection.
#[cfg(feature = "channelz")]
type Show = Option<crate::channelz::SubchannelEntry>;
#[cfg(not(feature = "channelz"))]
type Show = ();

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Io = Box<dyn Stream>;

/// A connector for the connection that there is. When that is gone there is no other: which
/// connection is made next is the policy's business.
struct Once(Option<TokioIo<Watched>>);

impl Service<Uri> for Once {
    type Response = TokioIo<Watched>;
    type Error = NotSent;
    type Future = std::future::Ready<Result<Self::Response, NotSent>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotSent>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        std::future::ready(self.0.take().ok_or(NotSent))
    }
}

/// Tells the subchannel, once, that its connection is gone.
struct Guard {
    subchannel: Weak<Shared>,
    number: u64,
    ended: Option<oneshot::Sender<()>>,
}

impl Guard {
    fn gone(&mut self) {
        let Some(ended) = self.ended.take() else {
            return;
        };
        // At once, so that the next pick can't choose it; the task hears of it next.
        if let Some(subchannel) = self.subchannel.upgrade() {
            subchannel.gone(self.number);
        }
        let _ = ended.send(());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.gone();
    }
}

type Watched = Heard<Io, Ear>;

/// What a server begins with.
enum First {
    Settings,
    Tls,
    Other,
}

/// A handshake or an alert: nothing else begins a conversation in TLS, and neither of them one in
/// HTTP. RFC 8446, section 5.1.
fn is_tls(first: u8) -> bool {
    matches!(first, 0x15 | 0x16)
}

/// Hears the server's first SETTINGS, and its GOAWAY. Inside of TLS, only whether it is TLS.
struct Ear {
    wants_tls: bool,
    /// `None` once there is nothing more to hear.
    frames: Option<FrameScanner>,
    /// Is told what the server begins with.
    first: Option<oneshot::Sender<First>>,
    guard: Guard,
    line: LineEnd,
}

impl Ear {
    fn begins_with(&mut self, what: First) {
        if let Some(first) = self.first.take() {
            let _ = first.send(what);
        }
    }

    /// The server's first byte.
    fn first(&mut self, byte: u8) {
        if is_tls(byte) {
            self.begins_with(First::Tls);
            self.frames = None;
        } else if self.wants_tls {
            self.begins_with(First::Other);
            self.frames = None;
        }
    }
}

impl Listen for Ear {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.line.poll(cx)
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        if self.first.is_some()
            && let Some(byte) = bytes.first()
        {
            self.first(*byte);
        }
        while let Some(frames) = &mut self.frames {
            let Some(frame) = frames.next_frame(&mut bytes) else {
                return;
            };
            if self.first.is_some() {
                if frame.kind != SETTINGS {
                    self.begins_with(First::Other);
                    self.frames = None;
                    return;
                }
                self.begins_with(First::Settings);
            }
            // The first of them, whatever its last stream is: new calls go elsewhere, and those
            // that run go on (PROTOCOL-HTTP2, "GOAWAY Frame").
            if frame.kind == GOAWAY {
                self.frames = None;
                self.guard.gone();
            }
        }
    }
}
