//! What tests of gRPC services share: waiting with a limit, raw calls, and a call's frames as a
//! list.
//!
//! Behind the feature `testing`. Everything here panics where a test is to fail.

use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::net::TcpStream;

use crate::alarm::alarm;
use crate::{Frame, Tap};

/// How long [`soon`] waits.
const SOON: Duration = Duration::from_secs(20);

/// Waits for what has to come soon, and says what was awaited if it doesn't.
///
/// It counts real time, also where a test has paused tokio's clock.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (sender, lines) = tokio::sync::oneshot::channel();
/// sender.send("factored 6").unwrap();
/// assert_eq!(wire::testing::soon("a line of the log", lines).await, Ok("factored 6"));
/// # }
/// ```
///
/// # Panics
///
/// After 20 seconds.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut guard = None;
    std::future::poll_fn(|context| {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(context) {
            return std::task::Poll::Ready(output);
        }
        let (_, fired) = guard.get_or_insert_with(|| alarm(SOON));
        if std::pin::Pin::new(fired).poll(context).is_ready() {
            panic!("waited {} s for {what}", SOON.as_secs());
        }
        std::task::Poll::Pending
    })
    .await
}

/// Who sent what, in order, one line each: `client: Request`, `server: { value: 2 }`,
/// `server: END_STREAM`, `client: RST_STREAM CANCEL`.
///
/// How messages are cut into frames doesn't show: it can differ from run to run. It takes a tap, or
/// frames:
///
/// ```no_run
/// # use wire::{Direction, Tap, testing::outline};
/// # fn check(tap: &Tap) {
/// outline(tap);
/// outline(tap.frames().iter().filter(|frame| frame.stream == 1));
/// outline(tap.frames().iter().filter(|frame| frame.direction == Direction::ToServer));
/// # }
/// ```
pub fn outline<F: std::borrow::Borrow<Frame>>(frames: impl IntoIterator<Item = F>) -> Vec<String> {
    let mut lines = Vec::new();
    for frame in frames {
        let frame = frame.borrow();
        let role = frame.role().map(|role| format!("{role:?}"));
        let messages = frame.messages().iter().map(|message| message.text());
        let end = frame.is_end_stream().then(|| "END_STREAM".to_owned());
        let reset = frame.reset().map(|error| format!("RST_STREAM {error}"));
        let all = role.into_iter().chain(messages).chain(end).chain(reset);
        lines.extend(all.map(|what| format!("{}: {what}", frame.direction.sender())));
    }
    lines
}

impl IntoIterator for &Tap {
    type Item = Frame;
    type IntoIter = std::vec::IntoIter<Frame>;

    /// The frames seen so far, as [`Tap::frames`] gives them.
    fn into_iter(self) -> Self::IntoIter {
        self.frames().into_iter()
    }
}

