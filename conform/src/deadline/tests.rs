//! What a deadline promises, with time that stands still, and what tonic alone makes of one.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::task::{Context, Poll};

use futures::{StreamExt, stream};
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{advance, sleep, timeout};
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderMap, Uri};
use tonic::codegen::{BoxFuture, BoxStream, Bytes, Service, StdError};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Response, Streaming};
use tower::{Layer, ServiceExt, service_fn};

use super::*;

mod client;
mod header;
mod loopback;
mod server;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn within<T>(timeout: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

fn name(name: &str) -> Name {
    Name { name: name.into() }
}

/// Sleeps as long as the name says, in milliseconds, and logs what becomes of each call.
#[derive(Clone)]
struct Sleepy(UnboundedSender<String>);

fn sleepy() -> (Sleepy, UnboundedReceiver<String>) {
    let (log, lines) = mpsc::unbounded_channel();
    (Sleepy(log), lines)
}

/// Says that it was dropped before it was disarmed.
struct Stopped(Option<UnboundedSender<String>>);

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Some(log) = self.0.take() {
            let _ = log.send("stopped".into());
        }
    }
}

impl Sleepy {
    fn begin<T>(&self, request: &Request<T>) -> Stopped {
        let left = Deadline::of(request).map(|deadline| deadline.remaining().as_millis());
        let header = request.metadata().get("grpc-timeout");
        let _ = self.0.send(format!("began: {left:?} {header:?}"));
        Stopped(Some(self.0.clone()))
    }
}

#[tonic::async_trait]
impl Greeter for Sleepy {
    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        let mut stopped = self.begin(&request);
        let time = request.into_inner().name.parse().unwrap();
        sleep(millis(time)).await;
        stopped.0 = None;
        Ok(Response::new(Greeting::default()))
    }

    /// A greeting at once, then one after each pause.
    async fn greet_often(
        &self,
        request: Request<Name>,
    ) -> Result<Response<BoxStream<Greeting>>, Status> {
        let stopped = self.begin(&request);
        let pause = millis(request.into_inner().name.parse().unwrap());
        let greetings = stream::unfold((stopped, 0), move |(stopped, number)| async move {
            if number > 0 {
                sleep(pause).await;
            }
            Some((Ok(Greeting::default()), (stopped, number + 1)))
        });
        Ok(Response::new(Box::pin(greetings)))
    }

    async fn greet_all(
        &self,
        request: Request<Streaming<Name>>,
    ) -> Result<Response<Greeting>, Status> {
        let mut stopped = self.begin(&request);
        let mut names = request.into_inner();
        while names.message().await?.is_some() {}
        stopped.0 = None;
        Ok(Response::new(Greeting::default()))
    }

    async fn greet_each(
        &self,
        request: Request<Streaming<Name>>,
    ) -> Result<Response<BoxStream<Greeting>>, Status> {
        let stopped = self.begin(&request);
        let greetings = request.into_inner().map(move |name| {
            let _stopped = &stopped;
            name.map(|_| Greeting::default())
        });
        Ok(Response::new(Box::pin(greetings)))
    }
}

/// Everything that a stream brings, and how it ends.
async fn read(mut replies: Streaming<Greeting>) -> (usize, Result<(), Status>) {
    let mut count = 0;
    loop {
        match replies.message().await {
            Ok(Some(_)) => count += 1,
            Ok(None) => return (count, Ok(())),
            Err(status) => return (count, Err(status)),
        }
    }
}

/// Timers fire on the next whole millisecond.
fn assert_about(begin: Instant, expected: Duration) {
    let elapsed = begin.elapsed();
    assert!(
        elapsed >= expected && elapsed <= expected + millis(2),
        "{elapsed:?}, not {expected:?}"
    );
}

/// A body with these frames, and no end if there is none among them.
fn body(frames: Vec<Result<Frame<Bytes>, Status>>) -> Body {
    Body::new(StreamBody::new(
        stream::iter(frames).chain(stream::pending()),
    ))
}

fn trailers(code: Code) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    Status::new(code, "").add_header(&mut trailers).unwrap();
    trailers
}

#[tokio::test(start_paused = true)]
async fn a_deadline_counts_down_to_zero() {
    let deadline = Deadline::after(millis(20)).unwrap();
    assert_eq!(deadline.remaining(), millis(20));
    assert!(!deadline.has_passed() && !deadline.is_due());
    advance(millis(18)).await;
    assert_eq!(deadline.remaining(), millis(2));
    assert!(!deadline.is_due());
    advance(millis(1)).await;
    assert!(!deadline.has_passed() && deadline.is_due());
    advance(millis(5)).await;
    assert!(deadline.has_passed() && deadline.is_due());
    assert_eq!(deadline.remaining(), Duration::ZERO);
    assert_eq!(Deadline::after(Duration::MAX), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_passed_on() {
    let deadline = Deadline::after(millis(500)).unwrap();
    advance(millis(100)).await;
    let mut request = within(YEAR, ());
    deadline.pass_on(&mut request);
    assert_eq!(request.metadata().get("grpc-timeout").unwrap(), "400000u");
    advance(millis(400)).await;
    deadline.pass_on(&mut request);
    assert_eq!(request.metadata().get("grpc-timeout").unwrap(), "0n");
}

#[tokio::test(start_paused = true)]
async fn a_smaller_timeout_stays_as_it_is() {
    let deadline = Deadline::after(millis(500)).unwrap();
    for (own, expected) in [("50m", "50m"), ("501m", "500000u"), ("soon", "500000u")] {
        let mut request = Request::new(());
        request
            .metadata_mut()
            .insert("grpc-timeout", own.parse().unwrap());
        deadline.pass_on(&mut request);
        let passed_on = request.metadata().get("grpc-timeout").unwrap();
        assert_eq!(passed_on, expected, "{own}");
    }
}

#[tokio::test]
async fn passing_on_a_deadline_twenty_thousand_years_ahead_does_no_harm() {
    let deadline = Deadline::after(20_000 * YEAR).unwrap();
    let mut request = Request::new(());
    deadline.pass_on(&mut request);
    assert_eq!(request.metadata().get("grpc-timeout").unwrap(), "99999999H");
}
