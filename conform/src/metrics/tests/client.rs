//! What is recorded on a client.

use super::*;

const STARTED: &str = "grpc.client.attempt.started";
const ATTEMPT: &str = "grpc.client.attempt.duration";
const SENT: &str = "grpc.client.attempt.sent_total_compressed_message_size";
const RECEIVED: &str = "grpc.client.attempt.rcvd_total_compressed_message_size";
const CALL: &str = "grpc.client.call.duration";

const TARGET: &str = "dns:///greeter.example:50051";
const URL: &str = "http://greeter.example:50051";

/// A generated stub says so in its request's extensions.
fn generated() -> Request<Body> {
    let mut request = request();
    let method = tonic::GrpcMethod::new("test.Test", "Call");
    request.extensions_mut().insert(method);
    request
}

#[tokio::test]
async fn a_stub_s_call_is_measured_by_its_method_and_its_target() {
    let recorded = Recorded::new();
    let layer = ClientMetricsLayer::new(&recorded.meter(), URL);
    let inner = channel(|_| {
        let frames = [data(b"\0\0\0\0\x04\n\x02Hi"), trailers(Code::Ok)];
        Ok::<_, StdError>(Response::new(Body::new(Frames::new(frames))))
    });
    let sent = tower::service_fn(move |request: Request<Body>| {
        let mut inner = inner.clone();
        async move {
            // As a channel does it, which sends the messages while it waits.
            let body = request.into_body().collect().await?;
            inner.call(Request::new(Body::new(body))).await
        }
    });
    let mut stub = GreeterClient::new(layer.layer(sent));
    let name = "Ann".to_owned();
    let greeting = stub.greet(Name { name }).await.unwrap();
    assert_eq!(greeting.into_inner().text, "Hi");
    let series = format!("greeter.v1.Greeter/Greet {TARGET}");
    assert_eq!(recorded.counts(STARTED), [format!("{series}: 1")]);
    assert_eq!(recorded.counts(ATTEMPT), [format!("{series} OK: 1")]);
    assert_eq!(recorded.counts(CALL), [format!("{series} OK: 1")]);
    assert_eq!(recorded.sums(SENT), [format!("{series} OK: 5")]);
    assert_eq!(recorded.sums(RECEIVED), [format!("{series} OK: 4")]);
}

#[tokio::test]
async fn a_method_that_no_stub_was_generated_for_is_other() {
    let recorded = Recorded::new();
    let layer = ClientMetricsLayer::new(&recorded.meter(), URL);
    let mut service = layer.layer(channel(ok));
    for number in 0..100 {
        let request = Request::post(format!("/made.Up/Method{number}"));
        finish(&mut service, request.body(Body::empty()).unwrap()).await;
    }
    assert_eq!(
        recorded.counts(ATTEMPT),
        [format!("other {TARGET} OK: 100")]
    );

    let recorded = Recorded::new();
    let layer = ClientMetricsLayer::new(&recorded.meter(), URL);
    let layer = layer.generic_methods(|name| name == METHOD);
    let mut service = layer.layer(channel(ok));
    for path in ["/test.Test/Call", "/made.Up/Call"] {
        finish(
            &mut service,
            Request::post(path).body(Body::empty()).unwrap(),
        )
        .await;
    }
    let expected = ["other", METHOD].map(|method| format!("{method} {TARGET}: 1"));
    assert_eq!(recorded.counts(STARTED), expected);
}

