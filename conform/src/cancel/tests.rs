//! What cancelling promises, and what tonic alone makes of it.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::time::Duration;

use futures::{StreamExt, stream};
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use h2::Reason;
use h2::client::SendRequest;
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderMap, Version};
use tonic::codegen::{BoxStream, Bytes, Service};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Response, Streaming};
use tower::{Layer, ServiceExt, service_fn};

use super::*;

mod on_drop;
mod token;
mod upload;

/// Logs how each upload ends, and leaves a task behind for each unary call.
struct Counting(UnboundedSender<String>);

/// Logs that it was dropped, unless a line was taken out of it.
struct OnDrop(UnboundedSender<String>, Option<&'static str>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(line) = self.1 {
            let _ = self.0.send(line.into());
        }
    }
}

#[tonic::async_trait]
impl Greeter for Counting {
    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        let _ = self.0.send("called".into());
        let token = super::token(&request);
        let log = self.0.clone();
        tokio::spawn(async move {
            let _alive = OnDrop(log.clone(), Some("the task is gone"));
            match token {
                None => pending().await,
                Some(token) => token.cancelled().await,
            }
            let _ = log.send("the task has stopped".into());
        });
        let _dropped = OnDrop(self.0.clone(), Some("the handler is gone"));
        pending().await
    }

    async fn greet_all(
        &self,
        request: Request<Streaming<Name>>,
    ) -> Result<Response<Greeting>, Status> {
        let mut dropped = OnDrop(self.0.clone(), Some("dropped"));
        let mut names = request.into_inner();
        let end = loop {
            match names.message().await {
                Ok(Some(_)) => {}
                Ok(None) => break "finished".to_owned(),
                Err(status) => break format!("{:?}", status.code()),
            }
        };
        dropped.1 = None;
        let _ = self.0.send(end);
        Ok(Response::new(Greeting::default()))
    }

    async fn greet_often(
        &self,
        request: Request<Name>,
    ) -> Result<Response<BoxStream<Greeting>>, Status> {
        let token = super::token(&request).unwrap();
        let log = self.0.clone();
        tokio::spawn(async move {
            token.cancelled().await;
            let _ = log.send("the task has stopped".into());
        });
        let greetings = stream::iter([Ok(Greeting::default())]);
        let count = request.into_inner().name;
        Ok(Response::new(if count == "one" {
            Box::pin(greetings)
        } else {
            Box::pin(greetings.chain(stream::pending()))
        }))
    }

    async fn greet_each(
        &self,
        request: Request<Streaming<Name>>,
    ) -> Result<Response<BoxStream<Greeting>>, Status> {
        let gone = OnDrop(self.0.clone(), Some("each is gone"));
        let greetings = request.into_inner().map(move |name| {
            let _gone = &gone;
            name.map(|_| Greeting::default())
        });
        Ok(Response::new(Box::pin(greetings)))
    }
}

async fn listen() -> (TcpIncoming, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener.into(), address)
}

/// Serves with the two layers; returns the address and the log.
async fn start() -> (String, UnboundedReceiver<String>) {
    let (log, lines) = mpsc::unbounded_channel();
    let (incoming, address) = listen().await;
    let server = Server::builder()
        .layer(CancellationLayer::new())
        .layer(DetectAbortedUploadLayer::new())
        .add_service(GreeterServer::new(Counting(log)));
    tokio::spawn(server.serve_with_incoming(incoming));
    (address, lines)
}

/// As [`start`], with tonic alone.
async fn start_alone() -> (String, UnboundedReceiver<String>) {
    let (log, lines) = mpsc::unbounded_channel();
    let (incoming, address) = listen().await;
    let server = Server::builder().add_service(GreeterServer::new(Counting(log)));
    tokio::spawn(server.serve_with_incoming(incoming));
    (address, lines)
}

/// The time is a guard against waiting for ever, not a measure.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.unwrap()
}

async fn line(lines: &mut UnboundedReceiver<String>) -> String {
    soon(lines.recv()).await.unwrap()
}

