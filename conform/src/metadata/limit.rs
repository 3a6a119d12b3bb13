//! Refuses a request with too many bytes of headers, before the server does worse than that.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tower::Layer;

/// What PROTOCOL-HTTP2, section *Requests*, suggests to servers as a limit, in bytes.
const SUGGESTED: usize = 8 * 1024;

/// Enough for an `:authority` of the longest host name and a `user-agent` of some sixty letters.
const RESERVE: usize = 512;

/// Makes [`HeaderLimit`].
#[derive(Clone, Copy, Debug)]
pub struct HeaderLimitLayer {
    limit: usize,
    reserve: usize,
}

impl HeaderLimitLayer {
    /// Lets pass requests whose headers have up to `bytes` bytes, as HTTP/2 counts them: name and
    /// value of each, and 32 (RFC 9113, section 6.5.2). [`default`](Self::default) is 8 KiB.
    pub fn new(bytes: usize) -> Self {
        Self {
            limit: bytes,
            reserve: RESERVE,
        }
    }

    /// Keeps `bytes` of the limit free for what is added below this layer and can't be seen here:
    /// `:scheme`, `:authority` and `user-agent` by the channel. 512 unless set.
    pub fn reserve(mut self, bytes: usize) -> Self {
        self.reserve = bytes;
        self
    }
}

impl Default for HeaderLimitLayer {
    /// 8 KiB, which PROTOCOL-HTTP2 suggests to servers, and so the most that a client may rely on.
    fn default() -> Self {
        Self::new(SUGGESTED)
    }
}

impl<S> Layer<S> for HeaderLimitLayer {
    type Service = HeaderLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HeaderLimit {
            inner,
            limit: *self,
        }
    }
}

/// A channel that ends a call with RESOURCE_EXHAUSTED rather than send too many bytes of headers.
///
/// Past its limit a server refuses the call, with HTTP's 431 and no gRPC status. Past four times
/// its limit a server made with tonic closes the connection, and with it every other call of this
/// client. A client can't learn the limit: tonic has no way to ask for the server's settings.
#[derive(Clone, Copy, Debug)]
pub struct HeaderLimit<S> {
    inner: S,
    limit: HeaderLimitLayer,
}

inner_service!(HeaderLimit<S>);

impl<S, B> Service<Request<Body>> for HeaderLimit<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = HeaderLimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let HeaderLimitLayer { limit, reserve } = self.limit;
        let size = size(&request);
        if size > limit.saturating_sub(reserve) {
            let message = format!(
                "{size} bytes of headers are too many: the limit is {limit}, with {reserve} kept"
            );
            let status = Some(Status::resource_exhausted(message));
            let state = State::Refused { status };
            return HeaderLimitFuture { state };
        }
        let response = self.inner.call(request);
        let state = State::Called { response };
        HeaderLimitFuture { state }
    }
}

/// What is known here of the size of the headers of `request`.
fn size<B>(request: &Request<B>) -> usize {
    let line = |name: &str, value: usize| name.len() + value + 32;
    let method = request.method().as_str().len();
    let path = request.uri().path_and_query();
    let path = path.map_or(0, |path| path.as_str().len());
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| line(name.as_str(), value.len()));
    line(":method", method) + line(":path", path) + headers.sum::<usize>()
}

pin_project! {
    /// The response of a [`HeaderLimit`].
    pub struct HeaderLimitFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Called { #[pin] response: F },
        Refused { status: Option<Status> },
    }
}

impl<F, B, E> Future for HeaderLimitFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Default,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Called { response } => response.poll(cx),
            StateProj::Refused { status } => match status.take() {
                Some(status) => Poll::Ready(Ok(status.into_http())),
                None => Poll::Pending,
            },
        }
    }
}
