//! A server that does with each attempt what a script says, in paused time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body::Frame;
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use tonic::codegen::{BoxFuture, Service, StdError};
use tonic::{Code, Status};

use crate::status::NotSent;
use crate::testing::{Frames, framed};

use super::super::NoRetry;

/// What becomes of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    /// Headers, a message, and OK.
    Ok,
    /// No headers, and OK.
    Empty,
    /// Headers, and then this.
    Late(Code),
    /// No headers, and this.
    Fail(Code),
    /// With these values of `grpc-retry-pushback-ms`.
    Push(Code, &'static [&'static str]),
    /// Neither headers nor a status.
    Nothing,
    /// The connection breaks.
    Cut,
    /// The connection is gone before the call is put on it.
    NeverLeft,
    Refused,
    /// The one who picks connections says drop.
    Dropped,
    Hang,
    After(Duration, Box<Act>),
}

/// What the server has seen of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// Since the server began.
    pub(crate) at: Duration,
    pub(crate) previous: Option<String>,
    pub(crate) timeout: Option<String>,
}

#[derive(Clone)]
pub(crate) struct Script(Arc<Inner>);

struct Inner {
    acts: Mutex<VecDeque<Act>>,
    seen: Mutex<Vec<Seen>>,
    /// How many attempts were dropped before they had an answer.
    dropped: Mutex<u32>,
    begun: Instant,
    refused: Arc<h2::Error>,
}

impl Script {
    /// Hangs when the script is at its end.
    pub(crate) fn new(acts: impl IntoIterator<Item = Act>, refused: &Arc<h2::Error>) -> Self {
        Self(Arc::new(Inner {
            acts: Mutex::new(acts.into_iter().collect()),
            seen: Mutex::default(),
            dropped: Mutex::default(),
            begun: Instant::now(),
            refused: refused.clone(),
        }))
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap().clone()
    }

    /// `grpc-previous-rpc-attempts` of each attempt.
    pub(crate) fn previous(&self) -> Vec<Option<String>> {
        self.seen().into_iter().map(|seen| seen.previous).collect()
    }

    /// The pauses between the attempts.
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        let seen = self.seen();
        let pairs = seen.windows(2);
        pairs.map(|pair| pair[1].at - pair[0].at).collect()
    }

    pub(crate) fn dropped(&self) -> u32 {
        *self.0.dropped.lock().unwrap()
    }
}

struct Unanswered(Option<Script>);

impl Unanswered {
    fn is_answered(&mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(script) = &self.0 {
            *script.0.dropped.lock().unwrap() += 1;
        }
    }
}

impl Service<Request<Body>> for Script {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Response<Body>, StdError>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), StdError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let header = |name| request.headers().get(name).map(text);
        self.0.seen.lock().unwrap().push(Seen {
            at: self.0.begun.elapsed(),
            previous: header("grpc-previous-rpc-attempts"),
            timeout: header("grpc-timeout"),
        });
        let act = self.0.acts.lock().unwrap().pop_front();
        let refused = self.0.refused.clone();
        let mut guard = Unanswered(Some(self.clone()));
        Box::pin(async move {
            let answer = answer(act.unwrap_or(Act::Hang), refused).await;
            guard.is_answered();
            drop(request);
            answer
        })
    }
}

/// Takes calls only when the script is so old.
#[derive(Clone)]
pub(crate) struct ReadyAt(pub(crate) Duration, pub(crate) Script);

impl Service<Request<Body>> for ReadyAt {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Response<Body>, StdError>;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), StdError>> {
        let left = self.0.saturating_sub(self.1.0.begun.elapsed());
        if left.is_zero() {
            return self.1.poll_ready(context);
        }
        let waker = context.waker().clone();
        tokio::spawn(async move {
            tokio::time::sleep(left).await;
            waker.wake();
        });
        std::task::Poll::Pending
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.1.call(request)
    }
}

fn text(value: &HeaderValue) -> String {
    value.to_str().unwrap().to_owned()
}

