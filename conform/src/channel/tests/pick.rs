//! What a call does with what a picker says.

use futures::future::Either;
use tokio::sync::{mpsc, watch};
use tonic::body::Body;
use tower::ServiceExt;

use super::super::end::Ending;
use super::super::pick::Picks;
use super::super::shared::Shared;
use super::super::subchannel::Task;
use super::super::watch::Watchers;
use super::*;
use crate::balance::{CallEnd, Connection, Picked, Subchannel};

struct Fixture {
    published: watch::Sender<Published>,
    wanted: Arc<tokio::sync::Notify>,
    picks: Picks,
}

fn published(state: State, picker: impl Picker) -> Published {
    Published::new(state, Arc::new(picker))
}

impl Fixture {
    fn new(first: Published) -> Self {
        let (published, reader) = watch::channel(first);
        let wanted = Arc::new(tokio::sync::Notify::new());
        let settings = watch::channel(None).1;
        let shared = Shared {
            published: reader,
            settings,
            wanted: wanted.clone(),
            watchers: Watchers::none(),
            _task: Task::spawn(async {}),
        };
        Self {
            published,
            wanted,
            picks: Picks::new(Arc::new(shared)),
        }
    }

    fn says(&self, state: State, picker: impl Picker) {
        self.published.send_replace(published(state, picker));
    }
}

/// A subchannel that is connected to `server`.
fn connected(server: &Served) -> Subchannel {
    let subchannel = Subchannel::new(1, Address::Tcp(server.address), |shared| {
        shared.connected(Connection::open(1, server.channel()));
    });
    assert!(subchannel.connection().is_some());
    subchannel
}

fn request(wait_for_ready: bool) -> Request<Body> {
    let mut request = Request::post("http://test/test.Test/Call")
        .body(Body::default())
        .unwrap();
    request
        .extensions_mut()
        .insert(WaitForReady(wait_for_ready));
    request
}

async fn status_of(picks: Picks, wait_for_ready: bool) -> Status {
    let error = soon(picks.oneshot(request(wait_for_ready)))
        .await
        .unwrap_err();
    *error.downcast().unwrap()
}

#[tokio::test]
async fn a_call_waits_for_the_next_picker_when_it_is_told_to_wait() {
    let it = Fixture::new(published(State::Connecting, |_: &Call<'_>| Pick::Wait));
    let mut call = Box::pin(it.picks.clone().oneshot(request(false)));
    assert!(futures::poll!(&mut call).is_pending());
    it.says(State::Connecting, |_: &Call<'_>| Pick::Wait);
    assert!(futures::poll!(&mut call).is_pending());
    it.says(State::TransientFailure, |_: &Call<'_>| {
        Pick::Fail(Status::unavailable("nobody"))
    });
    let error = soon(call).await.unwrap_err();
    assert_eq!(error.downcast_ref::<Status>().unwrap().message(), "nobody");
}

/// wait-for-ready.md: a call that waits for ready isn't failed by TRANSIENT_FAILURE.
#[tokio::test]
async fn a_call_that_waits_for_ready_waits_where_others_fail() {
    let server = named("one").await;
    let it = Fixture::new(published(State::TransientFailure, |_: &Call<'_>| {
        Pick::Fail(Status::unavailable("nobody"))
    }));
    assert_eq!(status_of(it.picks.clone(), false).await.message(), "nobody");
    let mut waiting = Box::pin(it.picks.clone().oneshot(request(true)));
    assert!(futures::poll!(&mut waiting).is_pending());
    let subchannel = connected(&server);
    it.says(State::Ready, move |_: &Call<'_>| {
        Pick::from(subchannel.clone())
    });
    assert!(soon(waiting).await.is_ok());
}

#[tokio::test]
async fn a_call_that_is_dropped_does_not_wait() {
    let it = Fixture::new(published(State::Ready, |_: &Call<'_>| {
        Pick::Drop(Status::unavailable("not you"))
    }));
    for wait_for_ready in [false, true] {
        let status = status_of(it.picks.clone(), wait_for_ready).await;
        assert_eq!(status.message(), "not you");
    }
}

#[tokio::test]
async fn a_picker_that_panics_ends_one_call() {
    let server = named("one").await;
    let subchannel = connected(&server);
    let it = Fixture::new(published(State::Ready, move |call: &Call<'_>| {
        assert!(!call.headers.contains_key("bomb"), "boom");
        Pick::from(subchannel.clone())
    }));
    let mut bomb = request(false);
    bomb.headers_mut().insert("bomb", "1".parse().unwrap());
    let error = soon(it.picks.clone().oneshot(bomb)).await.unwrap_err();
    assert_eq!(
        error.downcast_ref::<Status>().unwrap().code(),
        Code::Internal
    );
    assert!(soon(it.picks.clone().oneshot(request(false))).await.is_ok());
}

#[tokio::test]
async fn a_picker_knows_the_method_and_the_headers() {
    let it = Fixture::new(published(State::Ready, |call: &Call<'_>| {
        Pick::Drop(Status::unavailable(format!(
            "{} {:?}",
            call.path, call.headers["who"]
        )))
    }));
    let mut request = request(false);
    request.headers_mut().insert("who", "Ann".parse().unwrap());
    let error = soon(it.picks.clone().oneshot(request)).await.unwrap_err();
    let status: &Status = error.downcast_ref().unwrap();
    assert_eq!(status.message(), "/test.Test/Call \"Ann\"");
}

