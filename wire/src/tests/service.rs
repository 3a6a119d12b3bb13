// A service of every kind of call, small enough to stand here without generated code. The examples
// in the documentation include this file too, so it holds neither inner documentation nor paths of
// this crate.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{Service, http};
use tonic::transport::{Channel, Server, server::TcpIncoming};
use tonic::{IntoRequest, IntoStreamingRequest, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
pub struct HelloRequest {
    #[prost(string, tag = "1")]
    pub name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct HelloReply {
    #[prost(string, tag = "1")]
    pub message: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Number {
    #[prost(uint64, tag = "1")]
    pub value: u64,
}

/// What came with a reply.
pub type Replied<T> = Result<Response<T>, Status>;

type Numbers = Pin<Box<dyn Stream<Item = Result<Number, Status>> + Send>>;

async fn say_hello(request: Request<HelloRequest>) -> Replied<HelloReply> {
    let name = request.into_inner().name;
    if name.is_empty() {
        return Err(Status::invalid_argument("nobody to greet"));
    }
    let message = format!("Hello, {name}!");
    Ok(Response::new(HelloReply { message }))
}

/// Counts from 1 up to a number. For 0 it counts without end, with a little time between.
async fn count(request: Request<Number>) -> Replied<Numbers> {
    let most = request.into_inner().value;
    let numbers = tokio_stream::iter(1_u64..).map(|value| Ok(Number { value }));
    Ok(Response::new(match most {
        0 => Box::pin(numbers.throttle(Duration::from_millis(20))),
        most => Box::pin(numbers.take(most as usize)),
    }))
}

async fn sum(request: Request<Streaming<Number>>) -> Replied<Number> {
    let mut numbers = request.into_inner();
    let mut value = 0;
    while let Some(number) = numbers.message().await? {
        value += number.value;
    }
    Ok(Response::new(Number { value }))
}

/// Never answers; the deadline ends it.
async fn wait(_: Request<Number>) -> Replied<Number> {
    std::future::pending().await
}

#[derive(Clone)]
struct Examples<const GREETER: bool>;

impl tonic::server::NamedService for Examples<true> {
    const NAME: &'static str = "helloworld.Greeter";
}

impl tonic::server::NamedService for Examples<false> {
    const NAME: &'static str = "wire.test.Numbers";
}

impl<const GREETER: bool> Service<http::Request<Body>> for Examples<GREETER> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default();
            Ok(match method {
                "SayHello" => {
                    let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                    grpc.unary(tower::service_fn(say_hello), request).await
                }
                "Count" => {
                    let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                    let count = tower::service_fn(count);
                    grpc.server_streaming(count, request).await
                }
                "Sum" => {
                    let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                    grpc.client_streaming(tower::service_fn(sum), request).await
                }
                "Wait" => {
                    let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                    grpc.unary(tower::service_fn(wait), request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// Serves `helloworld.Greeter` and `wire.test.Numbers`.
pub async fn serve(listener: TcpListener) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .add_service(Examples::<true>)
        .add_service(Examples::<false>)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await
}

/// Serves on a free port, and returns the address.
pub async fn start() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener));
    address
}

/// A client of both services.
#[derive(Clone)]
pub struct Client(tonic::client::Grpc<Channel>);

impl Client {
    pub fn new(channel: Channel) -> Self {
        Self(tonic::client::Grpc::new(channel))
    }

    pub async fn connect(url: String) -> Result<Self, tonic::transport::Error> {
        let channel = Channel::from_shared(url).unwrap().connect().await?;
        Ok(Self::new(channel))
    }

    async fn ready(&mut self) -> Result<(), Status> {
        let ready = self.0.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))
    }

    pub async fn say_hello(&mut self, r: impl IntoRequest<HelloRequest>) -> Replied<HelloReply> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/helloworld.Greeter/SayHello");
        self.0
            .unary(r.into_request(), path, ProstCodec::default())
            .await
    }

    pub async fn count(&mut self, r: impl IntoRequest<Number>) -> Replied<Streaming<Number>> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/wire.test.Numbers/Count");
        let codec = ProstCodec::default();
        self.0.server_streaming(r.into_request(), path, codec).await
    }

    pub async fn sum(&mut self, r: impl IntoStreamingRequest<Message = Number>) -> Replied<Number> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/wire.test.Numbers/Sum");
        let codec = ProstCodec::default();
        self.0
            .client_streaming(r.into_streaming_request(), path, codec)
            .await
    }

    pub async fn wait(&mut self, r: impl IntoRequest<Number>) -> Replied<Number> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/wire.test.Numbers/Wait");
        self.0
            .unary(r.into_request(), path, ProstCodec::default())
            .await
    }
}

/// A request for Ann.
pub fn ann() -> HelloRequest {
    HelloRequest {
        name: "Ann".to_owned(),
    }
}
