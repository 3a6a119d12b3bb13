//! Details of an error that are malformed never panic the client that receives them.
//!
//! # The promise
//!
//! The details of an error travel in `grpc-status-details-bin` as Base64 ([the guide to error
//! handling]). "Implementations MUST accept padded and un-padded values", and of joined values
//! "must split Binary-Headers on ','" (PROTOCOL-HTTP2, *Requests*). Whatever else a peer sends
//! there is no reason for a client to fail otherwise than with the error that is in the same
//! headers.
//!
//! # What tonic 0.14.9 does
//!
//! A client panics: "Invalid status header, expected base64 encoded value". So any server, and
//! any proxy on the way, can end the task that made the call; a legal header that was joined with
//! commas does too. In debug builds `tonic-types` panics on a `RetryInfo` whose delay is the least
//! number of seconds there is.
//!
//! # Example
//!
//! ```
//! use conform::error_details::{SanitizeDetailsLayer, retry_delay};
//! use greeter::Name;
//! use greeter::greeter_client::GreeterClient;
//! use tonic::transport::Channel;
//! use tower::Layer;
//!
//! async fn greet(channel: Channel) {
//!     let channel = SanitizeDetailsLayer::new().layer(channel);
//!     let mut greeter = GreeterClient::new(channel);
//!     if let Err(status) = greeter.greet(Name::default()).await {
//!         println!("{status}, to be tried again in {:?}", retry_delay(&status));
//!     }
//! }
//! # let _ = greet;
//! ```
//!
//! # What it does
//!
//! In headers and trailers of every response: details that can be decoded stay as they are; of
//! several that were joined the first stays, as tonic takes the first of several headers; what
//! can't be decoded, or holds a `RetryInfo` outside of protobuf's range of time, is removed. Code,
//! message and other metadata stay in any case.
//!
//! Nothing that reads a status from headers or trailers may stand between this layer and the
//! channel. What reads one outside of it is safe; what reads one inside, nearer to the channel,
//! panics on malformed details as tonic alone does. A program whose stubs connect by themselves has
//! no place for a layer: [`catch_malformed`] ends its call with INTERNAL in place of a panic.
//!
//! [the guide to error handling]: https://grpc.io/docs/guides/error/

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::BodyExt;
use pin_project_lite::pin_project;
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tonic::metadata::MetadataMap;
use tower::Layer;

mod catch;

#[cfg(test)]
mod tests;

pub use self::catch::catch_malformed;

const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Makes [`SanitizeDetails`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SanitizeDetailsLayer {}

impl SanitizeDetailsLayer {
    /// Sanitizes every response, and has nothing to set.
    pub fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for SanitizeDetailsLayer {
    type Service = SanitizeDetails<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SanitizeDetails::new(inner)
    }
}

/// A channel whose errors may come with malformed details.
#[derive(Clone, Copy, Debug)]
pub struct SanitizeDetails<S> {
    inner: S,
}

inner_service!(SanitizeDetails<S>);

impl<S> SanitizeDetails<S> {
    /// Sanitizes every response of `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, B> Service<Request<Body>> for SanitizeDetails<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = SanitizeDetailsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        SanitizeDetailsFuture {
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The response of a [`SanitizeDetails`].
    pub struct SanitizeDetailsFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for SanitizeDetailsFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.project().inner.poll(cx)).map(sanitize))
    }
}

fn sanitize<B>(response: Response<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let (mut head, body) = response.into_parts();
    // An error without a message before it: the status is in the headers.
    sanitize_map(&mut head.headers);
    let body = body.map_frame(|mut frame| {
        if let Some(trailers) = frame.trailers_mut() {
            sanitize_map(trailers);
        }
        frame
    });
    Response::from_parts(head, Body::new(body))
}

pub(crate) fn sanitize_map(headers: &mut HeaderMap) {
    let Some(value) = headers.get(&DETAILS) else {
        return;
    };
    let first = value.as_bytes().split(|&byte| byte == b',').next();
    let first = first.unwrap_or_default().trim_ascii();
    match HeaderValue::from_bytes(first) {
        Ok(first) if is_safe(&first) => {
            headers.insert(DETAILS, first);
        }
        _ => {
            headers.remove(DETAILS);
        }
    }
}

/// Whether nobody will panic who decodes this.
fn is_safe(value: &HeaderValue) -> bool {
    // tonic's own decoder is asked, the way in which it doesn't panic.
    let headers = HeaderMap::from_iter([(DETAILS, value.clone())]);
    let metadata = MetadataMap::from_headers(headers);
    let details = metadata.get_bin(DETAILS.as_str());
    let Some(details) = details.and_then(|details| details.to_bytes().ok()) else {
        return false;
    };
    retry_infos(&details).all(|info| info.retry_delay.is_none_or(|delay| delay.is_valid()))
}

/// How long the server asks its callers to wait before they try again: the `google.rpc.RetryInfo`
/// among the details of `status`.
///
/// Needs no other crate, and doesn't panic, whatever the details are. A delay below zero is zero;
/// one that protobuf doesn't allow (more than 10,000 years) is ignored.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    let delay = retry_infos(status.details()).find_map(|info| info.retry_delay)?;
    let seconds = u64::try_from(delay.seconds);
    let nanos = u32::try_from(delay.nanos);
    delay.is_valid().then(|| match (seconds, nanos) {
        (Ok(seconds), Ok(nanos)) => Duration::new(seconds, nanos),
        _ => Duration::ZERO,
    })
}

fn retry_infos(details: &[u8]) -> impl Iterator<Item = RetryInfo> {
    let status = RpcStatus::decode(details).unwrap_or_default();
    status.details.into_iter().filter_map(|detail| {
        let is_retry_info = detail.type_url.ends_with("/google.rpc.RetryInfo");
        is_retry_info
            .then(|| RetryInfo::decode(&detail.value[..]).ok())
            .flatten()
    })
}

/// What is needed here of `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, Copy, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Delay {
    /// Within the limits that `duration.proto` sets.
    fn is_valid(&self) -> bool {
        const LONGEST: i64 = 315_576_000_000;
        (-LONGEST..=LONGEST).contains(&self.seconds)
            && (-999_999_999..=999_999_999).contains(&self.nanos)
    }
}
