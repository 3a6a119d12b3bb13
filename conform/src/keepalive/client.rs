//! A channel with pings, which sends fewer of them when a server asks for that.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Frame, SizeHint};
use hyper::rt;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, Uri};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tonic::transport::{self, Channel, Endpoint};

use super::limits::{is_settings, is_too_many_pings};
use super::{MIN_CLIENT_TIME, TIMEOUT};
use crate::frames::{FrameScanner, Heard, Listen};

/// Doubling ends here: a server that bears no ping in a day bears none. Timeouts do too: hyper can't
/// wait for ever, and TCP_USER_TIMEOUT ends at 24 days.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A year, since tokio's timer can't count to infinity.
pub(super) const NEVER: Duration = LONGEST.saturating_mul(365);

type OnThrottled = Arc<dyn Fn(Duration) + Send + Sync>;

/// The numbers of a client's keepalive (gRFC A8), and how to connect with them.
///
/// What the [`Endpoint`] itself has for `http2_keep_alive_interval`, `keep_alive_timeout` and
/// `keep_alive_while_idle` is overwritten.
#[derive(Clone)]
pub struct ClientKeepalive {
    time: Duration,
    least: Duration,
    timeout: Duration,
    without_calls: bool,
    on_throttled: Option<OnThrottled>,
}

impl ClientKeepalive {
    /// Pings when nothing has come for `time` (KEEPALIVE_TIME), and at most every ten seconds.
    /// [`Duration::MAX`] is never: anything from a year on is a year.
    ///
    /// Ask whoever runs the server what is permitted: the default there is 5 minutes. gRFC A8
    /// advises against much less than a minute.
    pub fn new(time: Duration) -> Self {
        Self {
            time,
            least: MIN_CLIENT_TIME,
            timeout: TIMEOUT,
            without_calls: false,
            on_throttled: None,
        }
    }

    /// Gives the connection up when nothing has come for so long after a ping: 20 seconds, if it
    /// isn't set (KEEPALIVE_TIMEOUT). On Linux also when what was sent isn't acknowledged
    /// (TCP_USER_TIMEOUT).
    ///
    /// At least several times as long as a message takes there and back. More than a day is a day.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(LONGEST);
        self
    }

    /// Pings with no call open too: no, if it isn't set (KEEPALIVE_WITHOUT_CALLS). The server has to
    /// permit it.
    pub fn without_calls(mut self, pings: bool) -> Self {
        self.without_calls = pings;
        self
    }

    /// Lets the time be shorter than ten seconds: for tests and demonstrations.
    pub fn minimum(mut self, least: Duration) -> Self {
        self.least = least;
        self
    }

    /// Calls `tell` with the new time whenever a server has asked for fewer pings. gRFC A8 wants
    /// this logged where somebody sees it.
    pub fn on_throttled(mut self, tell: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        self.on_throttled = Some(Arc::new(tell));
        self
    }

    /// A channel to `endpoint`, which connects when it is first used.
    ///
    /// Needs a tokio runtime. `Endpoint::local_address` isn't taken over: see
    /// [`connect_with_connector_lazy`](Self::connect_with_connector_lazy).
    pub fn connect_lazy(self, endpoint: Endpoint) -> KeepaliveChannel {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(endpoint.get_tcp_nodelay());
        connector.set_keepalive(endpoint.get_tcp_keepalive());
        connector.set_keepalive_interval(endpoint.get_tcp_keepalive_interval());
        connector.set_keepalive_retries(endpoint.get_tcp_keepalive_retries());
        connector.set_connect_timeout(endpoint.get_connect_timeout());
        #[cfg(any(target_os = "linux", target_os = "android"))]
        connector.set_tcp_user_timeout(self.tcp_user_timeout());
        self.connect_with_connector_lazy(endpoint, connector)
    }

    /// Only beside pings: gRFC A18.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn tcp_user_timeout(&self) -> Option<Duration> {
        (self.time < NEVER).then_some(self.timeout)
    }

    /// The same over connections that `connector` makes.
    pub fn connect_with_connector_lazy<C>(
        self,
        endpoint: Endpoint,
        connector: C,
    ) -> KeepaliveChannel
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: rt::Read + rt::Write + Send + Unpin + 'static,
        C::Future: Send + 'static,
        C::Error: Into<StdError>,
    {
        let endpoint = endpoint
            .keep_alive_timeout(self.timeout)
            .keep_alive_while_idle(self.without_calls);
        let connect = move |time: Duration, throttle: Throttle| {
            // An endpoint's own interval can't be taken away, only set to something else.
            let endpoint = endpoint.clone().http2_keep_alive_interval(time.min(NEVER));
            endpoint.connect_with_connector_lazy(Listening {
                connector: connector.clone(),
                throttle,
            })
        };
        let time = self.time.max(self.least);
        let shared = Arc::new_cyclic(|shared: &std::sync::Weak<Shared>| {
            let throttle = Throttle {
                shared: shared.clone(),
                generation: 0,
            };
            Shared {
                generation: AtomicU64::new(0),
                current: Mutex::new((time, connect(time, throttle))),
                connect: Box::new(connect),
                on_throttled: self.on_throttled,
            }
        });
        let channel = shared.current().1.clone();
        KeepaliveChannel {
            shared,
            generation: 0,
            channel,
        }
    }
}

