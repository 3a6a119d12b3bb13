//! What a call has after the layer.

use std::sync::Mutex;

use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tower::{Layer, service_fn};

use super::*;
use crate::deadline::ClientDeadlineLayer;
use crate::hedging::HedgingPolicy;
use crate::message_limit::{CallLimits, ClientMessageLimitLayer};
use crate::retry::{RetryPolicy, Throttle};
use crate::testing::{call, endpoint, passes_on_readiness, serve, unary};
use crate::wait_for_ready::WaitForReady;

/// What arrives below the layer.
fn through(config: &ServiceConfig, request: Request<Body>) -> Request<Body> {
    let arrived = Arc::new(Mutex::new(None));
    let below = service_fn(|request: Request<Body>| {
        *arrived.lock().unwrap() = Some(request);
        std::future::ready(Ok::<_, ()>(Response::new(Body::default())))
    });
    let mut channel = ServiceConfigLayer::new(config.clone()).layer(below);
    drop(channel.call(request));
    drop(channel);
    Arc::into_inner(arrived)
        .unwrap()
        .into_inner()
        .unwrap()
        .unwrap()
}

fn request(path: &str) -> Request<Body> {
    let mut request = Request::new(Body::default());
    *request.uri_mut() = format!("http://localhost{path}").parse().unwrap();
    request
}

fn timed(timeout: &str) -> Request<Body> {
    let mut request = request("/a/b");
    let timeout = HeaderValue::from_str(timeout).unwrap();
    request.headers_mut().insert("grpc-timeout", timeout);
    request
}

#[test]
fn a_call_gets_what_its_method_has() {
    let config = valid(full());
    let got = through(&config, request("/a/b"));
    assert_eq!(got.headers()["grpc-timeout"], "1500000u");
    let extensions = got.extensions();
    assert_eq!(extensions.get(), Some(&WaitForReady(true)));
    let limits: &CallLimits = extensions.get().unwrap();
    assert_eq!((limits.outgoing, limits.incoming), (Some(1024), Some(2048)));
    assert!(extensions.get::<Throttle>().is_some());
    assert!(extensions.get::<Arc<RetryPolicy>>().is_some());
    assert!(extensions.get::<Arc<HedgingPolicy>>().is_none());

    let got = through(&config, request("/any/thing"));
    assert!(!got.headers().contains_key("grpc-timeout"));
    let extensions = got.extensions();
    assert!(extensions.get::<WaitForReady>().is_none());
    assert!(extensions.get::<CallLimits>().is_none());
    assert!(extensions.get::<Throttle>().is_some());
    assert!(extensions.get::<Arc<RetryPolicy>>().is_none());
    assert!(extensions.get::<Arc<HedgingPolicy>>().is_some());
}

#[test]
fn a_call_whose_method_has_nothing_stays_as_it_is() {
    let got = through(&ServiceConfig::default(), request("/a/b"));
    assert!(got.extensions().is_empty() && got.headers().is_empty());
}

#[test]
fn the_smaller_timeout_counts() {
    let config = valid(full());
    let timeout = |own| through(&config, timed(own)).headers()["grpc-timeout"].clone();
    assert_eq!(timeout("1S"), "1S");
    assert_eq!(timeout("2S"), "1500000u");
    // It's for the layer of deadlines to refuse.
    assert_eq!(timeout("soon"), "soon");
}

#[test]
fn what_the_caller_has_set_stays() {
    let config = valid(full());
    let mut own = request("/a/b");
    let throttle = Throttle::new(7, 1).unwrap();
    own.extensions_mut().insert(throttle);
    own.extensions_mut().insert(WaitForReady(false));
    let hedging = HedgingPolicy::new(2, Duration::ZERO, []).unwrap();
    own.extensions_mut().insert(Arc::new(hedging));
    let got = through(&config, own);
    let extensions = got.extensions();
    assert_eq!(extensions.get(), Some(&WaitForReady(false)));
    assert_eq!(extensions.get::<Throttle>().unwrap().thousandths(), 7000);
    // One or the other, never both.
    assert!(extensions.get::<Arc<RetryPolicy>>().is_none());

    let mut own = request("/any/thing");
    let codes = [Code::Unavailable];
    let retry = RetryPolicy::new(
        2,
        Duration::from_secs(1),
        Duration::from_secs(1),
        1.0,
        codes,
    );
    own.extensions_mut().insert(Arc::new(retry.unwrap()));
    let got = through(&config, own);
    assert!(got.extensions().get::<Arc<HedgingPolicy>>().is_none());
}

