use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, advance};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Status, Streaming};

use super::*;
use crate::health::pb::health_server::HealthServer;
use crate::health::pb::{HealthCheckResponse, HealthListRequest};
use crate::testing::soon;

type Stub = HealthClient<HealthServer<HealthService>>;
type Answers = Streaming<HealthCheckResponse>;

/// The server without a network between: what it sends is there at once.
fn start() -> (Reporter, Stub) {
    let (reporter, service) = crate::health::server();
    (reporter, HealthClient::new(service))
}

async fn check(stub: &mut Stub, service: &str) -> Result<ServingStatus, Code> {
    let response = stub.check(asked(service)).await;
    let response = response.map_err(|status| status.code())?;
    Ok(response.into_inner().status())
}

async fn watch(stub: &mut Stub, service: &str) -> Result<Answers, Status> {
    Ok(stub.watch(asked(service)).await?.into_inner())
}

/// What comes next.
async fn next(answers: &mut Answers) -> Result<ServingStatus, Status> {
    let answer = soon(answers.message()).await?;
    Ok(answer.expect("an answer or an error").status())
}

/// Nothing comes now.
fn nothing(answers: &mut Answers) {
    let answer = answers.message().now_or_never();
    assert!(answer.is_none(), "unexpected: {answer:?}");
}

#[tokio::test]
async fn check_tells_how_a_service_does() {
    let (reporter, mut stub) = start();
    assert_eq!(check(&mut stub, "").await, Ok(Serving));
    assert_eq!(check(&mut stub, "a").await, Err(Code::NotFound));
    for status in [NotServing, Serving, Unknown] {
        reporter.set("a", status);
        assert_eq!(check(&mut stub, "a").await, Ok(status));
    }
    assert_eq!(check(&mut stub, "A").await, Err(Code::NotFound));
    reporter.set("", NotServing);
    assert_eq!(check(&mut stub, "").await, Ok(NotServing));
    assert_eq!(check(&mut stub, "a").await, Ok(Unknown));
    reporter.set("a", ServiceUnknown);
    assert_eq!(check(&mut stub, "a").await, Err(Code::NotFound));
}

#[tokio::test]
async fn list_shows_all_services_if_they_are_a_hundred_at_most() {
    let (reporter, mut stub) = start();
    reporter.set("a", NotServing);
    let list = stub.list(HealthListRequest {}).await.unwrap().into_inner();
    let status = |name| list.statuses[name].status();
    assert_eq!(
        (status(""), status("a"), list.statuses.len()),
        (Serving, NotServing, 2)
    );
    for number in 2..100 {
        reporter.set(format!("service {number}"), Serving);
    }
    let list = stub.list(HealthListRequest {}).await.unwrap().into_inner();
    assert_eq!(list.statuses.len(), 100);
    reporter.set("one too many", Serving);
    let status = stub.list(HealthListRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "there are more than 100 services");
    // One that the server has forgotten doesn't count.
    reporter.set("a", ServiceUnknown);
    assert!(stub.list(HealthListRequest {}).await.is_ok());
}

#[tokio::test]
async fn watch_tells_the_status_at_once_and_then_each_change() {
    let (reporter, mut stub) = start();
    let mut answers = watch(&mut stub, "").await.unwrap();
    assert_eq!(next(&mut answers).await.unwrap(), Serving);
    nothing(&mut answers);
    reporter.set("a", NotServing);
    reporter.set("", Serving);
    nothing(&mut answers);
    for status in [NotServing, Serving, Unknown, Serving] {
        reporter.set("", status);
        assert_eq!(next(&mut answers).await.unwrap(), status);
        nothing(&mut answers);
    }
}

#[tokio::test]
async fn watch_of_an_unknown_service_goes_on_until_it_is_known() {
    let (reporter, mut stub) = start();
    let mut answers = watch(&mut stub, "a").await.unwrap();
    assert_eq!(next(&mut answers).await.unwrap(), ServiceUnknown);
    nothing(&mut answers);
    reporter.set("a", NotServing);
    assert_eq!(next(&mut answers).await.unwrap(), NotServing);
    reporter.set("a", ServiceUnknown);
    assert_eq!(next(&mut answers).await.unwrap(), ServiceUnknown);
    reporter.set("a", Serving);
    assert_eq!(next(&mut answers).await.unwrap(), Serving);
}

