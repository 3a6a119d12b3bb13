//! Weighs each message of a call as it travels: its five bytes of prefix say how long it is, and if compressed.

use std::fmt::{self, Display, Formatter};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{BoxFuture, Context, Poll, Service};

/// One message, as it travelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Its length in bytes, after compression and without the prefix.
    pub bytes: usize,
    /// The encoding, if the message was compressed.
    ///
    /// The header `grpc-encoding` names it once for a whole call. The prefix of each message says whether that
    /// message makes use of it: PROTOCOL-HTTP2, *Compressed-Flag*.
    pub encoding: Option<String>,
}

impl Display for Weight {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let encoding = self.encoding.as_deref().unwrap_or("plain");
        write!(f, "{} bytes, {encoding}", self.bytes)
    }
}

/// What was weighed since the last reading.
#[derive(Debug, Default)]
pub struct Reading {
    /// What the client sent.
    pub requests: Vec<Weight>,
    /// What the server sent.
    pub replies: Vec<Weight>,
}

/// The messages of one call in one direction, however many they were.
pub fn total(weights: &[Weight]) -> String {
    match weights {
        [] => "nothing".to_owned(),
        [weight] => weight.to_string(),
        [first, ..] => {
            let bytes = sum(weights);
            let encoding = first.encoding.clone();
            let all = Weight { bytes, encoding };
            format!("{} messages, {all}", weights.len())
        }
    }
}

/// How many bytes they are together.
pub fn sum(weights: &[Weight]) -> usize {
    weights.iter().map(|weight| weight.bytes).sum()
}

/// A scale. Clones are the same scale.
#[derive(Clone, Debug, Default)]
pub struct Scale(Arc<Mutex<Reading>>);

impl Scale {
    /// A channel whose messages are weighed, for a stub.
    pub fn under<S>(&self, channel: S) -> Weighing<S> {
        Weighing {
            channel,
            scale: self.clone(),
        }
    }

    /// Reads the scale, and sets it to nothing.
    pub fn read(&self) -> Reading {
        mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `body`, with each of its messages noted by `note` when its prefix passes.
    fn weigh(&self, headers: &HeaderMap, body: Body, note: fn(&mut Reading, Weight)) -> Body {
        let named = headers.get("grpc-encoding");
        let named = named.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
        let scale = self.clone();
        let mut prefixes = Prefixes::default();
        Body::new(body.map_frame(move |frame| {
            for (compressed, bytes) in frame
                .data_ref()
                .map(|data| prefixes.read(data))
                .unwrap_or_default()
            {
                let encoding = named.clone().filter(|_| compressed);
                note(&mut scale.lock(), Weight { bytes, encoding });
            }
            frame
        }))
    }
}

/// A channel with a [`Scale`] under it.
#[derive(Clone, Debug)]
pub struct Weighing<S> {
    channel: S,
    scale: Scale,
}

impl<S> Service<Request<Body>> for Weighing<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Response<Body>, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let scale = self.scale.clone();
        let (head, body) = request.into_parts();
        let body = scale.weigh(&head.headers, body, |reading, weight| {
            reading.requests.push(weight);
        });
        let answer = self.channel.call(Request::from_parts(head, body));
        Box::pin(async move {
            let (head, body) = answer.await?.into_parts();
            let body = scale.weigh(&head.headers, body, |reading, weight| {
                reading.replies.push(weight);
            });
            Ok(Response::from_parts(head, body))
        })
    }
}

/// Finds the prefixes in a body, however it is cut into frames.
#[derive(Default)]
struct Prefixes {
    /// The bytes of a prefix that have come so far.
    prefix: Vec<u8>,
    /// How many bytes of the message are still to come.
    rest: usize,
}

impl Prefixes {
    /// For each prefix that is complete with `data`: whether its message is compressed, and how long it is.
    fn read(&mut self, mut data: &[u8]) -> Vec<(bool, usize)> {
        let mut found = Vec::new();
        while !data.is_empty() {
            let skipped = self.rest.min(data.len());
            self.rest -= skipped;
            let wanted = data.len().min(skipped + 5 - self.prefix.len());
            self.prefix.extend_from_slice(&data[skipped..wanted]);
            data = &data[wanted..];
            if let Ok([flag, length @ ..]) = <[u8; 5]>::try_from(self.prefix.as_slice()) {
                self.rest = u32::from_be_bytes(length) as usize;
                self.prefix.clear();
                found.push((flag == 1, self.rest));
            }
        }
        found
    }
}
