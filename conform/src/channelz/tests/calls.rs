//! How calls are counted, on a server and on a channel alike.

use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tonic::transport::Endpoint;
use tower::{Layer, ServiceExt};

use super::*;
use crate::testing::{Frames, channel, passes_on_readiness, post, serve, unary};

/// Started, succeeded, failed.
fn counts(channelz: &Channelz) -> [i64; 3] {
    let data = channelz.registry.servers.all()[0].to_pb().data.unwrap();
    [data.calls_started, data.calls_succeeded, data.calls_failed]
}

/// Calls a server that answers with `response`, and reads the response's body to its end.
async fn answered(response: impl Fn() -> Response<Body> + Clone) -> [i64; 3] {
    let channelz = Channelz::new();
    let server = channelz.server("server");
    let service = channel(move |_| Ok::<_, StdError>(response()));
    let service = server.layer().layer(service);
    let response = service.oneshot(Default::default()).await.unwrap();
    assert_eq!(counts(&channelz)[0], 1);
    let _ = http_body_util::BodyExt::collect(response.into_body()).await;
    counts(&channelz)
}

fn trailers(code: &'static str) -> http_body::Frame<Bytes> {
    let value = HeaderValue::from_static(code);
    http_body::Frame::trailers(HeaderMap::from_iter([(tonic::Status::GRPC_STATUS, value)]))
}

fn body(frames: impl IntoIterator<Item = Result<http_body::Frame<Bytes>, tonic::Status>>) -> Body {
    Body::new(Frames::new(frames))
}

#[tokio::test]
async fn a_call_succeeds_with_ok_and_fails_with_anything_else() {
    let ok = || Response::new(body([Ok(trailers("0"))]));
    assert_eq!(answered(ok).await, [1, 1, 0]);
    let error = || Response::new(body([Ok(trailers("5"))]));
    assert_eq!(answered(error).await, [1, 0, 1]);
    let without_messages = || tonic::Status::not_found("no").into_http();
    assert_eq!(answered(without_messages).await, [1, 0, 1]);
    let ok_without_messages = || tonic::Status::ok("").into_http();
    assert_eq!(answered(ok_without_messages).await, [1, 1, 0]);
    let broken = || Response::new(body([Err(tonic::Status::unavailable("cut"))]));
    assert_eq!(answered(broken).await, [1, 0, 1]);
    let no_status = || Response::new(body([]));
    assert_eq!(answered(no_status).await, [1, 0, 1]);
}

#[tokio::test]
async fn a_call_is_open_until_its_status_has_come() {
    let channelz = Channelz::new();
    let layer = channelz.server("server").layer();
    let service = layer.layer(channel(|_| {
        let data = http_body::Frame::data(Bytes::from_static(b"data"));
        Ok::<_, StdError>(Response::new(body([Ok(data), Ok(trailers("0"))])))
    }));
    let mut body = service
        .oneshot(Default::default())
        .await
        .unwrap()
        .into_body();
    assert_eq!(counts(&channelz), [1, 0, 0]);
    http_body_util::BodyExt::frame(&mut body).await;
    assert_eq!(counts(&channelz), [1, 0, 0]);
    http_body_util::BodyExt::frame(&mut body).await;
    assert_eq!(counts(&channelz), [1, 1, 0]);
}

#[tokio::test]
async fn a_call_that_is_given_up_has_failed() {
    let channelz = Channelz::new();
    let layer = channelz.server("server").layer();
    let mut pending = layer.layer(tower::service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, StdError>>()
    }));
    let call = pending.call(Default::default());
    assert_eq!(counts(&channelz), [1, 0, 0]);
    drop(call);
    assert_eq!(counts(&channelz), [1, 0, 1], "before it had a response");
    let mut never_ends = layer.layer(channel(|_| {
        let body = Body::new(http_body_util::StreamBody::new(futures::stream::pending::<
            Result<http_body::Frame<Bytes>, tonic::Status>,
        >()));
        Ok::<_, StdError>(Response::new(body))
    }));
    let response = never_ends.call(Default::default()).await.unwrap();
    assert_eq!(counts(&channelz), [2, 0, 1]);
    drop(response);
    assert_eq!(counts(&channelz), [2, 0, 2], "in the middle of it");
    let mut fails = layer.layer(channel(|_| Err::<Response<Body>, _>("no connection")));
    fails.call(Default::default()).await.unwrap_err();
    assert_eq!(counts(&channelz), [3, 0, 3], "without a response");
}

type Request<B> = tonic::codegen::http::Request<B>;

#[tokio::test]
async fn the_time_of_the_last_call_is_told() {
    let channelz = Channelz::new();
    let layer = channelz.server("server").layer();
    let last = || {
        let data = channelz.registry.servers.all()[0].to_pb().data.unwrap();
        data.last_call_started_timestamp
    };
    assert_eq!(last(), None);
    let mut service = layer.layer(channel(|_| Ok::<_, StdError>(Response::new(Body::empty()))));
    drop(service.call(Default::default()));
    let first = last().unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    assert!((now - 60..=now).contains(&first.seconds));
    until(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64 > now).await;
    drop(service.call(Default::default()));
    assert!(last().unwrap().seconds > first.seconds);
}

#[test]
fn readiness_is_passed_on() {
    passes_on_readiness(Channelz::new().server("server").layer());
}

#[tokio::test]
async fn an_error_without_a_message_stays_one_block_of_headers() {
    let channelz = Channelz::new();
    let server = channelz.server("server");
    let refuses = unary(|_| async { Err(tonic::Status::not_found("no")) });
    let served = serve(server.layer(), refuses).await;
    let reply = post(served.address, crate::testing::framed(b""))
        .await
        .unwrap();
    assert!(reply.headers.contains_key("grpc-status"));
    assert!(reply.ended_with_headers);
    let data = channelz.registry.servers.all()[0].to_pb().data.unwrap();
    assert_eq!((data.calls_started, data.calls_failed), (1, 1));
}

#[tokio::test]
async fn a_channel_and_its_subchannel_count_for_themselves() {
    let greets = unary(|request: tonic::Request<Bytes>| async move {
        match &request.into_inner()[..] {
            b"wrong" => Err(tonic::Status::invalid_argument("wrong")),
            _ => Ok(tonic::Response::new(Bytes::new())),
        }
    });
    let served = serve(tower::layer::util::Identity::new(), greets).await;
    let channelz = Channelz::new();
    let top = channelz.channel("top");
    let [left, right] = ["left", "right"].map(|name| top.subchannel(name));
    let endpoint: Endpoint = served.endpoint();
    let connect = |below: &SubchannelEntry| {
        let layers = tower::ServiceBuilder::new()
            .layer(top.layer())
            .layer(below.layer());
        layers.service(endpoint.connect_lazy())
    };
    let (left_channel, right_channel) = (connect(&left), connect(&right));
    for message in ["right", "right", "wrong"] {
        let _ = crate::testing::call(left_channel.clone(), message).await;
    }
    let _ = crate::testing::call(right_channel.clone(), "wrong").await;

    let counts = |data: Option<pb::ChannelData>| {
        let data = data.unwrap();
        assert!(data.last_call_started_timestamp.is_some());
        [data.calls_started, data.calls_succeeded, data.calls_failed]
    };
    let channels = channelz.registry.channels.all();
    assert_eq!(counts(channels[0].to_pb().data), [4, 2, 2]);
    let subchannels = channelz.registry.subchannels.all();
    assert_eq!(counts(subchannels[0].to_pb().data), [3, 2, 1]);
    assert_eq!(counts(subchannels[1].to_pb().data), [1, 0, 1]);
}