#[tokio::test]
async fn a_slow_watcher_is_told_the_newest_status_and_nothing_else() {
    let (reporter, mut stub) = start();
    let mut answers = watch(&mut stub, "").await.unwrap();
    for _ in 0..1000 {
        reporter.set("", Serving);
        reporter.set("", NotServing);
    }
    assert_eq!(next(&mut answers).await.unwrap(), NotServing);
    nothing(&mut answers);
    // There and back again, unseen: nothing to tell.
    reporter.set("", Serving);
    reporter.set("", NotServing);
    nothing(&mut answers);
}

#[tokio::test]
async fn all_who_watch_a_service_are_told() {
    let (reporter, mut stub) = start();
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(watch(&mut stub, "a").await.unwrap());
    }
    assert_eq!(reporter.watched(), (1, 5));
    // The others go on being told when one has left.
    all.pop();
    reporter.set("a", Serving);
    for answers in &mut all {
        assert_eq!(next(answers).await.unwrap(), Serving);
    }
}

#[tokio::test]
async fn after_shutdown_nothing_serves_and_nothing_can_be_set_until_resume() {
    let (reporter, mut stub) = start();
    reporter.set("a", Serving);
    reporter.set("b", Unknown);
    let mut known = watch(&mut stub, "a").await.unwrap();
    let mut unknown = watch(&mut stub, "x").await.unwrap();
    assert_eq!(next(&mut known).await.unwrap(), Serving);
    assert_eq!(next(&mut unknown).await.unwrap(), ServiceUnknown);

    reporter.shutdown();
    reporter.clone().set("a", Serving);
    reporter.set("x", Serving);
    for service in ["", "a", "b"] {
        assert_eq!(check(&mut stub, service).await, Ok(NotServing));
    }
    assert_eq!(check(&mut stub, "x").await, Err(Code::NotFound));
    assert_eq!(next(&mut known).await.unwrap(), NotServing);
    nothing(&mut known);
    nothing(&mut unknown);

    reporter.resume();
    for service in ["", "a", "b"] {
        assert_eq!(check(&mut stub, service).await, Ok(Serving));
    }
    assert_eq!(next(&mut known).await.unwrap(), Serving);
    nothing(&mut unknown);
    reporter.set("a", NotServing);
    reporter.set("x", Serving);
    assert_eq!(next(&mut known).await.unwrap(), NotServing);
    assert_eq!(next(&mut unknown).await.unwrap(), Serving);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_a_while_after_shutdown_with_unavailable() {
    let (reporter, mut stub) = start();
    let mut known = watch(&mut stub, "").await.unwrap();
    let mut unknown = watch(&mut stub, "x").await.unwrap();
    assert_eq!(next(&mut known).await.unwrap(), Serving);
    assert_eq!(next(&mut unknown).await.unwrap(), ServiceUnknown);
    advance(SECOND * 3600).await;
    reporter.shutdown();
    assert_eq!(next(&mut known).await.unwrap(), NotServing);
    let told = Instant::now();
    for answers in [&mut known, &mut unknown] {
        let status = next(answers).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "the server is shutting down");
        assert!(answers.message().await.unwrap().is_none());
    }
    let grace = told.elapsed();
    assert!(
        grace >= SHUTDOWN_GRACE && grace < SHUTDOWN_GRACE + SECOND / 10,
        "{grace:?}"
    );

    // One that begins later is told, and has its own time.
    let mut late = watch(&mut stub, "").await.unwrap();
    let begin = Instant::now();
    assert_eq!(next(&mut late).await.unwrap(), NotServing);
    assert_eq!(next(&mut late).await.unwrap_err().code(), Code::Unavailable);
    assert!(begin.elapsed() >= SHUTDOWN_GRACE);
}

