//! What tests share: a service of one method, ways to call it, and peers that speak plain HTTP/2.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use http_body::{Body as HttpBody, Frame};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{BoxFuture, Service, StdError};
use tonic::server::NamedService;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::Layer;

/// The path of the one method. On the wire all four kinds of call are the same.
pub(crate) const PATH: &str = "/test.Test/Call";

pub(crate) type Requests = tonic::Request<Streaming<Bytes>>;
pub(crate) type Replies = BoxStream<'static, Result<Bytes, Status>>;
type Answer = Result<tonic::Response<Replies>, Status>;

/// A method, in a form that has a name.
pub(crate) trait Handler:
    Fn(Requests) -> BoxFuture<tonic::Response<Replies>, Status> + Clone + Send + Sync + 'static
{
}

impl<F> Handler for F where
    F: Fn(Requests) -> BoxFuture<tonic::Response<Replies>, Status> + Clone + Send + Sync + 'static
{
}

/// A gRPC service whose one method is a function from requests to replies.
#[derive(Clone)]
pub(crate) struct Test<F>(pub(crate) F);

/// A service whose method has one request and one reply.
pub(crate) fn unary<F, R>(handler: F) -> Test<impl Handler>
where
    F: Fn(tonic::Request<Bytes>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<tonic::Response<Bytes>, Status>> + Send + 'static,
{
    Test(move |requests: Requests| -> BoxFuture<_, _> {
        let handler = handler.clone();
        Box::pin(async move {
            let (metadata, extensions, mut messages) = requests.into_parts();
            let message = messages.message().await?.unwrap_or_default();
            let request = tonic::Request::from_parts(metadata, extensions, message);
            let (metadata, reply, extensions) = handler(request).await?.into_parts();
            let replies = futures::stream::iter([Ok(reply)]).boxed();
            Ok(tonic::Response::from_parts(metadata, replies, extensions))
        })
    })
}

/// A service that answers each call with the same items.
pub(crate) fn replies(items: &'static [Result<&'static [u8], Code>]) -> Test<impl Handler> {
    Test(move |_: Requests| -> BoxFuture<_, _> {
        let items = items.iter().map(|item| match item {
            Ok(bytes) => Ok(Bytes::from_static(bytes)),
            Err(code) => Err(Status::new(*code, "as told")),
        });
        let replies = futures::stream::iter(items).boxed();
        Box::pin(async move { Ok(tonic::Response::new(replies)) })
    })
}

struct Method<F>(F);

impl<F, R> tonic::server::StreamingService<Bytes> for Method<F>
where
    F: FnMut(Requests) -> R,
    R: Future<Output = Answer>,
{
    type Response = Bytes;
    type ResponseStream = Replies;
    type Future = R;

    fn call(&mut self, request: Requests) -> R {
        (self.0)(request)
    }
}

impl<F, R> Service<Request<Body>> for Test<F>
where
    F: Fn(Requests) -> R + Clone + Send + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = Method(self.0.clone());
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Bytes, Bytes>::default());
            Ok(grpc.streaming(method, request).await)
        })
    }
}

impl<F> NamedService for Test<F> {
    const NAME: &'static str = "test.Test";
}

/// Serves `service` with `layer` on loopback, until what is returned is dropped.
pub(crate) async fn serve<L, S, F>(layer: L, service: Test<F>) -> Served
where
    L: Layer<tonic::service::Routes, Service = S> + Clone + Send + 'static,
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<StdError> + Send,
    Test<F>: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    <Test<F> as Service<Request<Body>>>::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .layer(layer)
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener));
    Served::new(address, server)
}

/// A server that ends when this is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    server: AbortHandle,
}

impl Served {
    pub(crate) fn new(
        address: SocketAddr,
        server: impl Future<Output: Send> + Send + 'static,
    ) -> Self {
        let server = tokio::spawn(server).abort_handle();
        Self { address, server }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        endpoint(self.address)
    }

    pub(crate) fn channel(&self) -> Channel {
        self.endpoint().connect_lazy()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(crate) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::from_shared(format!("http://{address}")).unwrap()
}

/// A peer that takes connections, and does with each what `on_connection` says.
pub(crate) async fn peer<R>(on_connection: impl Fn(TcpStream) -> R + Send + 'static) -> Served
where
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Served::new(address, async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(on_connection(stream));
        }
    })
}

