//! What is recorded on a server.

use http_body::Body as _;

use super::*;

const STARTED: &str = "grpc.server.call.started";
const DURATION: &str = "grpc.server.call.duration";
const SENT: &str = "grpc.server.call.sent_total_compressed_message_size";
const RECEIVED: &str = "grpc.server.call.rcvd_total_compressed_message_size";

#[tokio::test]
async fn a_call_over_a_connection_is_measured() {
    let recorded = Recorded::new();
    let layer = ServerMetricsLayer::new(&recorded.meter()).method(METHOD);
    let echo = unary(|request| async { Ok(tonic::Response::new(request.into_inner())) });
    let served = serve(layer.clone(), echo).await;
    call(served.channel(), "hello").await.unwrap();
    assert_eq!(recorded.counts(STARTED), ["test.Test/Call: 1"]);
    assert_eq!(recorded.counts(DURATION), ["test.Test/Call OK: 1"]);
    // Two bytes of protobuf around each text; the five of each prefix don't count.
    assert_eq!(recorded.sums(RECEIVED), ["test.Test/Call OK: 7"]);
    assert_eq!(recorded.sums(SENT), ["test.Test/Call OK: 7"]);

    // Several replies; and a handler that doesn't read its request.
    let served = serve(layer, replies(&[Ok(b"four"), Ok(b"and eight more")])).await;
    let (messages, end) = read(served.channel()).await;
    assert_eq!((messages.len(), end.is_ok()), (2, true));
    assert_eq!(recorded.sums(RECEIVED), ["test.Test/Call OK: 7"]);
    let sent = 7 + (2 + 4) + (2 + 14);
    assert_eq!(recorded.sums(SENT), [format!("test.Test/Call OK: {sent}")]);
}

#[tokio::test]
async fn a_refusal_and_a_broken_stream_have_the_status_that_they_ended_with() {
    let recorded = Recorded::new();
    let layer = ServerMetricsLayer::new(&recorded.meter()).method(METHOD);
    let refused = unary(|_| async { Err(Status::not_found("")) });
    let served = serve(layer.clone(), refused).await;
    call(served.channel(), "").await.unwrap_err();
    let served = serve(layer, replies(&[Ok(b"one"), Err(Code::DataLoss)])).await;
    read(served.channel()).await.1.unwrap_err();
    assert_eq!(
        recorded.counts(DURATION),
        ["test.Test/Call DATA_LOSS: 1", "test.Test/Call NOT_FOUND: 1"]
    );
}

/// An error without a message stays one frame of headers that ends the stream.
#[tokio::test]
async fn trailers_only_stays_trailers_only() {
    let recorded = Recorded::new();
    let layer = ServerMetricsLayer::new(&recorded.meter());
    let refused = unary(|_| async { Err(Status::not_found("")) });
    let served = serve(layer, refused).await;
    let reply = post(served.address, framed(b"")).await.unwrap();
    assert!(reply.ended_with_headers);
}

/// Three seconds until the headers, four until the end.
#[tokio::test(start_paused = true)]
async fn a_stream_lasts_until_its_last_message() {
    let recorded = Recorded::new();
    let layer = ServerMetricsLayer::new(&recorded.meter()).method(METHOD);
    let service = tower::service_fn(|_| async {
        sleep(Duration::from_secs(3)).await;
        let replies = futures::stream::iter([data(b"\0\0\0\0\x01x"), trailers(Code::Ok)]);
        let replies = replies.then(|frame| async {
            sleep(Duration::from_secs(2)).await;
            frame
        });
        Ok::<_, StdError>(Response::new(Body::new(StreamBody::new(replies))))
    });
    assert!(finish(layer.layer(service), request()).await);
    assert_eq!(recorded.sums(DURATION), ["test.Test/Call OK: 7"]);
}

#[tokio::test]
async fn a_call_counts_as_started_before_it_ends() {
    let recorded = Recorded::new();
    let layer = ServerMetricsLayer::new(&recorded.meter()).method(METHOD);
    let never = tower::service_fn(|_| std::future::pending::<Result<Response<Body>, StdError>>());
    let mut running = Box::pin(layer.layer(never).oneshot(request()));
    assert!(running.as_mut().now_or_never().is_none());
    assert_eq!(recorded.counts(STARTED), ["test.Test/Call: 1"]);
    assert_eq!(recorded.points(DURATION), []);
    drop(running);
    assert_eq!(recorded.counts(DURATION), ["test.Test/Call CANCELLED: 1"]);
}