#[tokio::test]
async fn a_call_waits_if_its_connection_was_lost_since() {
    let server = named("one").await;
    let subchannel = connected(&server);
    subchannel.lose(1);
    let it = Fixture::new(published(State::Ready, {
        let subchannel = subchannel.clone();
        move |_: &Call<'_>| subchannel.clone().into()
    }));
    let mut call = Box::pin(it.picks.clone().oneshot(request(false)));
    assert!(futures::poll!(&mut call).is_pending());
    let other = connected(&server);
    it.says(State::Ready, move |_: &Call<'_>| Pick::from(other.clone()));
    assert!(soon(call).await.is_ok());
}

#[tokio::test]
async fn a_call_on_an_idle_channel_wants_a_connection() {
    let it = Fixture::new(published(State::Idle, |_: &Call<'_>| Pick::Wait));
    let call = Box::pin(it.picks.clone().oneshot(request(false)));
    let wanted = it.wanted.notified();
    let first = soon(futures::future::select(call, Box::pin(wanted))).await;
    assert!(matches!(first, Either::Right(_)));
}

#[tokio::test]
async fn a_call_ends_with_its_channel() {
    let it = Fixture::new(published(State::Connecting, |_: &Call<'_>| Pick::Wait));
    let call = it.picks.clone().oneshot(request(true));
    drop(it.published);
    let error = soon(call).await.unwrap_err();
    assert_eq!(
        error.downcast_ref::<Status>().unwrap().code(),
        Code::Unavailable
    );
}

/// The code, and whether there were trailers.
type End = (Option<Code>, bool);

/// A picker's tale of how its call ended.
fn telling(subchannel: Subchannel) -> (impl Picker, mpsc::UnboundedReceiver<End>) {
    let (sender, ends) = mpsc::unbounded_channel();
    let pick = move |_: &Call<'_>| {
        let sender = sender.clone();
        Pick::Use(
            Picked::new(subchannel.clone()).on_end(move |end: &CallEnd<'_>| {
                sender.send((end.code, end.trailers.is_some())).unwrap();
            }),
        )
    };
    (pick, ends)
}

#[tokio::test]
async fn a_picker_is_told_once_how_its_call_has_ended() {
    let well = serve(Identity::new(), replies(&[Ok(b"a"), Ok(b"b")])).await;
    let fails = serve(Identity::new(), replies(&[Err(Code::NotFound)])).await;
    let later = serve(Identity::new(), replies(&[Ok(b"a"), Err(Code::Aborted)])).await;
    for (server, expected) in [
        (&well, (Some(Code::Ok), true)),
        (&fails, (Some(Code::NotFound), true)),
        (&later, (Some(Code::Aborted), true)),
    ] {
        let (pick, mut ends) = telling(connected(server));
        let it = Fixture::new(published(State::Ready, pick));
        let response = soon(it.picks.clone().oneshot(request(false)))
            .await
            .unwrap();
        let has_messages = response.headers().get("grpc-status").is_none();
        if has_messages {
            assert!(ends.try_recv().is_err(), "a stream ends at its end");
        }
        let _ = soon(http_body_util::BodyExt::collect(response.into_body())).await;
        assert_eq!(ends.try_recv().unwrap(), expected);
        assert!(ends.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_picker_is_told_of_calls_that_are_broken_off_or_never_begin() {
    let well = serve(Identity::new(), replies(&[Ok(b"a"), Ok(b"b")])).await;
    let (pick, mut ends) = telling(connected(&well));
    let it = Fixture::new(published(State::Ready, pick));
    let response = soon(it.picks.clone().oneshot(request(false)))
        .await
        .unwrap();
    drop(response);
    assert_eq!(ends.try_recv().unwrap(), (None, false));
    drop(it.picks.clone().oneshot(request(false)));
    assert!(ends.try_recv().is_err(), "nothing was picked");

    let closes = peer(|stream| async move { drop(stream) }).await;
    let (pick, mut ends) = telling(connected(&closes));
    let it = Fixture::new(published(State::Ready, pick));
    soon(it.picks.clone().oneshot(request(false)))
        .await
        .unwrap_err();
    assert_eq!(ends.try_recv().unwrap(), (Some(Code::Unavailable), false));
}

#[test]
fn a_response_is_as_long_as_the_servers() {
    let full = http_body_util::Full::new(Bytes::from_static(b"reply"));
    for (body, length) in [(Body::new(full), 5), (Body::empty(), 0)] {
        let response = Ending::default().watch(tonic::codegen::http::Response::new(body), None);
        let body = response.into_body();
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(length));
        assert_eq!(http_body::Body::is_end_stream(&body), length == 0);
    }
}

#[test]
fn whom_a_call_tells_is_not_shown() {
    assert_eq!(format!("{:?}", Ending::default()), "Ending { .. }");
}

/// For calls of a policy's own.
#[tokio::test]
async fn a_policy_can_make_calls_over_its_subchannel() {
    let server = named("one").await;
    let subchannel = connected(&server);
    let own = subchannel.channel().unwrap();
    let reply = call(own, "how do you do?").await.unwrap();
    assert_eq!(reply.into_inner(), "one");
    subchannel.lose(1);
    assert!(subchannel.channel().is_none());
}