#[test]
fn the_smallest_limits_count() {
    let config = valid(full());
    let limits = |outgoing, incoming| {
        let mut own = request("/a/b");
        own.extensions_mut()
            .insert(CallLimits { incoming, outgoing });
        let got = through(&config, own);
        let limits: &CallLimits = got.extensions().get().unwrap();
        (limits.outgoing, limits.incoming)
    };
    assert_eq!(limits(Some(1), None), (Some(1), Some(2048)));
    assert_eq!(limits(Some(5000), Some(5)), (Some(1024), Some(5)));
}

#[tokio::test]
async fn a_new_config_counts_for_the_next_call() {
    let (newest, config) = watch::channel(ServiceConfig::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let below = service_fn(|request: Request<Body>| {
        seen.lock()
            .unwrap()
            .push(request.extensions().get().copied());
        std::future::ready(Ok::<_, ()>(Response::new(Body::default())))
    });
    let mut channel = ServiceConfigLayer::following(config).layer(below);
    channel.call(request("/a/b")).await.unwrap();
    newest.send(valid(full())).unwrap();
    channel.call(request("/a/b")).await.unwrap();
    drop(newest);
    channel.call(request("/a/b")).await.unwrap();
    let wait = Some(WaitForReady(true));
    assert_eq!(*seen.lock().unwrap(), [None, wait, wait]);
}

#[test]
fn asks_below_whether_it_is_ready() {
    passes_on_readiness(ServiceConfigLayer::new(ServiceConfig::default()));
}

fn only(method: Value) -> ServiceConfigLayer {
    let mut method = method;
    method["name"] = json!([{}]);
    ServiceConfigLayer::new(valid(json!({ "methodConfig": [method] })))
}

#[tokio::test]
async fn the_layers_below_do_what_it_says() {
    let slow_at = |message: &bytes::Bytes| message.as_ref() == b"slow";
    let service = unary(move |request| async move {
        let message: bytes::Bytes = request.into_inner();
        if slow_at(&message) {
            std::future::pending::<()>().await;
        }
        Ok(tonic::Response::new(message))
    });
    let served = serve(tower::layer::util::Identity::new(), service).await;
    let channel = served.channel();

    let deadline = only(json!({ "timeout": "0.05s" }));
    let timed = deadline.layer(ClientDeadlineLayer::new().layer(channel.clone()));
    let late = call(timed, "slow").await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);

    for (limit, message) in [
        (
            json!({ "maxRequestMessageBytes": 8 }),
            "a message of 12 bytes is too large: the limit is 8",
        ),
        (
            json!({ "maxResponseMessageBytes": 9 }),
            "a message of 12 bytes is too large: the limit is 9",
        ),
    ] {
        let below = ClientMessageLimitLayer::new(1024).layer(channel.clone());
        let limited = only(limit).layer(below);
        assert!(call(limited.clone(), "short").await.is_ok());
        let large = call(limited, "ten bytes.").await.unwrap_err();
        assert_eq!(large.code(), Code::ResourceExhausted);
        assert_eq!(large.message(), message);
    }
}

/// tonic's channel does nothing of what a config says: that takes `conform`'s layers.
#[tokio::test]
async fn tonic_alone_has_no_service_config() {
    let nobody = endpoint("127.0.0.1:1".parse().unwrap()).connect_lazy();
    let config = valid(json!({ "methodConfig": [{ "name": [{}], "waitForReady": true }] }));
    let channel = ServiceConfigLayer::new(config).layer(nobody);
    let status = call(channel, "message").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}