#[tokio::test]
async fn a_token_that_comes_first_ends_a_call_with_cancelled() {
    let (log, mut lines) = mpsc::unbounded_channel();
    let token = CancellationToken::new();
    let call = async move {
        let _dropped = OnDrop(log, Some("dropped"));
        pending::<Result<(), Status>>().await
    };
    let cancel = async {
        tokio::task::yield_now().await;
        token.cancel();
    };
    let (result, ()) = tokio::join!(unless_cancelled(&token, call), cancel);
    assert_eq!(result.unwrap_err().code(), Code::Cancelled);
    assert_eq!(lines.try_recv().unwrap(), "dropped");
    let after = unless_cancelled::<()>(&token, async { panic!("begun after the token") });
    assert_eq!(after.await.unwrap_err().code(), Code::Cancelled);
}

#[tokio::test]
async fn a_call_that_comes_first_ends_as_it_does() {
    let token = CancellationToken::new();
    assert_eq!(unless_cancelled(&token, async { Ok(7) }).await.unwrap(), 7);
    let failed = async { Err::<(), _>(Status::not_found("")) };
    let status = unless_cancelled(&token, failed).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(!token.is_cancelled());
}

#[tokio::test]
async fn readiness_is_that_of_the_service_below() {
    #[derive(Clone)]
    struct Broken;

    impl Service<http::Request<Body>> for Broken {
        type Response = http::Response<Body>;
        type Error = &'static str;
        type Future = std::future::Ready<Result<http::Response<Body>, &'static str>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), &'static str>> {
            std::task::Poll::Ready(Err("broken"))
        }

        fn call(&mut self, _: http::Request<Body>) -> Self::Future {
            ready(Err("called"))
        }
    }

    let mut uploads = DetectAbortedUploadLayer::new().layer(Broken);
    assert_eq!(uploads.ready().await.err(), Some("broken"));
    let mut tokens = CancellationLayer::new().layer(Broken);
    assert_eq!(tokens.ready().await.err(), Some("broken"));
    let mut calls = CancelOnDropLayer::new().layer(Broken);
    assert_eq!(calls.ready().await.err(), Some("broken"));
}

/// Two frames in a body of another type than tonic's, with an error of another type than `Status`.
fn foreign() -> http::Response<impl HttpBody<Data = Bytes, Error = std::io::Error> + Send> {
    let trailers = Frame::trailers(HeaderMap::new());
    let frames = [Ok::<_, Status>(Frame::data(Bytes::from("a"))), Ok(trailers)];
    let body = StreamBody::new(stream::iter(frames));
    http::Response::new(body.map_err(std::io::Error::other))
}

#[tokio::test]
async fn the_service_below_may_have_a_body_of_its_own() {
    let (sender, mut tokens) = mpsc::unbounded_channel();
    let service = service_fn(move |request: http::Request<Body>| {
        let _ = sender.send(super::token(&Request::from_http(request)));
        ready(Ok::<_, Infallible>(foreign()))
    });
    // Both layers, one around the other.
    let tokens_layer = CancellationLayer::new();
    let mut layered = tokens_layer.layer(CancelOnDropLayer::new().layer(service));
    let response = layered.call(http::Request::default()).await.unwrap();
    let token = tokens.recv().await.unwrap().unwrap();
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(!token.is_cancelled());
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert!(token.is_cancelled());
}

#[tokio::test]
async fn a_body_of_another_type_that_is_at_its_end_stays_so() {
    let empty = || Full::new(Bytes::new()).map_frame(|frame| frame);
    let service = service_fn(move |_: http::Request<Body>| {
        ready(Ok::<_, Infallible>(http::Response::new(empty())))
    });
    let mut tokens = CancellationLayer::new().layer(service);
    let response = tokens.call(http::Request::default()).await.unwrap();
    assert!(response.body().is_end_stream());
    let mut calls = CancelOnDropLayer::new().layer(service);
    let response = calls.call(http::Request::default()).await.unwrap();
    assert!(response.body().is_end_stream());
}