/// A peer that answers each call with `answer`, over plain HTTP/2.
pub(crate) async fn h2_peer<R>(
    answer: impl Fn(Request<h2::RecvStream>, h2::server::SendResponse<Bytes>) -> R
    + Clone
    + Send
    + Sync
    + 'static,
) -> Served
where
    R: Future<Output = ()> + Send + 'static,
{
    peer(move |stream| {
        let answer = answer.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(answer(request, respond));
            }
        }
    })
    .await
}

/// Calls `service` with one message, and expects one reply.
pub(crate) async fn call<S, B>(
    service: S,
    message: impl Into<Bytes>,
) -> Result<tonic::Response<Bytes>, Status>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    soon(async {
        let mut grpc = ready(service).await?;
        let request = tonic::Request::new(message.into());
        let codec = ProstCodec::<Bytes, Bytes>::default();
        grpc.unary(request, PathAndQuery::from_static(PATH), codec)
            .await
    })
    .await
}

/// Calls `service` with a stream of messages, and returns when the response's headers have come.
pub(crate) async fn stream<S, B>(
    service: S,
    messages: impl Stream<Item = Bytes> + Send + 'static,
) -> Result<Streaming<Bytes>, Status>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    soon(async {
        let mut grpc = ready(service).await?;
        let codec = ProstCodec::<Bytes, Bytes>::default();
        let path = PathAndQuery::from_static(PATH);
        let response = grpc.streaming(tonic::Request::new(messages), path, codec);
        Ok(response.await?.into_inner())
    })
    .await
}

/// Calls `service` with one message, and reads the replies to their end: those that came, and
/// how it ended.
pub(crate) async fn read<S, B>(service: S) -> (Vec<Bytes>, Result<(), Status>)
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    // hyper sends no pings for a stream that has outlived the last handle of its channel.
    let _kept = service.clone();
    let mut seen = Vec::new();
    let request = futures::stream::iter([Bytes::from_static(b"request")]);
    let end = async {
        let mut replies = stream(service, request).await?;
        while let Some(reply) = soon(replies.try_next()).await? {
            seen.push(reply);
        }
        Ok(())
    };
    let end = end.await;
    (seen, end)
}

/// As a generated stub does it.
async fn ready<S, B>(service: S) -> Result<Grpc<S>, Status>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    let mut grpc = Grpc::new(service);
    grpc.ready()
        .await
        .map_err(|error| Status::unknown(format!("Service was not ready: {}", error.into())))?;
    Ok(grpc)
}

