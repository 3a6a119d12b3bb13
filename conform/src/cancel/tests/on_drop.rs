//! Calls that nobody listens to any more.

use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

use super::*;

/// A bidirectional call whose upload stays open; its replies are dropped after the first.
async fn call_and_drop<S>(channel: S) -> impl Sized
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Error: Into<tonic::codegen::StdError>,
{
    let (open, end) = oneshot::channel::<Name>();
    let end = stream::once(async { end.await.unwrap_or_default() });
    let names = stream::iter([Name::default()]).chain(end);
    let mut replies = GreeterClient::new(channel)
        .greet_each(names)
        .await
        .unwrap()
        .into_inner();
    assert!(soon(replies.message()).await.unwrap().is_some());
    open
}

async fn channel(address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

#[tokio::test]
async fn a_call_is_cancelled_when_its_replies_are_dropped() {
    let (address, mut lines) = start_alone().await;
    let channel = channel(&address).await;
    let layered = CancelOnDropLayer::new().layer(channel.clone());
    let _open = call_and_drop(layered).await;
    assert_eq!(line(&mut lines).await, "each is gone");
}

#[tokio::test]
async fn tonic_alone_goes_on_when_the_replies_are_dropped() {
    let (address, mut lines) = start_alone().await;
    let channel = channel(&address).await;
    let open = call_and_drop(channel.clone()).await;
    let gone = timeout(Duration::from_millis(300), lines.recv()).await;
    assert!(gone.is_err(), "{gone:?}");
    drop(open);
    assert_eq!(line(&mut lines).await, "each is gone");
}

#[tokio::test]
async fn an_upload_goes_on_until_the_call_is_over() {
    let (sender, mut requests) = mpsc::unbounded_channel();
    let service = service_fn(move |request: http::Request<Body>| {
        sender.send(request).unwrap();
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Status>>());
        ready(Ok::<_, Infallible>(http::Response::new(Body::new(body))))
    });
    let mut layered = CancelOnDropLayer::new().layer(service);
    let upload = Body::new(StreamBody::new(stream::pending::<
        Result<Frame<Bytes>, Status>,
    >()));
    let replies = layered.call(http::Request::new(upload)).await.unwrap();
    let mut upload = requests.recv().await.unwrap().into_body();
    let waits = timeout(Duration::from_millis(1), upload.frame()).await;
    assert!(waits.is_err());
    drop(replies);
    let status = soon(upload.frame()).await.unwrap().unwrap_err();
    let cause = std::error::Error::source(&status).unwrap();
    let reset: &h2::Error = cause.downcast_ref().unwrap();
    assert_eq!(reset.reason(), Some(Reason::CANCEL));
    assert!(upload.is_end_stream());
    assert!(upload.frame().await.is_none());
}