/// A message as gRPC frames it: not compressed, four bytes of length, then `message`.
///
/// ```
/// assert_eq!(wire::testing::framed(b"\x0a\x03Ann"), b"\0\0\0\0\x05\x0a\x03Ann");
/// ```
///
/// # Panics
///
/// If the length needs more than four bytes.
pub fn framed(message: &[u8]) -> Vec<u8> {
    #[expect(clippy::unwrap_used, reason = "a helper of tests")]
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// Sends `body` as it is, as the whole request of one call on a connection of its own, and waits
/// for the end.
///
/// `address` is an address or a URL. [`RawCall`] adds headers of one's own.
///
/// # Panics
///
/// If the server can't be reached, or the call has no end within 20 seconds.
pub async fn post(address: impl Display, path: &str, body: impl Into<Bytes>) -> RawReply {
    RawCall::new(path).body(body).send(address).await
}

/// A call made by hand over plain HTTP/2, for requests that a generated client never sends.
///
/// ```no_run
/// # use wire::testing::{RawCall, framed};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let reply = RawCall::new("/helloworld.Greeter/SayHello")
///     .header("grpc-timeout", "5S")
///     .header("trace-bin", "AP8")
///     .body(framed(b"\x0a\x03Ann"))
///     .send("127.0.0.1:50051")
///     .await;
/// assert_eq!(reply.status(), Some("OK"));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RawCall {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl RawCall {
    /// A call of this method, `/package.Service/Method`, with an empty body.
    pub fn new(path: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        Self {
            path: path.to_owned(),
            headers,
            body: Bytes::new(),
        }
    }

    /// Adds a header. `content-type` and `te` are replaced.
    ///
    /// # Panics
    ///
    /// If HTTP/2 forbids it.
    #[expect(clippy::unwrap_used, reason = "a helper of tests")]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        if name == "content-type" || name == "te" {
            self.headers.insert(name, value);
        } else {
            self.headers.append(name, value);
        }
        self
    }

    /// The body, as it is; [`framed`] makes a message of bytes.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Makes the call on a connection of its own, and waits for its end.
    ///
    /// # Panics
    ///
    /// If the server can't be reached, or the call has no end within 20 seconds.
    pub async fn send(self, address: impl Display) -> RawReply {
        let address = address.to_string();
        let bare = address.strip_prefix("http://").unwrap_or(&address);
        let bare = bare.trim_end_matches('/');
        let what = format!("the end of a raw call of {} on {bare}", self.path);
        match soon(&what, self.exchange(bare)).await {
            Ok(reply) => reply,
            Err(error) => panic!("a raw call on {bare} failed: {error}"),
        }
    }

    async fn exchange(self, address: &str) -> Result<RawReply, Box<dyn std::error::Error>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (client, connection): (SendRequest<Bytes>, _) = handshake(stream).await?;
        // Ends together with the call.
        let mut connection =
            tokio::task::JoinSet::from_iter([async move { drop(connection.await) }]);
        let mut client = client.ready().await?;
        let mut request = Request::post(format!("http://{address}{}", self.path)).body(())?;
        *request.headers_mut() = self.headers;
        let (response, mut upload) = client.send_request(request, self.body.is_empty())?;
        if !self.body.is_empty() {
            // What the server's window has no room for yet waits within h2. If the server wants no
            // more, its answer says why.
            let _ = upload.send_data(self.body, true);
        }
        let mut reply = RawReply::default();
        let ended = reply.receive(response).await;
        connection.abort_all();
        match ended {
            Err(error) if error.is_reset() => reply.reset = error.reason(),
            other => other?,
        }
        Ok(reply)
    }
}

/// How a raw call ended.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RawReply {
    /// The HTTP status, or 0 if the server sent no headers.
    pub http_status: u16,
    /// The headers. Of a call that failed at once, the status is here.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
    /// The messages in the body, as they are on the wire, without their prefixes.
    pub messages: Vec<Bytes>,
    /// The trailers.
    pub trailers: HeaderMap,
    reset: Option<Reason>,
}

impl RawReply {
    /// The gRPC status by name, `NOT_FOUND`, wherever it stands.
    pub fn status(&self) -> Option<&'static str> {
        crate::grpc::status_name(self.value("grpc-status")?.as_bytes())
    }

    /// `grpc-message`, decoded.
    pub fn message(&self) -> Option<String> {
        let message = self.value("grpc-message")?;
        Some(crate::text::percent_decoded(message.as_bytes()))
    }

    /// The error by name, `CANCEL`, if the server reset the stream.
    pub fn reset(&self) -> Option<&'static str> {
        let reason = self.reset?;
        Some(
            crate::ErrorCode(reason.into())
                .name()
                .unwrap_or("UNKNOWN_ERROR"),
        )
    }

    fn value(&self, name: &str) -> Option<&HeaderValue> {
        self.trailers.get(name).or_else(|| self.headers.get(name))
    }

    async fn receive(&mut self, response: h2::client::ResponseFuture) -> Result<(), h2::Error> {
        let (head, mut body) = response.await?.into_parts();
        self.http_status = head.status.as_u16();
        self.headers = head.headers;
        let ended = self.read(&mut body).await;
        let mut rest = self.body.clone();
        while let Some(message) = split_message(&mut rest) {
            self.messages.push(message);
        }
        ended
    }

    async fn read(&mut self, body: &mut RecvStream) -> Result<(), h2::Error> {
        let mut bytes = Vec::new();
        while let Some(part) = body.data().await {
            let part = match part {
                Ok(part) => part,
                Err(error) => {
                    self.body = bytes.into();
                    return Err(error);
                }
            };
            body.flow_control().release_capacity(part.len())?;
            bytes.extend_from_slice(&part);
        }
        self.body = bytes.into();
        self.trailers = body.trailers().await?.unwrap_or_default();
        Ok(())
    }
}

fn split_message(rest: &mut Bytes) -> Option<Bytes> {
    let [_, a, b, c, d] = *rest.first_chunk::<5>()?;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if rest.len() < 5 + length {
        return None;
    }
    let _prefix = rest.split_to(5);
    Some(rest.split_to(length))
}