/// A retry: three attempts, one call.
#[tokio::test(start_paused = true)]
async fn a_call_may_be_several_attempts() {
    let recorded = Recorded::new();
    let attempts = Arc::new(AtomicU32::new(0));
    let backend = tower::service_fn(move |_| {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed);
        async move {
            sleep(Duration::from_secs(2)).await;
            match attempt {
                0 | 1 => Ok::<_, StdError>(Status::unavailable("").into_http()),
                _ => ok(Request::default()),
            }
        }
    });
    let layer = ClientMetricsLayer::new(&recorded.meter(), URL);
    let attempt = layer.clone().attempts_only().layer(backend);
    let retry = tower::service_fn(move |_| {
        let mut attempt = attempt.clone();
        async move {
            loop {
                let response = attempt.call(generated()).await?;
                if !response.headers().contains_key(Status::GRPC_STATUS) {
                    return Ok::<_, StdError>(response);
                }
                sleep(Duration::from_secs(1)).await;
            }
        }
    });
    finish(layer.calls_only().layer(retry), generated()).await;
    let series = format!("{METHOD} {TARGET}");
    assert_eq!(recorded.counts(STARTED), [format!("{series}: 3")]);
    assert_eq!(
        recorded.counts(ATTEMPT),
        [
            format!("{series} OK: 1"),
            format!("{series} UNAVAILABLE: 2")
        ]
    );
    assert_eq!(
        recorded.sums(ATTEMPT),
        [
            format!("{series} OK: 2"),
            format!("{series} UNAVAILABLE: 4")
        ]
    );
    assert_eq!(recorded.counts(CALL), [format!("{series} OK: 1")]);
    assert_eq!(recorded.sums(CALL), [format!("{series} OK: 8")]);
}

#[tokio::test]
async fn no_connection_is_unavailable() {
    let recorded = Recorded::new();
    let nobody = crate::testing::endpoint("127.0.0.1:1".parse().unwrap()).connect_lazy();
    let layer = ClientMetricsLayer::new(&recorded.meter(), URL);
    let status = call(layer.layer(nobody), "").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let expected = [format!("other {TARGET} UNAVAILABLE: 1")];
    assert_eq!(recorded.counts(CALL), expected);
    assert_eq!(recorded.counts(ATTEMPT), expected);
}

#[tokio::test]
async fn an_error_that_says_nothing_is_unknown_and_stays_what_it_is() {
    let recorded = Recorded::new();
    let layer = ClientMetricsLayer::new(&recorded.meter(), URL);
    let fails = channel(|_| Err::<Response<Body>, _>(std::io::Error::other("out of ideas")));
    let error = layer.layer(fails).oneshot(generated()).await.unwrap_err();
    assert!(error.downcast_ref::<std::io::Error>().is_some());
    let expected = [format!("{METHOD} {TARGET} UNKNOWN: 1")];
    assert_eq!(recorded.counts(CALL), expected);
}

/// What a stub sees is what is recorded.
#[tokio::test]
async fn a_connection_that_breaks_has_the_status_that_the_stub_sees() {
    let recorded = Recorded::new();
    let layer = ClientMetricsLayer::new(&recorded.meter(), URL);
    let peer = crate::testing::h2_peer(|_, mut respond| async move {
        let response = Response::builder().header("content-type", "application/grpc");
        let mut send = respond
            .send_response(response.body(()).unwrap(), false)
            .unwrap();
        send.send_reset(h2::Reason::INTERNAL_ERROR);
    })
    .await;
    let channel = layer.layer(ClientStatusLayer::new().layer(peer.channel()));
    let status = read(channel).await.1.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    let expected = [format!("other {TARGET} INTERNAL: 1")];
    assert_eq!(recorded.counts(CALL), expected);
}