#[tokio::test(start_paused = true)]
async fn resume_in_time_keeps_a_watch_and_the_next_shutdown_has_its_whole_grace() {
    let (reporter, mut stub) = start();
    let mut answers = watch(&mut stub, "").await.unwrap();
    assert_eq!(next(&mut answers).await.unwrap(), Serving);
    reporter.shutdown();
    assert_eq!(next(&mut answers).await.unwrap(), NotServing);
    nothing(&mut answers);
    advance(SHUTDOWN_GRACE - SECOND).await;
    reporter.resume();
    assert_eq!(next(&mut answers).await.unwrap(), Serving);
    nothing(&mut answers);
    advance(SHUTDOWN_GRACE).await;
    nothing(&mut answers);
    reporter.shutdown();
    assert_eq!(next(&mut answers).await.unwrap(), NotServing);
    nothing(&mut answers);
    advance(SHUTDOWN_GRACE - SECOND).await;
    nothing(&mut answers);
    advance(SECOND * 2).await;
    let status = next(&mut answers).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn close_ends_each_watch_at_once_and_refuses_new_ones() {
    let (reporter, mut stub) = start();
    let mut known = watch(&mut stub, "").await.unwrap();
    let mut unknown = watch(&mut stub, "x").await.unwrap();
    assert_eq!(next(&mut known).await.unwrap(), Serving);
    assert_eq!(next(&mut unknown).await.unwrap(), ServiceUnknown);
    reporter.shutdown();
    reporter.close();
    assert_eq!(next(&mut known).await.unwrap(), NotServing);
    for answers in [&mut known, &mut unknown] {
        let end = answers.message().now_or_never().expect("the end at once");
        assert_eq!(end.unwrap_err().code(), Code::Unavailable);
    }
    let refused = watch(&mut stub, "").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(check(&mut stub, "").await, Ok(NotServing));
    reporter.set("", Serving);
    assert_eq!(check(&mut stub, "").await, Ok(NotServing));
    assert_eq!(reporter.watched(), (0, 0));

    reporter.resume();
    let mut answers = watch(&mut stub, "").await.unwrap();
    assert_eq!(next(&mut answers).await.unwrap(), Serving);
}

/// A server that waits for its calls to end, and a Watch that is open.
async fn drain(stop: impl FnOnce(&Reporter)) {
    let (reporter, service) = crate::health::server();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (drain, begin) = oneshot::channel();
    let server = Server::builder()
        .add_service(service)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), begin.map(drop));
    let server = tokio::spawn(server);
    let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
    let mut stub = HealthClient::new(channel);
    let mut answers = stub.watch(asked("")).await.unwrap().into_inner();
    assert_eq!(next(&mut answers).await.unwrap(), Serving);

    stop(&reporter);
    drain.send(()).unwrap();
    assert_eq!(next(&mut answers).await.unwrap(), NotServing);
    tokio::time::pause();
    let status = next(&mut answers).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    tokio::time::resume();
    soon(server).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_open_watch_does_not_hold_up_a_drain() {
    drain(Reporter::close).await;
}

#[tokio::test]
async fn nor_does_it_if_nobody_calls_close() {
    drain(Reporter::shutdown).await;
}

#[tokio::test]
async fn ten_thousand_who_watch_endless_names_are_the_most() {
    let (reporter, mut stub) = start();
    let mut all = Vec::new();
    for number in 0..MAX_WATCHERS {
        all.push(
            watch(&mut stub, &format!("service {number}"))
                .await
                .unwrap(),
        );
    }
    assert_eq!(reporter.watched(), (10_000, 10_000));
    let refused = watch(&mut stub, "").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.message(), "too many calls of Watch");
    assert_eq!(reporter.watched(), (10_000, 10_000));
    // Everybody else is served.
    assert_eq!(check(&mut stub, "").await, Ok(Serving));
    reporter.set("service 7", Serving);
    assert_eq!(next(&mut all[7]).await.unwrap(), Serving);

    // What one leaves is another's.
    all.pop();
    let mut answers = watch(&mut stub, "").await.unwrap();
    assert_eq!(next(&mut answers).await.unwrap(), Serving);
    drop((all, answers));
    assert_eq!(reporter.watched(), (0, 0));
}

#[tokio::test]
async fn the_number_of_watchers_can_be_set() {
    let (reporter, mut stub) = start();
    reporter.max_watchers(1);
    let first = watch(&mut stub, "").await.unwrap();
    let refused = watch(&mut stub, "").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    drop(first);
    assert!(watch(&mut stub, "").await.is_ok());
}

#[tokio::test]
async fn a_name_that_is_kept_for_a_stranger_is_short() {
    let (reporter, mut stub) = start();
    let longest = "x".repeat(1024);
    assert!(watch(&mut stub, &longest).await.is_ok());
    let longer = longest + "x";
    let refused = watch(&mut stub, &longer).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(check(&mut stub, &longer).await, Err(Code::NotFound));
    // The program's own may be longer.
    reporter.set(&*longer, Serving);
    assert!(watch(&mut stub, &longer).await.is_ok());
    // No request is read to its end that is much longer.
    let endless = "x".repeat(100 * 1024);
    assert_eq!(check(&mut stub, &endless).await, Err(Code::OutOfRange));
    let request = "x".repeat(63 * 1024);
    assert_eq!(check(&mut stub, &request).await, Err(Code::NotFound));
}

#[tokio::test]
async fn debug_shows_nothing_that_needs_a_lock() {
    let (reporter, _stub) = start();
    assert_eq!(
        format!("{reporter:?}"),
        "Reporter { shared: Shared { .. } }"
    );
}