impl fmt::Debug for ClientKeepalive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKeepalive")
            .field("time", &self.time)
            .field("timeout", &self.timeout)
            .field("without_calls", &self.without_calls)
            .finish_non_exhaustive()
    }
}

/// What all handles of a channel share.
struct Shared {
    /// How often the time was doubled.
    generation: AtomicU64,
    current: Mutex<(Duration, Channel)>,
    connect: Box<dyn Fn(Duration, Throttle) -> Channel + Send + Sync>,
    on_throttled: Option<OnThrottled>,
}

impl Shared {
    fn current(&self) -> MutexGuard<'_, (Duration, Channel)> {
        // Nothing here panics while it is held.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a connection has to tell its channel.
#[derive(Clone, Default)]
pub(super) struct Throttle {
    shared: std::sync::Weak<Shared>,
    generation: u64,
}

impl Throttle {
    /// Doubles the time of new connections, once for each time that was too short: of the
    /// connections of one time only the first counts.
    fn too_many_pings(&self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let mut current = shared.current();
        if shared.generation.load(Ordering::Acquire) != self.generation {
            return;
        }
        let generation = self.generation + 1;
        let throttle = Self {
            shared: self.shared.clone(),
            generation,
        };
        let time = current.0;
        let time = time.saturating_mul(2).min(LONGEST.max(time));
        *current = (time, (shared.connect)(time, throttle));
        shared.generation.store(generation, Ordering::Release);
        drop(current);
        if let Some(tell) = &shared.on_throttled {
            tell(time);
        }
    }
}

/// A channel with keepalive: give it to a stub, or a layer, in place of a [`Channel`].
#[derive(Clone)]
pub struct KeepaliveChannel {
    shared: Arc<Shared>,
    generation: u64,
    channel: Channel,
}

impl KeepaliveChannel {
    /// After how much silence new connections ping: what was set, or a multiple of it once servers
    /// have asked for that.
    pub fn time(&self) -> Duration {
        self.shared.current().0
    }
}

impl fmt::Debug for KeepaliveChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepaliveChannel")
            .field("time", &self.time())
            .finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for KeepaliveChannel {
    type Response = Response<KeepaliveBody>;
    type Error = transport::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.shared.generation.load(Ordering::Acquire) != self.generation {
            let current = self.shared.current();
            self.generation = self.shared.generation.load(Ordering::Acquire);
            self.channel = current.1.clone();
        }
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        ResponseFuture {
            response: self.channel.call(request),
            channel: Some(self.channel.clone()),
        }
    }
}

pin_project! {
    /// The response of a [`KeepaliveChannel`].
    pub struct ResponseFuture {
        #[pin]
        response: transport::channel::ResponseFuture,
        channel: Option<Channel>,
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<KeepaliveBody>, transport::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.response.poll(cx))?;
        let channel = this.channel.take();
        Poll::Ready(Ok(response.map(|body| KeepaliveBody {
            body,
            _channel: channel,
        })))
    }
}

/// A response's body that keeps a handle of its channel: without one hyper sends no pings.
pub struct KeepaliveBody {
    body: Body,
    _channel: Option<Channel>,
}

impl fmt::Debug for KeepaliveBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepaliveBody").finish_non_exhaustive()
    }
}

impl HttpBody for KeepaliveBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connector whose connections are listened to.
struct Listening<C> {
    connector: C,
    throttle: Throttle,
}

impl<C> Service<Uri> for Listening<C>
where
    C: Service<Uri>,
    C::Response: rt::Read + rt::Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<StdError>,
{
    type Response = TokioIo<Heard<TokioIo<C::Response>, Ear>>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, StdError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.connector.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.connector.call(uri);
        let throttle = self.throttle.clone();
        Box::pin(async move {
            let io = TokioIo::new(connecting.await.map_err(Into::into)?);
            Ok(TokioIo::new(Heard::new(io, Ear::new(throttle))))
        })
    }
}

/// Hears a GOAWAY with `too_many_pings`.
pub(super) struct Ear {
    /// And whether the first one has come. `None` once there is nothing more to hear.
    frames: Option<(FrameScanner, bool)>,
    throttle: Throttle,
}

impl Ear {
    pub(super) fn new(throttle: Throttle) -> Self {
        Self {
            frames: Some((FrameScanner::default(), false)),
            throttle,
        }
    }
}

impl Listen for Ear {
    fn hear(&mut self, mut bytes: &[u8]) {
        while let Some((frames, has_begun)) = &mut self.frames {
            let Some(frame) = frames.next_frame(&mut bytes) else {
                return;
            };
            if !*has_begun && !is_settings(&frame) {
                // Not HTTP/2, or it is inside of TLS.
                self.frames = None;
            } else if is_too_many_pings(&frame) {
                self.frames = None;
                self.throttle.too_many_pings();
            } else {
                *has_begun = true;
            }
        }
    }
}
