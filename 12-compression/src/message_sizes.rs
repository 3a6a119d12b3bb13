//! Notes how long each message of a call is as it travels, and whether it is compressed.

use std::fmt::{self, Display, Formatter};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conform::framing::{MessagePrefix, inspect_messages};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{BoxFuture, Context, Poll, Service};

/// One message, as it travelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSize {
    /// Its length in bytes, after compression and without the prefix.
    pub bytes: u32,
    /// The encoding, if the message was compressed.
    ///
    /// The header `grpc-encoding` names it once for a whole call. The prefix of each message says
    /// whether that message uses it: PROTOCOL-HTTP2, *Compressed-Flag*.
    pub encoding: Option<String>,
}

impl Display for MessageSize {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let encoding = self.encoding.as_deref().unwrap_or("plain");
        write!(f, "{} bytes, {encoding}", self.bytes)
    }
}

/// The messages in one direction, in one line, however many they were.
pub fn total(sizes: &[MessageSize]) -> String {
    let bytes = sum(sizes);
    match sizes {
        [] => "nothing".to_owned(),
        [size] => size.to_string(),
        [first, ..] if sizes.iter().all(|size| size.encoding == first.encoding) => {
            let encoding = first.encoding.clone();
            let all = MessageSize { bytes, encoding };
            format!("{} messages, {all}", sizes.len())
        }
        _ => format!("{} messages, {bytes} bytes, mixed", sizes.len()),
    }
}

/// How many bytes they are together.
pub fn sum(sizes: &[MessageSize]) -> u32 {
    sizes.iter().map(|size| size.bytes).sum()
}

/// What has travelled since the last [`MessageSizes::take`].
#[derive(Debug, Default)]
pub struct Travelled {
    /// What the client sent.
    pub requests: Vec<MessageSize>,
    /// What the server sent.
    pub replies: Vec<MessageSize>,
}

/// Notes the size of each message on a channel. Clones note in the same place.
#[derive(Clone, Debug, Default)]
pub struct MessageSizes(Arc<Mutex<Travelled>>);

impl MessageSizes {
    /// `channel`, with the size of each message noted here.
    pub fn measure<S>(&self, channel: S) -> Measured<S> {
        let sizes = self.clone();
        Measured {
            inner: channel,
            sizes,
        }
    }

    /// What has travelled since this was last called.
    pub fn take(&self) -> Travelled {
        mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Travelled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `body`, with each of its messages noted by `note` when its prefix passes.
    fn watch(
        &self,
        headers: &HeaderMap,
        body: Body,
        note: fn(&mut Travelled, MessageSize),
    ) -> Body {
        let named = headers.get("grpc-encoding");
        let named = named.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
        let sizes = self.clone();
        inspect_messages(body, move |MessagePrefix { compressed, length }| {
            let encoding = named.clone().filter(|_| compressed);
            let bytes = length;
            note(&mut sizes.lock(), MessageSize { bytes, encoding });
        })
    }
}

/// A channel with [`MessageSizes`] on it.
#[derive(Clone, Debug)]
pub struct Measured<S> {
    inner: S,
    sizes: MessageSizes,
}

impl<S> Service<Request<Body>> for Measured<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Response<Body>, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let sizes = self.sizes.clone();
        let (head, body) = request.into_parts();
        let body = sizes.watch(&head.headers, body, |travelled, size| {
            travelled.requests.push(size);
        });
        let response = self.inner.call(Request::from_parts(head, body));
        Box::pin(async move {
            let (head, body) = response.await?.into_parts();
            let body = sizes.watch(&head.headers, body, |travelled, size| {
                travelled.replies.push(size);
            });
            Ok(Response::from_parts(head, body))
        })
    }
}
