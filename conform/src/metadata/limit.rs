//! Refuses a request with too many bytes of headers, before the server does worse than that.

use std::future;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tower::Layer;

/// What PROTOCOL-HTTP2, section "Requests", suggests to servers as a limit, in bytes.
const SUGGESTED: usize = 8 * 1024;

/// Makes [`HeaderLimit`].
#[derive(Clone, Copy, Debug)]
pub struct HeaderLimitLayer {
    limit: usize,
    reserve: usize,
}

impl HeaderLimitLayer {
    /// Lets pass requests of up to `bytes` bytes of headers, as HTTP/2 counts them.
    pub fn new(bytes: usize) -> Self {
        Self {
            limit: bytes,
            reserve: 512,
        }
    }

    /// Keeps `bytes` bytes free for what a channel adds further down: `:authority`, `:scheme`, `user-agent`.
    /// 512 unless set.
    pub fn reserve(self, bytes: usize) -> Self {
        Self {
            reserve: bytes,
            ..self
        }
    }
}

impl Default for HeaderLimitLayer {
    /// 8 KiB, which PROTOCOL-HTTP2 suggests to servers.
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

/// A channel that sends no request with more than a number of bytes of headers.
///
/// Past its limit a server refuses the call, with HTTP's 431 and no gRPC status. Past four times its limit a
/// server made with tonic closes the connection, and with it every other call of this client. A client can't
/// learn the limit.
#[derive(Clone, Copy, Debug)]
pub struct HeaderLimit<S> {
    inner: S,
    limit: HeaderLimitLayer,
}

/// As HTTP/2 counts a header for `SETTINGS_MAX_HEADER_LIST_SIZE`: RFC 9113, section 6.5.2.
fn size<B>(request: &Request<B>) -> usize {
    let line = |name: &str, value: usize| name.len() + value + 32;
    let path = request.uri().path_and_query();
    let headers = request.headers().iter();
    line(":method", request.method().as_str().len())
        + line(":path", path.map_or(1, |path| path.as_str().len()))
        + headers
            .map(|(name, value)| line(name.as_str(), value.len()))
            .sum::<usize>()
}

impl<S, B> Service<Request<Body>> for HeaderLimit<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Default + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<S::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let size = size(&request) + self.limit.reserve;
        let limit = self.limit.limit;
        if size > limit {
            let message = format!("{size} bytes of headers are too many: the limit is {limit}");
            let refused = Status::resource_exhausted(message).into_http();
            return Box::pin(future::ready(Ok(refused)));
        }
        Box::pin(self.inner.call(request))
    }
}
