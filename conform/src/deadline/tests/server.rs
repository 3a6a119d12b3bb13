//! The server's layer alone, and both layers face to face.

use super::*;

type Stub = GreeterClient<ClientDeadline<ServerDeadline<GreeterServer<Sleepy>>>>;

fn both(layer: ServerDeadlineLayer) -> (Stub, UnboundedReceiver<String>) {
    let (sleepy, lines) = sleepy();
    let service = layer.layer(GreeterServer::new(sleepy));
    let stub = GreeterClient::new(ClientDeadlineLayer::new().layer(service));
    (stub, lines)
}

/// What a server with `layer` answers to a call with these headers, without a client's layer.
async fn answer(
    layer: ServerDeadlineLayer,
    timeout: &[&'static str],
    path: &str,
    name: &[u8],
) -> (http::Response<Body>, UnboundedReceiver<String>) {
    let (sleepy, lines) = sleepy();
    let length = u8::try_from(name.len()).unwrap();
    let message = [&[0, 0, 0, 0, length + 2, 0x0a, length], name].concat();
    let mut request = http::Request::post(format!("/greeter.v1.Greeter/{path}"))
        .header("content-type", "application/grpc");
    for value in timeout {
        request = request.header("grpc-timeout", *value);
    }
    let request = request.body(Body::new(Full::new(Bytes::from(message))));
    let service = layer.layer(GreeterServer::new(sleepy));
    let response = service.oneshot(request.unwrap()).await.unwrap();
    (response, lines)
}

fn code(response: &http::Response<Body>) -> Option<Code> {
    Status::from_header_map(response.headers()).map(|status| status.code())
}

#[tokio::test(start_paused = true)]
async fn no_deadline_means_no_end() {
    let (mut stub, mut lines) = both(ServerDeadlineLayer::new());
    let mut call = Box::pin(stub.greet(name("31536001000")));
    assert!(
        timeout(YEAR, &mut call).await.is_err(),
        "still pending after a year"
    );
    assert_eq!(lines.recv().await.unwrap(), "began: None None");
    assert!(call.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_when_its_deadline_passes() {
    for deadline in [1, 50, 3_000, 3_599_000] {
        let (mut stub, mut lines) = both(ServerDeadlineLayer::new());
        let begin = Instant::now();
        let call = stub.greet(within(millis(deadline), name("3600000")));
        assert_eq!(call.await.unwrap_err().code(), Code::DeadlineExceeded);
        assert_about(begin, millis(deadline));
        assert!(lines.recv().await.unwrap().starts_with("began"));
        assert_eq!(lines.recv().await.unwrap(), "stopped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_done_in_time_is_left_alone() {
    let (mut stub, mut lines) = both(ServerDeadlineLayer::new().limit(millis(50)));
    stub.greet(within(millis(50), name("48"))).await.unwrap();
    lines.recv().await.unwrap();
    assert!(lines.try_recv().is_err(), "nothing was stopped");
}

#[tokio::test(start_paused = true)]
async fn the_smaller_of_the_callers_deadline_and_the_servers_limit_counts() {
    for (timeout, limit, expected) in [
        (&["40m"][..], 90, 40),
        (&["90m"], 40, 40),
        (&[], 40, 40),
        (&["99999999H"], 40, 40),
    ] {
        let layer = ServerDeadlineLayer::new().limit(millis(limit));
        let begin = Instant::now();
        let (response, mut lines) = answer(layer, timeout, "Greet", b"1000").await;
        assert_about(begin, millis(expected));
        assert_eq!(code(&response), Some(Code::DeadlineExceeded));
        let began = lines.recv().await.unwrap();
        assert!(
            began.starts_with(&format!("began: Some({expected})")),
            "{began}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_leaves_too_little_time_is_refused_at_once() {
    let minimum = ServerDeadlineLayer::new().minimum(millis(40));
    for (layer, timeout, expected) in [
        (minimum, &["39999u"][..], Some(Code::DeadlineExceeded)),
        (minimum, &["40m"], None),
        (minimum, &[], None),
        (
            ServerDeadlineLayer::new(),
            &["0m"],
            Some(Code::DeadlineExceeded),
        ),
        (ServerDeadlineLayer::new(), &["10m"], None),
        (ServerDeadlineLayer::new(), &["soon"], Some(Code::Internal)),
        (
            ServerDeadlineLayer::new(),
            &["1S", "1S"],
            Some(Code::Internal),
        ),
    ] {
        let begin = Instant::now();
        let (response, mut lines) = answer(layer, timeout, "Greet", b"5").await;
        assert_eq!(code(&response), expected, "{timeout:?}");
        assert_eq!(lines.try_recv().is_err(), expected.is_some(), "{timeout:?}");
        // A refusal is one block of headers and no body.
        assert_eq!(response.body().is_end_stream(), expected.is_some());
        if expected.is_some() {
            assert_eq!(begin.elapsed(), Duration::ZERO);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn settings_take_effect_in_any_order() {
    for layer in [
        ServerDeadlineLayer::new()
            .limit(millis(90))
            .minimum(millis(40)),
        ServerDeadlineLayer::new()
            .minimum(millis(40))
            .limit(millis(90)),
    ] {
        let (response, _lines) = answer(layer, &["39m"], "Greet", b"1000").await;
        assert_eq!(code(&response), Some(Code::DeadlineExceeded));
        let begin = Instant::now();
        answer(layer, &[], "Greet", b"1000").await;
        assert_about(begin, millis(90));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_trailers_and_its_source_is_dropped() {
    for pause in [&b"20"[..], b"0"] {
        let layer = ServerDeadlineLayer::new();
        let begin = Instant::now();
        let (response, mut lines) = answer(layer, &["50m"], "GreetOften", pause).await;
        assert_eq!(code(&response), None);
        let mut body = response.into_body();
        let mut messages = 0;
        let trailers = loop {
            assert!(!body.is_end_stream());
            let frame = body.frame().await.unwrap().unwrap();
            match frame.into_trailers() {
                Ok(trailers) => break trailers,
                Err(_) => messages += 1,
            }
            if pause == b"0" {
                // A stream that is always ready lets no time pass by itself.
                advance(millis(1)).await;
            }
        };
        assert!(messages >= 3, "{messages}");
        assert_about(begin, millis(50));
        let status = Status::from_header_map(&trailers).unwrap();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(lines.recv().await.unwrap().starts_with("began"));
        assert_eq!(
            lines.try_recv().unwrap(),
            "stopped",
            "with the body still there"
        );
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_handlers_own_late_cancellation_stays_cancelled() {
    let service = service_fn(|_: http::Request<Body>| {
        let last = stream::once(async {
            sleep(millis(20)).await;
            Ok::<_, Status>(Frame::trailers(trailers(Code::Cancelled)))
        });
        let body = Body::new(StreamBody::new(last));
        ready(Ok::<_, Infallible>(http::Response::new(body)))
    });
    let layer = ServerDeadlineLayer::new().limit(millis(21));
    let response = layer.layer(service).oneshot(http::Request::default()).await;
    let body = response.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "1");
}

#[tokio::test(start_paused = true)]
async fn both_layers_let_a_stream_in_time_pass() {
    let (mut stub, mut lines) = both(ServerDeadlineLayer::new());
    let names = stream::iter([name("a"), name("b")]);
    let replies = stub.greet_each(within(millis(50), names)).await.unwrap();
    let (count, end) = read(replies.into_inner()).await;
    assert_eq!(count, 2);
    end.unwrap();
    assert!(lines.recv().await.unwrap().starts_with("began: Some(50)"));
}

#[tokio::test(start_paused = true)]
async fn an_upload_without_end_is_covered() {
    let (mut stub, mut lines) = both(ServerDeadlineLayer::new());
    let call = stub.greet_all(within(millis(50), stream::pending()));
    assert_eq!(call.await.unwrap_err().code(), Code::DeadlineExceeded);
    assert!(lines.recv().await.unwrap().starts_with("began"));
    assert_eq!(lines.recv().await.unwrap(), "stopped");
}

/// A service has room when the one below it has.
#[tokio::test]
async fn readiness_is_that_of_the_service_below() {
    #[derive(Clone)]
    struct Broken;

    impl Service<http::Request<Body>> for Broken {
        type Response = http::Response<Body>;
        type Error = &'static str;
        type Future = std::future::Ready<Result<http::Response<Body>, &'static str>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Err("broken"))
        }

        fn call(&mut self, _: http::Request<Body>) -> Self::Future {
            ready(Err("called"))
        }
    }

    let mut service = ServerDeadlineLayer::new().layer(Broken);
    assert_eq!(service.ready().await.err(), Some("broken"));
    for timeout in [None, Some("1S")] {
        let mut request = http::Request::new(Body::empty());
        if let Some(timeout) = timeout {
            let value = http::HeaderValue::from_static(timeout);
            request.headers_mut().insert("grpc-timeout", value);
        }
        assert_eq!(service.call(request).await.err(), Some("called"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_is_dropped_at_the_deadline_and_pending_after_it() {
    let (log, mut lines) = mpsc::unbounded_channel();
    let service = service_fn(move |_: http::Request<Body>| {
        let stopped = Stopped(Some(log.clone()));
        async move {
            let _stopped = stopped;
            pending::<Result<http::Response<Body>, Infallible>>().await
        }
    });
    let mut service = ServerDeadlineLayer::new().limit(millis(20)).layer(service);
    let mut call = Box::pin(service.call(http::Request::default()));
    let response = (&mut call).await.unwrap();
    assert_eq!(code(&response), Some(Code::DeadlineExceeded));
    assert_eq!(lines.try_recv().unwrap(), "stopped");
    assert!(timeout(YEAR, &mut call).await.is_err());
}

/// As a `TraceLayer` has one of its own.
#[tokio::test(start_paused = true)]
async fn the_body_below_may_be_of_any_type() {
    let service = service_fn(|_: http::Request<Body>| {
        let body = body(Vec::new()).map_err(StdError::from).boxed_unsync();
        ready(Ok::<_, Infallible>(http::Response::new(body)))
    });
    let layer = ServerDeadlineLayer::new().limit(millis(20));
    let response = layer.layer(service).oneshot(http::Request::default()).await;
    let ended = response.unwrap().into_body().collect().await.unwrap();
    assert_eq!(ended.trailers().unwrap()["grpc-status"], "4");

    let layer = ServerDeadlineLayer::new();
    let response = layer.layer(service).oneshot(http::Request::default()).await;
    let endless = response.unwrap().into_body().collect();
    assert!(timeout(YEAR, endless).await.is_err());
}