#[tokio::test]
async fn a_caller_who_leaves_is_cancelled() {
    let recorded = Recorded::new();
    let layer = ServerMetricsLayer::new(&recorded.meter()).method(METHOD);
    let endless = crate::testing::Test(
        |_: crate::testing::Requests| -> tonic::codegen::BoxFuture<_, _> {
            let first = futures::stream::iter([Ok(Bytes::from_static(b"one"))]);
            let replies = first.chain(futures::stream::pending()).boxed();
            Box::pin(async move { Ok(tonic::Response::new(replies)) })
        },
    );
    let served = serve(layer, endless).await;
    let requests = futures::stream::iter([Bytes::from_static(b"request")]);
    let mut replies = stream(served.channel(), requests).await.unwrap();
    soon(replies.message()).await.unwrap();
    drop(replies);
    soon(async {
        while recorded.points(DURATION).is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(recorded.counts(DURATION), ["test.Test/Call CANCELLED: 1"]);
    // What had been sent by then counts too.
    assert_eq!(recorded.sums(SENT), ["test.Test/Call CANCELLED: 5"]);
}

/// Whoever notices first, the client's reset or the server's own clock.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_at_its_deadline_has_exceeded_it() {
    for (timeout, waited, expected) in [
        ("1000m", 899, "CANCELLED"),
        ("1000m", 900, "DEADLINE_EXCEEDED"),
        ("1000m", 1_005, "DEADLINE_EXCEEDED"),
        // A millisecond at least, a tenth of a second at most.
        ("5m", 3, "CANCELLED"),
        ("5m", 4, "DEADLINE_EXCEEDED"),
        ("10S", 9_899, "CANCELLED"),
        ("10S", 9_900, "DEADLINE_EXCEEDED"),
    ] {
        // Before the response, and in its body.
        for responds in [false, true] {
            let recorded = Recorded::new();
            let layer = ServerMetricsLayer::new(&recorded.meter()).method(METHOD);
            let service = tower::service_fn(move |_| async move {
                if !responds {
                    std::future::pending::<()>().await;
                }
                let never = futures::stream::pending::<Result<Frame<Bytes>, Status>>();
                Ok::<_, StdError>(Response::new(Body::new(StreamBody::new(never))))
            });
            let mut request = request();
            let header = timeout.parse().unwrap();
            request.headers_mut().insert("grpc-timeout", header);
            let calling = finish(layer.layer(service), request);
            let waited = Duration::from_millis(waited);
            tokio::time::timeout(waited, calling).await.unwrap_err();
            let expected = [format!("test.Test/Call {expected}: 1")];
            assert_eq!(
                recorded.counts(DURATION),
                expected,
                "{timeout} {waited:?} {responds}"
            );
        }
    }
}

/// A66: "unregistered/generic method names should by default be reported with "other"".
#[tokio::test]
async fn ten_thousand_made_up_names_are_one_other() {
    let recorded = Recorded::new();
    let layer = ServerMetricsLayer::new(&recorded.meter()).method(format!("/{METHOD}"));
    let unimplemented = |_| Ok::<_, StdError>(Status::unimplemented("").into_http());
    let mut service = layer.layer(channel(unimplemented));
    for number in 0..10_000 {
        let request = Request::post(format!("/made.up.Service{number}/Method{number}"));
        let request = request.body(Body::empty()).unwrap();
        service.call(request).await.unwrap();
    }
    // Nor do these stand for the one that is registered.
    for path in [
        "/test.Test/Call/",
        "//test.Test/Call",
        "/test.Test/call",
        "/",
        "*",
    ] {
        let request = Request::post(path).body(Body::empty()).unwrap();
        service.call(request).await.unwrap();
    }
    assert_eq!(recorded.counts(STARTED), ["other: 10005"]);
    assert_eq!(recorded.counts(DURATION), ["other UNIMPLEMENTED: 10005"]);
    service.call(request()).await.unwrap();
    assert_eq!(
        recorded.counts(STARTED),
        ["other: 10005", "test.Test/Call: 1"]
    );
}

/// A66: "Implementations should provide the option to override this behavior".
#[tokio::test]
async fn a_generic_method_goes_by_its_name_on_request() {
    let recorded = Recorded::new();
    let layer = ServerMetricsLayer::new(&recorded.meter())
        .generic_methods(|name| name.starts_with("proxied."))
        .methods([METHOD, "/test.Test/Other"]);
    let mut service = layer.layer(channel(ok));
    for path in [
        "/proxied.Service/Call",
        "/made.Up/Call",
        "/test.Test/Call",
        "/test.Test/Other",
    ] {
        finish(
            &mut service,
            Request::post(path).body(Body::empty()).unwrap(),
        )
        .await;
    }
    assert_eq!(
        recorded.counts(STARTED),
        [
            "other: 1",
            "proxied.Service/Call: 1",
            "test.Test/Call: 1",
            "test.Test/Other: 1"
        ]
    );
}

/// A66: "compressed but not encrypted", "does not include grpc or transport framing bytes".
#[tokio::test]
async fn sizes_are_of_the_messages_as_they_travel() {
    for (frames, expected) in [
        (vec![], 0),
        // Compressed or not, cut where it may be, several in one frame.
        (vec![data(b"\x01\0\0\0\x03abc")], 3),
        (vec![data(b"\0\0\0"), data(b"\0\x02h"), data(b"i")], 2),
        (vec![data(b"\0\0\0\0\x01x\0\0\0\0\0\0\0\0\0\x02yz")], 3),
        // Broken off in a prefix, or in a message.
        (vec![data(b"\0\0\0\0\x01x\0\0\0")], 1),
        (vec![data(b"\0\0\0")], 0),
        (vec![data(b"\0\xff\xff\xff\xffabc")], 3),
    ] {
        let recorded = Recorded::new();
        let layer = ServerMetricsLayer::new(&recorded.meter()).method(METHOD);
        let service = tower::service_fn(|request: Request<Body>| async {
            let frames = request.into_body().collect().await?.to_bytes();
            let frames = Frames::new([Ok(Frame::data(frames)), trailers(Code::Ok)]);
            Ok::<_, StdError>(Response::new(Body::new(frames)))
        });
        let body = Body::new(Frames::new(frames));
        assert!(finish(layer.layer(service), request_with(body)).await);
        let expected = [format!("test.Test/Call OK: {expected}")];
        assert_eq!(recorded.sums(RECEIVED), expected);
        assert_eq!(recorded.sums(SENT), expected);
    }
}

/// Gigabytes in sizes that pass 32 bits.
#[test]
fn sizes_don_t_overflow() {
    let mut bytes = super::super::body::MessageBytes::default();
    for _ in 0..3 {
        bytes.pass(b"\0\xff\xff\xff\xff");
        for _ in 0..u32::MAX / (1 << 24) {
            bytes.pass(&vec![0; 1 << 24]);
        }
        bytes.pass(&vec![0; (1 << 24) - 1]);
    }
    assert_eq!(bytes.count(), 3 * u64::from(u32::MAX));
}

#[tokio::test]
async fn a_body_that_is_at_its_end_is_passed_on_untouched() {
    let recorded = Recorded::new();
    let layer = ServerMetricsLayer::new(&recorded.meter()).method(METHOD);
    let service = tower::service_fn(|request: Request<Body>| async move {
        assert!(request.body().is_end_stream());
        Ok::<_, StdError>(Response::new(Body::empty()))
    });
    let response = layer.layer(service).oneshot(request()).await.unwrap();
    assert!(response.body().is_end_stream());
    // It's over already, though nobody has read it.
    assert_eq!(recorded.counts(DURATION), ["test.Test/Call UNKNOWN: 1"]);
    drop(response);
    assert_eq!(recorded.counts(DURATION), ["test.Test/Call UNKNOWN: 1"]);
}

#[tokio::test]
async fn bodies_tell_their_size_and_their_end() {
    let recorded = Recorded::new();
    let layer = ServerMetricsLayer::new(&recorded.meter()).method(METHOD);
    let full = || {
        Body::new(http_body_util::Full::new(Bytes::from_static(
            b"\0\0\0\0\x01x",
        )))
    };
    let service = tower::service_fn(move |mut request: Request<Body>| async move {
        assert_eq!(request.body().size_hint().exact(), Some(6));
        assert!(!request.body().is_end_stream());
        request.body_mut().frame().await.unwrap().unwrap();
        assert!(request.body().is_end_stream());
        Ok::<_, StdError>(Response::new(full()))
    });
    let response = layer.layer(service).oneshot(request_with(full())).await;
    let mut body = response.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), Some(6));
    assert!(!body.is_end_stream());
    // hyper asks no further after the last frame.
    body.frame().await.unwrap().unwrap();
    assert!(body.is_end_stream());
    assert_eq!(recorded.counts(DURATION), ["test.Test/Call UNKNOWN: 1"]);
    assert_eq!(recorded.sums(SENT), ["test.Test/Call UNKNOWN: 1"]);
}
