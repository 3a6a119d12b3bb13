//! The two layers face to face, without a network between them, and with time that stands still.

use std::convert::Infallible;

use tokio::time::{Instant, advance, sleep};
use tonic::body::Body;
use tonic::codegen::http;
use tower::ServiceBuilder;

use super::sleeper::Sleeper;
use super::*;
use crate::deadline::Deadline;
use crate::server_layer::ServerDeadlines;
use crate::timeout::{GRPC_TIMEOUT, read};

type Service = ServerDeadlines<CalculatorServer<Sleeper>>;

fn service(layer: ServerDeadlineLayer) -> (Service, UnboundedReceiver<String>) {
    let (journal, lines) = mpsc::unbounded_channel();
    (layer.layer(CalculatorServer::new(Sleeper(journal))), lines)
}

/// A stub with the client's layer, on a service with the server's.
fn both(
    layer: ServerDeadlineLayer,
) -> (
    CalculatorClient<ClientDeadlines<Service>>,
    UnboundedReceiver<String>,
) {
    let (service, lines) = service(layer);
    (
        CalculatorClient::new(ClientDeadlineLayer.layer(service)),
        lines,
    )
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Timers fire on the next whole millisecond.
fn assert_about(elapsed: Duration, expected: Duration) {
    assert!(
        elapsed >= expected && elapsed <= expected + millis(2),
        "{elapsed:?}, not {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_deadline_means_no_end() {
    let (mut stub, mut lines) = both(ServerDeadlineLayer::default());
    let year = Duration::from_secs(365 * 24 * 3600);
    let long = Number {
        value: 1.001 * year.as_secs_f64() * 1000.0,
    };
    let mut call = Box::pin(stub.square_root(long));
    assert!(
        timeout(year, &mut call).await.is_err(),
        "still pending after a year"
    );
    assert_eq!(lines.recv().await.unwrap(), "began without grpc-timeout");
    assert!(call.await.is_ok());
    assert_eq!(lines.recv().await.unwrap(), "done");
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_when_its_deadline_passes() {
    for deadline in [1, 50, 3_000, 3_599_000] {
        let (mut stub, mut lines) = both(ServerDeadlineLayer::default());
        let begin = Instant::now();
        let status = stub.square_root(within(deadline, HOUR)).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_about(begin.elapsed(), millis(deadline));
        line_with(&mut lines, "stopped").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_done_in_time_is_left_alone() {
    let (mut stub, mut lines) = both(ServerDeadlineLayer::default());
    let reply = stub
        .square_root(within(100, Number { value: 90.0 }))
        .await
        .unwrap();
    assert_eq!(reply.into_inner().value, 90.0);
    line_with(&mut lines, "done").await;
}

#[tokio::test(start_paused = true)]
async fn of_two_limits_the_smaller_one_counts() {
    let limited = ServerDeadlineLayer::default().limit(millis(100));
    for (request, expected) in [
        (within(40, HOUR), 40),
        (within(5_000, HOUR), 100),
        (Request::new(HOUR), 100),
    ] {
        let (mut stub, _lines) = both(limited);
        let begin = Instant::now();
        let status = stub.square_root(request).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_about(begin.elapsed(), millis(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn too_little_time_is_refused_at_once() {
    let picky = ServerDeadlineLayer::default().at_least(millis(50));
    for (deadline, begins) in [(49, false), (51, true)] {
        let (mut stub, mut lines) = both(picky);
        let begin = Instant::now();
        let status = stub.square_root(within(deadline, HOUR)).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(begin.elapsed().is_zero(), !begins);
        assert_eq!(lines.try_recv().is_ok(), begins);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_is_never_sent() {
    let (mut stub, mut lines) = both(ServerDeadlineLayer::default());
    let status = stub.square_root(within(0, HOUR)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(lines.try_recv().is_err(), "no handler ran");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_its_deadline_at_either_end() {
    // With the client's layer it is the client that ends it, without it the server.
    let (mut ours, _lines) = both(ServerDeadlineLayer::default());
    let (service, _lines) = service(ServerDeadlineLayer::default());
    let mut plain = CalculatorClient::new(service);
    let every_10_ms = Integer { value: 10 };
    for replies in [
        ours.factorize(within(101, every_10_ms)).await.unwrap(),
        plain.factorize(within(101, every_10_ms)).await.unwrap(),
    ] {
        let (values, end) = read_within(replies.into_inner(), millis(150)).await;
        assert!(values.len() <= 10, "{values:?}");
        assert_eq!(end.unwrap_err().code(), Code::DeadlineExceeded);
    }
}

/// As `read`, and fails when it takes longer than `limit`.
async fn read_within(
    replies: Streaming<Integer>,
    limit: Duration,
) -> (Vec<u64>, Result<(), Status>) {
    timeout(limit, super::read(replies)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn client_and_server_can_come_to_different_verdicts() {
    let (service, mut lines) = service(ServerDeadlineLayer::default());
    let slow = ServiceBuilder::new()
        .layer(ClientDeadlineLayer)
        .map_future(|answer| async {
            let answer: Result<_, Infallible> = answer.await;
            sleep(millis(100)).await;
            answer
        })
        .service(service);
    let mut stub = CalculatorClient::new(slow);
    let status = stub
        .square_root(within(150, Number { value: 90.0 }))
        .await
        .unwrap_err();
    assert_eq!(
        status.code(),
        Code::DeadlineExceeded,
        "the client's verdict"
    );
    line_with(&mut lines, "began").await;
    assert_eq!(lines.try_recv().unwrap(), "done", "the server's");
}

#[tokio::test(start_paused = true)]
async fn what_is_passed_on_is_what_is_left() {
    let deadline = Deadline::after(millis(1000)).unwrap();
    advance(millis(300)).await;
    assert_eq!(deadline.remaining(), millis(700));
    let mut onward = Request::new(());
    deadline.pass_on(&mut onward);
    let headers = onward.metadata().clone().into_headers();
    assert_eq!(read(&headers).unwrap(), Some(millis(700)));

    advance(millis(800)).await;
    assert_eq!(deadline.remaining(), Duration::ZERO);
    deadline.pass_on(&mut onward);
    let headers = onward.metadata().clone().into_headers();
    assert_eq!(read(&headers).unwrap(), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_ask_how_much_time_is_left() {
    let (asked, answer) = std::sync::mpsc::channel();
    let inner = tower::service_fn(move |request: http::Request<Body>| {
        let asked = asked.clone();
        async move {
            let deadline = Deadline::of(&Request::from_http(request)).unwrap();
            asked.send(deadline.remaining()).unwrap();
            sleep(millis(30)).await;
            asked.send(deadline.remaining()).unwrap();
            Ok::<_, Infallible>(Status::ok("").into_http())
        }
    });
    let mut stub = CalculatorClient::new(ServerDeadlineLayer::default().layer(inner));
    let _ = stub.square_root(within(100, HOUR)).await;
    assert_eq!(answer.recv().unwrap(), millis(100));
    assert!(answer.recv().unwrap() <= millis(70));
}

#[tokio::test(start_paused = true)]
async fn a_malformed_timeout_is_refused_by_both_layers() {
    for value in ["soon", "+1S", "1.5S", "123456789S"] {
        let (mut ours, mut lines) = both(ServerDeadlineLayer::default());
        let (service, mut other_lines) = service(ServerDeadlineLayer::default());
        let request = || {
            let mut request = Request::new(HOUR);
            request
                .metadata_mut()
                .insert(GRPC_TIMEOUT, value.parse().unwrap());
            request
        };
        let by_client = ours.square_root(request()).await.unwrap_err();
        let by_server = CalculatorClient::new(service)
            .square_root(request())
            .await
            .unwrap_err();
        assert_eq!(
            [by_client.code(), by_server.code()],
            [Code::Internal; 2],
            "{value}"
        );
        assert!(
            lines.try_recv().is_err() && other_lines.try_recv().is_err(),
            "no handler ran"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_counts_as_the_deadline_only_when_it_has_passed() {
    for (answered, code) in [(10, Code::Cancelled), (50, Code::DeadlineExceeded)] {
        let inner = tower::service_fn(move |_: http::Request<Body>| async move {
            sleep(millis(answered)).await;
            Ok::<_, Infallible>(Status::cancelled("Timeout expired").into_http())
        });
        let mut stub = CalculatorClient::new(ClientDeadlineLayer.layer(inner));
        let status = stub.square_root(within(50, HOUR)).await.unwrap_err();
        assert_eq!(status.code(), code, "answered after {answered} ms");
    }
}