/// What came of a call over plain HTTP/2.
#[derive(Debug)]
pub(crate) struct RawReply {
    pub(crate) headers: HeaderMap,
    /// Whether the response ended with its headers: *Trailers-Only*, if they hold a status.
    pub(crate) ended_with_headers: bool,
    pub(crate) data: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

/// Posts `body` to a server on loopback, over plain HTTP/2.
pub(crate) async fn post(address: SocketAddr, body: Bytes) -> Result<RawReply, h2::Error> {
    soon(async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await?;
        tokio::spawn(connection);
        let request = Request::post(format!("http://{address}{PATH}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let (response, mut send) = client.ready().await?.send_request(request, false)?;
        send.send_data(body, true)?;
        let (head, mut body) = response.await?.into_parts();
        let ended_with_headers = body.is_end_stream();
        let mut data = Vec::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            data.extend_from_slice(&chunk);
        }
        let trailers = body.trailers().await?.unwrap_or_default();
        Ok(RawReply {
            headers: head.headers,
            ended_with_headers,
            data,
            trailers,
        })
    })
    .await
}

/// A message with its prefix, as PROTOCOL-HTTP2 frames it. What the codec of these tests makes
/// of `payload`.
pub(crate) fn framed(payload: &[u8]) -> Bytes {
    let message = prost::Message::encode_to_vec(&payload.to_vec());
    let mut framed = vec![0];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend(message);
    framed.into()
}

/// A body made of these frames, which claims its end when nothing is left, as hyper's does.
pub(crate) struct Frames(pub(crate) Vec<Result<Frame<Bytes>, Status>>);

impl Frames {
    pub(crate) fn new(frames: impl IntoIterator<Item = Result<Frame<Bytes>, Status>>) -> Self {
        let mut frames: Vec<_> = frames.into_iter().collect();
        frames.reverse();
        Self(frames)
    }
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.pop())
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// A channel that answers each call with what `respond` makes.
pub(crate) fn channel<E>(
    respond: impl Fn(Request<Body>) -> Result<Response<Body>, E> + Clone,
) -> impl Service<
    Request<Body>,
    Response = Response<Body>,
    Error = E,
    Future = std::future::Ready<Result<Response<Body>, E>>,
> + Clone {
    tower::service_fn(move |request| std::future::ready(respond(request)))
}

/// Checks that `layer` asks the service below it whether that is ready, and passes on the answer.
pub(crate) fn passes_on_readiness<L>(layer: L)
where
    L: Layer<Readiness, Service: Service<Request<Body>, Error = &'static str>>,
{
    let cx = &mut Context::from_waker(std::task::Waker::noop());
    for readiness in [
        Poll::Ready(Ok(())),
        Poll::Ready(Err("never")),
        Poll::Pending,
    ] {
        let mut service = layer.layer(Readiness(readiness));
        assert_eq!(service.poll_ready(cx), readiness);
    }
}

/// A service that is as ready as it's told to be.
#[derive(Clone)]
pub(crate) struct Readiness(pub(crate) Poll<Result<(), &'static str>>);

impl Service<Request<Body>> for Readiness {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = std::future::Pending<Result<Response<Body>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.0
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        std::future::pending()
    }
}

/// A connection that writes down what it is asked to do. Takes no more than five bytes at once.
#[derive(Clone)]
pub(crate) struct Recorder {
    asked: Arc<Mutex<Vec<&'static str>>>,
    is_vectored: bool,
}

impl Recorder {
    /// All that it can be asked.
    pub(crate) const ALL: [&str; 5] = ["read", "write", "write vectored", "flush", "shutdown"];

    pub(crate) fn new(is_vectored: bool) -> Self {
        let asked = Arc::default();
        Self { asked, is_vectored }
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<&'static str> {
        self.asked.lock().unwrap().clone()
    }

    fn note(&self, what: &'static str) {
        self.asked.lock().unwrap().push(what);
    }
}

impl AsyncRead for Recorder {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.note("read");
        buffer.put_slice(&b"what there is to read"[..buffer.remaining().min(21)]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.note("write");
        Poll::Ready(Ok(bytes.len().min(5)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.note("write vectored");
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        Poll::Ready(Ok(length.min(5)))
    }

    fn is_write_vectored(&self) -> bool {
        self.is_vectored
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.note("flush");
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.note("shutdown");
        Poll::Ready(Ok(()))
    }
}

impl Connected for Recorder {
    type ConnectInfo = &'static str;

    fn connect_info(&self) -> &'static str {
        "who it is"
    }
}

/// Checks that a connection around another one passes on whatever it's asked, and the answers.
pub(crate) async fn passes_on_io<IO>(wrap: impl Fn(Recorder) -> IO)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    for is_vectored in [false, true] {
        let recorder = Recorder::new(is_vectored);
        let mut io = wrap(recorder.clone());
        assert_eq!(io.is_write_vectored(), is_vectored);
        let mut memory = [0; 30];
        let mut buffer = ReadBuf::new(&mut memory);
        buffer.put_slice(b"before: ");
        let read = poll_fn(|cx| Pin::new(&mut io).poll_read(cx, &mut buffer));
        read.await.unwrap();
        assert_eq!(buffer.filled(), b"before: what there is to read");
        assert_eq!(io.write(b"seven b").await.unwrap(), 5);
        let slices = [IoSlice::new(b"a"), IoSlice::new(b"bcdefghi")];
        assert_eq!(io.write_vectored(&slices).await.unwrap(), 5);
        io.flush().await.unwrap();
        io.shutdown().await.unwrap();
        assert_eq!(recorder.asked(), Recorder::ALL);
    }
}

/// What `future` gives, which must be within twenty seconds.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("something that was awaited didn't come")
}