#[tokio::test]
async fn a_response_without_a_status_has_the_one_of_its_http_status() {
    for (status, body, expected) in [
        (StatusCode::BAD_GATEWAY, vec![], "UNAVAILABLE"),
        (
            StatusCode::FORBIDDEN,
            vec![data(b"<html>")],
            "PERMISSION_DENIED",
        ),
        (StatusCode::OK, vec![], "UNKNOWN"),
        (StatusCode::OK, vec![data(b"\0\0\0\0\0")], "UNKNOWN"),
        (
            StatusCode::OK,
            vec![Ok(Frame::trailers(HeaderMap::new()))],
            "UNKNOWN",
        ),
        (
            StatusCode::BAD_GATEWAY,
            vec![trailers(Code::NotFound)],
            "NOT_FOUND",
        ),
    ] {
        // A body that knows its end, and one that doesn't.
        for known in [true, false] {
            let recorded = Recorded::new();
            let layer = ClientMetricsLayer::new(&recorded.meter(), URL);
            let frames = std::sync::Mutex::new(Some(body_of(&body)));
            let service = tower::service_fn(|_| {
                let frames = frames.lock().unwrap().take().unwrap();
                let body = match known {
                    true => Body::new(Frames::new(frames)),
                    false => Body::new(StreamBody::new(futures::stream::iter(frames))),
                };
                let mut response = Response::new(body);
                *response.status_mut() = status;
                std::future::ready(Ok::<_, StdError>(response))
            });
            finish(layer.layer(service), generated()).await;
            let expected = [format!("{METHOD} {TARGET} {expected}: 1")];
            assert_eq!(recorded.counts(CALL), expected, "{status} {known}");
        }
    }
}

/// Frames can't be cloned.
fn body_of(frames: &[Result<Frame<Bytes>, Status>]) -> Vec<Result<Frame<Bytes>, Status>> {
    let frames = frames.iter().map(|frame| {
        let frame = frame.as_ref().unwrap();
        Ok(match frame.data_ref() {
            Some(data) => Frame::data(data.clone()),
            None => Frame::trailers(frame.trailers_ref().unwrap().clone()),
        })
    });
    frames.collect()
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled() {
    let recorded = Recorded::new();
    let layer = ClientMetricsLayer::new(&recorded.meter(), URL);
    let never = tower::service_fn(|_| std::future::pending::<Result<Response<Body>, StdError>>());
    let calling = layer.layer(never).oneshot(generated());
    assert!(calling.now_or_never().is_none());
    let expected = [format!("{METHOD} {TARGET} CANCELLED: 1")];
    assert_eq!(recorded.counts(CALL), expected);

    // The replies too.
    let response = layer.layer(channel(ok)).oneshot(generated()).await.unwrap();
    drop(response);
    let expected = [format!("{METHOD} {TARGET} CANCELLED: 2")];
    assert_eq!(recorded.counts(CALL), expected);
}

/// A66: "Canonicalized target URI is the form with the scheme included".
#[test]
fn targets_have_a_scheme() {
    for (target, expected) in [
        ("http://greeter.example", "dns:///greeter.example:80"),
        ("https://greeter.example", "dns:///greeter.example:443"),
        ("HTTPS://greeter.example", "dns:///greeter.example:443"),
        (
            "http://greeter.example:8000/",
            "dns:///greeter.example:8000",
        ),
        (
            "http://greeter.example/a:1?b@c:2#d",
            "dns:///greeter.example:80",
        ),
        (
            "http://ann:secret@greeter.example:1",
            "dns:///greeter.example:1",
        ),
        ("http://127.0.0.1:50051", "dns:///127.0.0.1:50051"),
        ("http://[::1]:50051", "dns:///[::1]:50051"),
        ("http://[::1]", "dns:///[::1]:80"),
        ("greeter.example", "dns:///greeter.example"),
        ("greeter.example:443", "dns:///greeter.example:443"),
        ("dns:///greeter.example:443", "dns:///greeter.example:443"),
        (
            "dns://8.8.8.8/greeter.example",
            "dns://8.8.8.8/greeter.example",
        ),
        ("ipv4:127.0.0.1:50051", "ipv4:127.0.0.1:50051"),
        ("unix:/run/greeter", "unix:/run/greeter"),
        ("unix-abstract:greeter", "unix-abstract:greeter"),
        ("xds:///greeter:8000", "xds:///greeter:8000"),
        ("", "dns:///"),
        ("löwe", "dns:///löwe"),
    ] {
        assert_eq!(canonical_target(target), expected, "{target}");
    }
}
