//! The client's layer alone, over services made for the purpose.

use super::*;

type Call = Result<http::Response<Body>, StdError>;

fn request(timeout: &[&'static str]) -> http::Request<Body> {
    let mut request = http::Request::new(Body::empty());
    for value in timeout {
        let value = http::HeaderValue::from_static(value);
        request.headers_mut().append("grpc-timeout", value);
    }
    request
}

/// Calls `service` with the layer on it.
async fn call<S, B>(timeout: &[&'static str], service: S) -> Call
where
    S: Service<http::Request<Body>, Response = http::Response<B>> + Clone,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let mut service = ClientDeadlineLayer::new().layer(service);
    service.call(request(timeout)).await
}

/// Answers every call with what `answer` makes, after 20 ms.
async fn answered(timeout: &[&'static str], answer: fn() -> Call) -> Call {
    let service = service_fn(move |_| async move {
        sleep(millis(20)).await;
        answer()
    });
    call(timeout, service).await
}

fn code(call: Call) -> Code {
    Status::from_header_map(call.unwrap().headers())
        .unwrap()
        .code()
}

/// Never has room for a call.
#[derive(Clone)]
struct NoRoom;

impl Service<http::Request<Body>> for NoRoom {
    type Response = http::Response<Body>;
    type Error = StdError;
    type Future = std::future::Ready<Call>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        Poll::Pending
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        panic!("called without room")
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_room_is_covered() {
    let begin = Instant::now();
    assert_eq!(code(call(&["70m"], NoRoom).await), Code::DeadlineExceeded);
    assert_about(begin, millis(70));
}

#[tokio::test]
async fn the_layer_always_has_room() {
    let mut service = ClientDeadlineLayer::new().layer(NoRoom);
    service.ready().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_header_holds_what_is_left_when_there_is_room() {
    /// Has room after 300 ms.
    #[derive(Clone)]
    struct Later(Instant, UnboundedSender<http::Request<Body>>);

    impl Service<http::Request<Body>> for Later {
        type Response = http::Response<Body>;
        type Error = StdError;
        type Future = std::future::Ready<Call>;

        fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
            if self.0.elapsed() >= millis(300) {
                return Poll::Ready(Ok(()));
            }
            let waker = context.waker().clone();
            let room = self.0 + millis(300);
            tokio::spawn(async move {
                tokio::time::sleep_until(room).await;
                waker.wake();
            });
            Poll::Pending
        }

        fn call(&mut self, request: http::Request<Body>) -> Self::Future {
            self.1.send(request).unwrap();
            ready(Ok(Status::ok("").into_http()))
        }
    }

    let (sender, mut requests) = mpsc::unbounded_channel();
    call(&["1S"], Later(Instant::now(), sender)).await.unwrap();
    let headers = requests.recv().await.unwrap().headers().clone();
    let left = parse_timeout(headers["grpc-timeout"].as_bytes()).unwrap();
    assert!(left <= millis(700) && left >= millis(698), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_default_is_for_calls_without_a_deadline_of_their_own() {
    for (own, expected) in [(&[][..], 400), (&["30m"], 30), (&["900m"], 900)] {
        let (sender, mut requests) = mpsc::unbounded_channel();
        let service = service_fn(move |request: http::Request<Body>| {
            sender.send(request).unwrap();
            pending::<Call>()
        });
        let layer = ClientDeadlineLayer::new().default_timeout(millis(400));
        let begin = Instant::now();
        let call = layer.layer(service).call(request(own)).await;
        assert_eq!(code(call), Code::DeadlineExceeded);
        assert_about(begin, millis(expected));
        let headers = requests.recv().await.unwrap().headers().clone();
        let travelled = parse_timeout(headers["grpc-timeout"].as_bytes()).unwrap();
        assert_eq!(travelled, millis(expected));
        if let [own] = own {
            assert_eq!(headers["grpc-timeout"], own, "as its caller has said it");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_default_of_all_time_is_no_deadline() {
    let layer = ClientDeadlineLayer::new().default_timeout(Duration::MAX);
    let mut service = layer.layer(service_fn(|_| pending::<Call>()));
    let call = timeout(YEAR, service.call(request(&[])));
    assert!(call.await.is_err(), "still pending after a year");
}

#[tokio::test]
async fn a_malformed_timeout_and_none_at_all_call_nobody() {
    for (timeout, expected) in [
        (&["soon"][..], Code::Internal),
        (&["1S", "1S"], Code::Internal),
        (&["0S"], Code::DeadlineExceeded),
    ] {
        assert_eq!(code(call(timeout, NoRoom).await), expected, "{timeout:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_call_ends_with_in_time_stays_as_it_is() {
    let cancelled = || Ok(Status::cancelled("").into_http());
    for timeout in [&["10S"][..], &["40m"], &[]] {
        assert_eq!(code(answered(timeout, cancelled).await), Code::Cancelled);
        let failed = answered(timeout, || Err("out of order".into())).await;
        assert_eq!(failed.unwrap_err().to_string(), "out of order");
        // One block of headers and no body: it has to stay so.
        let not_found = || Ok(Status::not_found("").into_http());
        let response = answered(timeout, not_found).await.unwrap();
        assert!(response.body().is_end_stream());
        assert_eq!(code(Ok(response)), Code::NotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_or_an_error_in_the_last_millisecond_is_the_deadlines_doing() {
    for timeout in ["20m", "20500u", "21m"] {
        let cancelled = || Ok(Status::cancelled("").into_http());
        assert_eq!(
            code(answered(&[timeout], cancelled).await),
            Code::DeadlineExceeded
        );
        let failed = || Err("reset".into());
        assert_eq!(
            code(answered(&[timeout], failed).await),
            Code::DeadlineExceeded
        );
    }
    // An answer is an answer.
    let not_found = || Ok(Status::not_found("").into_http());
    assert_eq!(code(answered(&["21m"], not_found).await), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn the_last_millisecond_counts_in_a_stream_too() {
    let late = [
        || Err(Status::cancelled("")),
        || Ok(Frame::trailers(trailers(Code::Cancelled))),
    ];
    for frame in late {
        for (timeout, pause, expected) in [
            ("21m", 20, Code::DeadlineExceeded),
            ("25m", 20, Code::Cancelled),
        ] {
            let service = service_fn(move |_| {
                let last = stream::once(async move {
                    sleep(millis(pause)).await;
                    frame()
                });
                let body = Body::new(StreamBody::new(last));
                ready(Ok::<_, StdError>(http::Response::new(body)))
            });
            let mut response = call(&[timeout], service).await.unwrap();
            let code = match response.body_mut().frame().await.unwrap() {
                Err(status) => status.code(),
                Ok(frame) => Status::from_header_map(frame.trailers_ref().unwrap())
                    .unwrap()
                    .code(),
            };
            assert_eq!(code, expected, "{timeout}");
            assert!(response.body_mut().frame().await.is_none());
        }
    }
    // Another code, as late as that, is the server's own word.
    let service = service_fn(|_| {
        let last = stream::once(async {
            sleep(millis(20)).await;
            Ok::<_, Status>(Frame::trailers(trailers(Code::Aborted)))
        });
        ready(Ok::<_, StdError>(http::Response::new(Body::new(
            StreamBody::new(last),
        ))))
    });
    let response = call(&["21m"], service).await.unwrap();
    let trailers = response.into_body().collect().await.unwrap();
    assert_eq!(trailers.trailers().unwrap()["grpc-status"], "10");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_an_error_and_what_feeds_it_is_dropped() {
    let (log, mut lines) = mpsc::unbounded_channel();
    let service = service_fn(move |_| {
        let stopped = Stopped(Some(log.clone()));
        let frames = stream::iter([Ok::<_, Status>(Frame::data(Bytes::from("one")))])
            .chain(stream::pending())
            .map(move |frame| {
                let _stopped = &stopped;
                frame
            });
        let response = http::Response::new(Body::new(StreamBody::new(frames)));
        ready(Ok::<_, StdError>(response))
    });
    let begin = Instant::now();
    let mut body = call(&["50m"], service).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(!body.is_end_stream());
    let status = body.frame().await.unwrap().unwrap_err();
    assert_about(begin, millis(50));
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(lines.try_recv().unwrap(), "stopped");
    assert!(body.frame().await.is_none());
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_its_status_in_time_may_be_read_later() {
    let frames = || {
        vec![
            Ok(Frame::data(Bytes::from("one"))),
            Ok(Frame::trailers(trailers(Code::Ok))),
        ]
    };
    let service =
        service_fn(move |_| ready(Ok::<_, StdError>(http::Response::new(body(frames())))));
    let mut body = call(&["50m"], service).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    sleep(millis(60)).await;
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}

/// Where hyper sends a body, it ends the stream with the last message if this is true.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_body_is_said_when_the_body_says_it() {
    let service = service_fn(|_| {
        let body = Body::new(Full::new(Bytes::from("all")));
        ready(Ok::<_, StdError>(http::Response::new(body)))
    });
    let mut body = call(&["50m"], service).await.unwrap().into_body();
    assert!(!body.is_end_stream());
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn a_call_is_dropped_when_its_deadline_passes() {
    let (log, mut lines) = mpsc::unbounded_channel();
    let service = service_fn(move |_| {
        let stopped = Stopped(Some(log.clone()));
        async move {
            let _stopped = stopped;
            pending::<Call>().await
        }
    });
    let mut service = ClientDeadlineLayer::new().layer(service);
    let mut call = Box::pin(service.call(request(&["50m"])));
    assert_eq!(code((&mut call).await), Code::DeadlineExceeded);
    // The future is still there; what it held is not.
    assert_eq!(lines.try_recv().unwrap(), "stopped");
    let again = timeout(YEAR, &mut call).await;
    assert!(again.is_err(), "polled after its end it stays pending");
}

#[tokio::test(start_paused = true)]
async fn an_upload_fails_when_the_deadline_passes() {
    let (sender, mut requests) = mpsc::unbounded_channel();
    let service = service_fn(move |request: http::Request<Body>| {
        sender.send(request).unwrap();
        ready(Ok::<_, StdError>(http::Response::new(body(Vec::new()))))
    });
    let begin = Instant::now();
    let mut service = ClientDeadlineLayer::new().layer(service);
    let upload = body(vec![Ok(Frame::data(Bytes::from("one")))]);
    let _replies = service.call(request(&["50m"]).map(|_| upload)).await;
    let mut upload = requests.recv().await.unwrap().into_body();
    assert!(!upload.is_end_stream());
    assert!(upload.frame().await.unwrap().unwrap().is_data());
    let status = upload.frame().await.unwrap().unwrap_err();
    assert_about(begin, millis(50));
    let cause = std::error::Error::source(&status).unwrap();
    let reset: &h2::Error = cause.downcast_ref().unwrap();
    assert_eq!(reset.reason(), Some(h2::Reason::CANCEL));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_ends_in_time_ends_as_it_is() {
    let (sender, mut requests) = mpsc::unbounded_channel();
    let service = service_fn(move |request: http::Request<Body>| {
        sender.send(request).unwrap();
        ready(Ok::<_, StdError>(Status::ok("").into_http::<Body>()))
    });
    let mut service = ClientDeadlineLayer::new().layer(service);
    let upload = Body::new(Full::new(Bytes::from("all")));
    service
        .call(request(&["50m"]).map(|_| upload))
        .await
        .unwrap();
    service.call(request(&["50m"])).await.unwrap();
    let mut upload = requests.recv().await.unwrap().into_body();
    assert!(upload.frame().await.unwrap().unwrap().is_data());
    assert!(upload.is_end_stream());
    assert!(upload.frame().await.is_none());
    assert!(requests.recv().await.unwrap().into_body().is_end_stream());
}

/// As a `TraceLayer` has one of its own.
#[tokio::test(start_paused = true)]
async fn the_body_below_may_be_of_any_type() {
    for (timeout, expected) in [(&["50m"][..], true), (&[], true), (&["15m"], false)] {
        let service = service_fn(|_| {
            let all = stream::once(async {
                sleep(millis(20)).await;
                Ok::<_, Status>(Frame::data(Bytes::from("all")))
            });
            let body = StreamBody::new(all).map_err(StdError::from).boxed_unsync();
            ready(Ok::<_, StdError>(http::Response::new(body)))
        });
        let response = call(timeout, service).await.unwrap();
        let all = response.into_body().collect().await;
        let expected = expected.then_some(Bytes::from("all"));
        assert_eq!(all.ok().map(|all| all.to_bytes()), expected, "{timeout:?}");
    }
}

/// A body that nobody polls is dropped, and says so when it is polled.
#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_polls_is_dropped_at_the_deadline() {
    let (log, mut lines) = mpsc::unbounded_channel();
    let service = service_fn(move |_| {
        let stopped = Stopped(Some(log.clone()));
        let frames = stream::repeat_with(move || {
            let _stopped = &stopped;
            Ok::<_, Status>(Frame::data(Bytes::from("more")))
        });
        let response = http::Response::new(Body::new(StreamBody::new(frames)));
        ready(Ok::<_, StdError>(response))
    });
    let begin = Instant::now();
    let mut body = call(&["50m"], service).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert_eq!(
        timeout(YEAR, lines.recv()).await.unwrap().unwrap(),
        "stopped"
    );
    assert_about(begin, millis(50));
    assert!(!body.is_end_stream());
    assert_eq!(HttpBody::size_hint(&body).upper(), None);
    let status = body.frame().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}

/// A call that nobody has polled from before its deadline until after it.
#[tokio::test(start_paused = true)]
async fn replies_that_come_after_the_deadline_are_dropped_at_once() {
    let (log, mut lines) = mpsc::unbounded_channel();
    let service = service_fn(move |request: http::Request<Body>| {
        let stopped = Stopped(Some(log.clone()));
        async move {
            let _open = request;
            sleep(millis(20)).await;
            let frames = stream::once(async move {
                let _stopped = stopped;
                std::future::pending::<Result<Frame<Bytes>, Status>>().await
            });
            Ok::<_, StdError>(http::Response::new(Body::new(StreamBody::new(frames))))
        }
    });
    let mut service = ClientDeadlineLayer::new().layer(service);
    let upload = body(vec![Ok(Frame::data(Bytes::from("one")))]);
    let mut call = Box::pin(service.call(request(&["50m"]).map(|_| upload)));
    assert!(futures::poll!(&mut call).is_pending());
    sleep(millis(60)).await;
    let mut body = call.await.unwrap().into_body();
    assert_eq!(lines.try_recv().unwrap(), "stopped");
    let status = body.frame().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(body.frame().await.is_none());
}

/// A body at its end has said so: the deadline changes nothing.
#[tokio::test(start_paused = true)]
async fn a_body_that_has_said_its_end_stays_at_its_end() {
    let service = service_fn(|_| {
        let body = Body::new(Full::new(Bytes::from("all")));
        ready(Ok::<_, StdError>(http::Response::new(body)))
    });
    let mut body = call(&["50m"], service).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    sleep(millis(60)).await;
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}

/// The watch over a stream lives no longer than the stream, even with a deadline a year ahead.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_over_leaves_no_task_behind() {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let service = service_fn(|_| {
        let frames = vec![Ok(Frame::trailers(trailers(Code::Ok)))];
        ready(Ok::<_, StdError>(http::Response::new(body(frames))))
    });
    let before = tasks();
    let mut read = call(&["8760H"], service).await.unwrap().into_body();
    assert_eq!(tasks(), before + 1);
    assert!(read.frame().await.unwrap().unwrap().is_trailers());
    tokio::task::yield_now().await;
    assert_eq!(tasks(), before);
    drop(call(&["8760H"], service).await.unwrap());
    tokio::task::yield_now().await;
    assert_eq!(tasks(), before);
}
