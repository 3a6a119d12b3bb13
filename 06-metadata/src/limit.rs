//! Refuses a request with too many bytes of headers, before the server does worse than that.

use std::future;

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderMap, StatusCode};
use tonic::codegen::{BoxFuture, Context, Poll, Service};

/// What PROTOCOL-HTTP2, section "Requests", suggests to servers as a limit, in bytes.
pub const SUGGESTED: usize = 8 * 1024;

/// A channel that sends no request with more than a number of bytes of headers.
///
/// Past its limit a server refuses the call, with HTTP's 431 and no gRPC status. Past four times its limit a
/// server made with tonic closes the connection, and with it every other call of this client. A client cannot
/// learn the limit; [`SUGGESTED`] is the one that it may rely on.
#[derive(Clone, Debug)]
pub struct Limited<S> {
    inner: S,
    limit: usize,
}

impl<S> Limited<S> {
    /// Lets pass what every server should take.
    pub fn new(inner: S) -> Self {
        Self::with_limit(inner, SUGGESTED)
    }

    /// Lets pass `limit` bytes of headers, as [`size`] counts them.
    pub fn with_limit(inner: S, limit: usize) -> Self {
        Self { inner, limit }
    }
}

/// The size of `headers` in bytes, as HTTP/2 counts it for `SETTINGS_MAX_HEADER_LIST_SIZE`.
pub fn size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum()
}

impl<S> Service<http::Request<Body>> for Limited<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<S::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let size = size(request.headers());
        if size > self.limit {
            let limit = self.limit;
            let message = format!("{size} bytes of headers are too many: the limit is {limit}");
            let refused = Status::resource_exhausted(message).into_http();
            return Box::pin(future::ready(Ok(refused)));
        }
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            if response.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE {
                // As gRPC's "HTTP to gRPC Status Code Mapping" says; tonic says UNKNOWN.
                let message = format!("{size} bytes of headers are too many for the server");
                return Ok(Status::internal(message).into_http());
            }
            Ok(response)
        })
    }
}