async fn answer(mut act: Act, refused: Arc<h2::Error>) -> Result<Response<Body>, StdError> {
    while let Act::After(time, then) = act {
        sleep(time).await;
        act = *then;
    }
    let failure = |code| Status::new(code, "as told").into_http::<Body>();
    match act {
        Act::Ok => Ok(replies(Code::Ok)),
        Act::Late(code) => Ok(replies(code)),
        Act::Empty => Ok(failure(Code::Ok)),
        Act::Fail(code) => Ok(failure(code)),
        Act::Push(code, values) => {
            let mut response = failure(code);
            for value in values {
                let value = value.parse().unwrap();
                response
                    .headers_mut()
                    .append("grpc-retry-pushback-ms", value);
            }
            Ok(response)
        }
        Act::Nothing => Ok(Response::default()),
        Act::Cut => Err(Status::unavailable("connection lost").into()),
        Act::NeverLeft => Err(caused(Arc::new(NotSent))),
        Act::Refused => Err(caused(Arc::new(Refusal(refused)))),
        Act::Dropped => Err(caused(Arc::new(NoRetry))),
        Act::Hang | Act::After(..) => std::future::pending().await,
    }
}

fn caused(cause: Arc<dyn std::error::Error + Send + Sync>) -> StdError {
    let mut status = Status::unavailable("as told");
    status.set_source(cause);
    status.into()
}

fn replies(code: Code) -> Response<Body> {
    let trailers = Status::new(code, "")
        .into_http::<()>()
        .into_parts()
        .0
        .headers;
    let frames = [Frame::data(framed(b"reply")), Frame::trailers(trailers)];
    Response::new(Body::new(Frames::new(frames.map(Ok))))
}

/// h2's errors can't be cloned.
#[derive(Debug)]
struct Refusal(Arc<h2::Error>);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// What h2 says of a stream that a server has refused.
pub(crate) async fn refused() -> Arc<h2::Error> {
    let (here, there) = tokio::io::duplex(4096);
    tokio::spawn(async move {
        let mut server = h2::server::handshake(there).await.unwrap();
        while let Some(Ok((_, mut respond))) = server.accept().await {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
    });
    let (client, connection) = h2::client::handshake(here).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://localhost/").body(()).unwrap();
    let mut client = client.ready().await.unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    Arc::new(response.await.unwrap_err())
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) headers: HeaderMap,
}

/// A request with one message.
pub(crate) fn request(timeout: Option<&str>) -> Request<Body> {
    let body = Frames::new([Ok(Frame::data(framed(b"request")))]);
    let mut request = Request::new(Body::new(body));
    if let Some(timeout) = timeout {
        request
            .headers_mut()
            .insert("grpc-timeout", timeout.parse().unwrap());
    }
    request
}

/// Makes a call, and reads it to its end.
pub(crate) async fn call<S>(mut service: S, request: Request<Body>) -> Ended
where
    S: Service<Request<Body>, Response = Response<Body>, Error = StdError>,
{
    std::future::poll_fn(|context| service.poll_ready(context))
        .await
        .unwrap();
    let response = match service.call(request).await {
        Ok(response) => response,
        Err(error) => return ended(Status::from_error(error), HeaderMap::new()),
    };
    let headers = response.headers().clone();
    if let Some(status) = Status::from_header_map(&headers) {
        return ended(status, headers);
    }
    let read: Result<_, Status> = response.into_body().collect().await;
    let status = match read {
        Err(status) => status,
        Ok(read) => {
            let trailers = read.trailers().cloned().unwrap_or_default();
            assert!(trailers.is_empty() || read.to_bytes() == framed(b"reply"));
            Status::from_header_map(&trailers).unwrap_or(Status::unknown("no status"))
        }
    };
    ended(status, headers)
}

fn ended(status: Status, headers: HeaderMap) -> Ended {
    Ended {
        code: status.code(),
        message: status.message().to_owned(),
        headers,
    }
}
