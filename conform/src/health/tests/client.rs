use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures::stream::{self, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, advance, sleep, timeout};
use tonic::body::Body;
use tonic::codegen::BoxStream;
use tonic::codegen::http::Response;
use tonic::{Request, Status};

use super::*;
use crate::health::pb::health_server::HealthServer;
use crate::health::pb::{
    HealthCheckResponse, HealthListRequest, HealthListResponse, health_server,
};
use crate::testing::{channel, framed, soon};

/// What one call of Watch brings.
type Call = Result<BoxStream<HealthCheckResponse>, Status>;

/// A backend whose calls of Watch bring what was written down, and then never anything.
#[derive(Clone, Default)]
struct Scripted {
    calls: Arc<Mutex<VecDeque<Call>>>,
    /// When each call came.
    begun: Arc<Mutex<Vec<Instant>>>,
}

#[tonic::async_trait]
impl health_server::Health for Scripted {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        panic!("nobody checks")
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<tonic::Response<HealthListResponse>, Status> {
        panic!("nobody lists")
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        assert_eq!(request.get_ref().service, "a");
        self.begun.lock().unwrap().push(Instant::now());
        let call = self.calls.lock().unwrap().pop_front();
        let never = || Ok(stream::pending().boxed() as BoxStream<_>);
        call.unwrap_or_else(never).map(tonic::Response::new)
    }
}

impl Scripted {
    fn new(calls: impl IntoIterator<Item = Call>) -> Self {
        let scripted = Self::default();
        scripted.calls.lock().unwrap().extend(calls);
        scripted
    }

    fn watched(&self) -> HealthWatch {
        HealthWatch::new(HealthServer::new(self.clone()), "a")
    }

    fn begun(&self) -> Vec<Instant> {
        self.begun.lock().unwrap().clone()
    }

    /// The time from the beginning of each call to that of the next.
    fn waits(&self) -> Vec<Duration> {
        let begun = self.begun();
        begun.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

fn answer(status: i32) -> Result<HealthCheckResponse, Status> {
    Ok(HealthCheckResponse { status })
}

/// A call that brings these, and ends with OK.
fn ends(statuses: &'static [ServingStatus]) -> Call {
    let answers = statuses.iter().map(|status| answer((*status).into()));
    Ok(stream::iter(answers).boxed())
}

/// A call that brings what is sent, until the sender is dropped.
fn told() -> (mpsc::UnboundedSender<i32>, Call) {
    let (sender, statuses) = mpsc::unbounded_channel();
    let answers = stream::unfold(statuses, async |mut statuses| {
        let status = statuses.recv().await?;
        Some((answer(status), statuses))
    });
    (sender, Ok(answers.boxed()))
}

fn fails() -> Call {
    Err(Status::unavailable("a bad day"))
}

fn ill(reason: &str) -> Health {
    Health::NotServing(reason.into())
}

async fn becomes(states: &mut watch::Receiver<Health>, expected: Health) {
    let reached = soon(states.wait_for(|health| *health == expected)).await;
    reached.unwrap_or_else(|_| panic!("nobody watches"));
}

/// Whether `wait` is `seconds`, give or take a fifth and the timer's millisecond.
fn is_about(wait: Duration, seconds: f64) -> bool {
    (0.8 * seconds..=1.2 * seconds + 0.002).contains(&wait.as_secs_f64())
}

#[tokio::test(start_paused = true)]
async fn a_backend_is_healthy_once_it_says_serving_and_ill_when_it_says_anything_else() {
    let (sender, call) = told();
    let watch = Scripted::new([call]).watched();
    let mut states = watch.subscribe();
    sleep(SECOND).await;
    assert_eq!(watch.get(), Health::Connecting);
    assert!(!watch.get().is_healthy());
    for (status, reason) in [
        (NotServing.into(), "NOT_SERVING"),
        (Unknown.into(), "UNKNOWN"),
        (ServiceUnknown.into(), "SERVICE_UNKNOWN"),
        (17, "status 17"),
    ] {
        sender.send(Serving.into()).unwrap();
        becomes(&mut states, Health::Serving).await;
        assert!(watch.get().is_healthy());
        sender.send(status).unwrap();
        becomes(&mut states, ill(reason)).await;
        assert!(!watch.get().is_healthy());
    }
    // What was told lately needs no news.
    states.mark_unchanged();
    sender.send(17).unwrap();
    sleep(SECOND).await;
    assert!(!states.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_backend_without_the_service_counts_as_healthy_and_is_not_asked_again() {
    let backend = Scripted::new([Err(Status::unimplemented(""))]);
    let watch = backend.watched();
    becomes(&mut watch.subscribe(), Health::Unchecked).await;
    assert!(watch.get().is_healthy());
    sleep(SECOND * 3600).await;
    assert_eq!(watch.get(), Health::Unchecked);
    assert_eq!(backend.begun().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn waits_between_attempts_grow_up_to_two_minutes() {
    let backend = Scripted::new((0..20).map(|_| fails()));
    let watch = backend.watched();
    let mut states = watch.subscribe();
    becomes(&mut states, ill("Unavailable: a bad day")).await;
    sleep(SECOND * 3600).await;
    let waits = &backend.waits()[..20];
    let mut expected = 1.0;
    for wait in waits {
        assert!(is_about(*wait, expected), "{waits:?}");
        expected = f64::min(expected * 1.6, 120.0);
    }
    assert_eq!(expected, 120.0);
    // The last ones would be the same without jitter.
    let (shortest, longest) = (waits[12..].iter().min(), waits[12..].iter().max());
    assert!(*longest.unwrap() - *shortest.unwrap() > SECOND, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn clients_that_fail_together_do_not_come_back_together() {
    let backends: Vec<_> = (0..100).map(|_| Scripted::new([fails()])).collect();
    let _watches: Vec<_> = backends.iter().map(Scripted::watched).collect();
    sleep(SECOND * 2).await;
    let waits: Vec<_> = backends.iter().map(|backend| backend.waits()[0]).collect();
    assert!(waits.iter().all(|wait| is_about(*wait, 1.0)), "{waits:?}");
    for part in [0.8..0.95, 0.95..1.05, 1.05..1.21] {
        let there = waits
            .iter()
            .filter(|wait| part.contains(&wait.as_secs_f64()));
        assert!(there.count() > 5, "{part:?}: {waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_resets_the_backoff() {
    let calls = [
        fails(),
        fails(),
        fails(),
        ends(&[Serving]),
        fails(),
        fails(),
    ];
    let backend = Scripted::new(calls);
    let _watch = backend.watched();
    sleep(SECOND * 60).await;
    let waits = &backend.waits()[..6];
    // What follows the answer begins at once; what follows that is the first failure again.
    let expected = [1.0, 1.6, 2.56, 0.0, 1.0, 1.6];
    for (wait, expected) in waits.iter().zip(expected) {
        assert!(is_about(*wait, expected), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_after_each_answer_is_begun_once_a_second() {
    let backend = Scripted::new((0..100).map(|_| ends(&[Serving, NotServing])));
    let watch = backend.watched();
    sleep(SECOND * 20).await;
    let waits = backend.waits();
    assert!(is_about(waits[0], 0.0), "{waits:?}");
    assert!((16..=26).contains(&waits.len()), "{waits:?}");
    assert!(
        waits[1..].iter().all(|wait| is_about(*wait, 1.0)),
        "{waits:?}"
    );
    assert_eq!(watch.get(), ill("Watch has ended"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_lasted_is_begun_again_at_once_each_time() {
    let calls = (0..5).map(|_| {
        let answers = stream::once(async { answer(Serving.into()) });
        let end = stream::once(async {
            sleep(SECOND * 10).await;
            Err(Status::unknown("transport error"))
        });
        Ok(answers.chain(end).boxed() as BoxStream<_>)
    });
    let backend = Scripted::new(calls);
    let watch = backend.watched();
    sleep(SECOND * 45).await;
    let waits = backend.waits();
    assert!(
        waits.iter().all(|wait| *wait < SECOND * 10 + SECOND / 100),
        "{waits:?}"
    );
    assert_eq!(waits.len(), 4);
    assert_eq!(watch.get(), Health::Serving);
    sleep(SECOND * 10).await;
    assert_eq!(watch.get(), ill("Unknown: transport error"));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_ill_stays_so_while_it_is_asked_again() {
    let backend = Scripted::new([ends(&[NotServing])]);
    let watch = backend.watched();
    let mut states = watch.subscribe();
    sleep(SECOND * 10).await;
    assert_eq!(backend.begun().len(), 2);
    assert_eq!(*states.borrow_and_update(), ill("Watch has ended"));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_never_answers_is_ill_after_twenty_seconds() {
    let backend = Scripted::default();
    let watch = backend.watched();
    sleep(FIRST_ANSWER_TIMEOUT - SECOND).await;
    assert_eq!(watch.get(), Health::Connecting);
    sleep(SECOND * 2).await;
    assert_eq!(watch.get(), ill("DeadlineExceeded: no answer to Watch"));
    // The time of the attempt counts towards the wait: the next one begins at once.
    let waits = backend.waits();
    assert_eq!(waits.len(), 1);
    assert!(is_about(waits[0], 20.0), "{waits:?}");
    assert!(waits[0] < SECOND * 20 + SECOND / 10, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn silence_after_an_answer_is_no_news() {
    let (sender, call) = told();
    let backend = Scripted::new([call]);
    let watch = backend.watched();
    sender.send(Serving.into()).unwrap();
    becomes(&mut watch.subscribe(), Health::Serving).await;
    advance(SECOND * 86_400).await;
    assert_eq!(watch.get(), Health::Serving);
    assert_eq!(backend.begun().len(), 1);
}

#[tokio::test]
async fn nobody_is_asked_once_the_last_clone_is_gone() {
    let (sender, call) = told();
    let watch = Scripted::new([call]).watched();
    sender.send(Serving.into()).unwrap();
    let mut states = watch.subscribe();
    becomes(&mut states, Health::Serving).await;
    let clone = watch.clone();
    drop(watch);
    sender.send(NotServing.into()).unwrap();
    becomes(&mut states, ill("NOT_SERVING")).await;
    drop(clone);
    soon(sender.closed()).await;
    assert!(states.changed().await.is_err());
}

/// A17, *Call Credentials*: those of the channel are sent with Watch too.
#[tokio::test]
async fn what_the_channel_adds_to_each_call_is_added_to_watch() {
    let (sender, headers) = mpsc::unbounded_channel();
    let service = channel(move |request| {
        let header = request.headers().get("authorization").cloned();
        sender.send(header).unwrap();
        Err::<Response<Body>, _>(Status::unavailable("no"))
    });
    let sign_in = |mut request: Request<()>| {
        let token = "Bearer token-of-ann".parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        Ok(request)
    };
    let channel = tonic::service::interceptor::InterceptedService::new(service, sign_in);
    let _watch = HealthWatch::new(channel, "a");
    let mut headers = headers;
    let header = soon(headers.recv()).await.unwrap().unwrap();
    assert_eq!(header, "Bearer token-of-ann");
}

#[tokio::test]
async fn endless_answers_do_not_keep_others_from_their_turn() {
    let endless = stream::repeat_with(|| answer(Serving.into()));
    let watch = Scripted::new([Ok(endless.boxed() as BoxStream<_>)]).watched();
    becomes(&mut watch.subscribe(), Health::Serving).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// A backend that answers with these headers and nothing else.
fn refuses(headers: &'static [(&'static str, &'static str)]) -> HealthWatch {
    let service = channel(move |_| {
        let mut response = Response::new(Body::empty());
        for (name, value) in headers {
            let value = value.parse().unwrap();
            response.headers_mut().insert(*name, value);
        }
        Ok::<_, Status>(response)
    });
    HealthWatch::new(service, "a")
}

#[tokio::test]
async fn malformed_details_of_an_error_do_no_harm() {
    let watch = refuses(&[
        ("content-type", "application/grpc"),
        ("grpc-status", "14"),
        ("grpc-message", "no"),
        ("grpc-status-details-bin", "!"),
    ]);
    becomes(&mut watch.subscribe(), ill("Unavailable: no")).await;
}

#[tokio::test]
async fn what_a_backend_says_is_one_short_line() {
    let text = format!("one\ntwo\x1b[2J{}", "x".repeat(1000));
    let watch = Scripted::new([Err(Status::internal(text))]).watched();
    let mut states = watch.subscribe();
    let state = soon(states.wait_for(|health| *health != Health::Connecting)).await;
    let reason = state.unwrap().to_string();
    assert!(reason.starts_with("Internal: one two [2Jxxx"), "{reason}");
    assert_eq!(reason.chars().count(), 200);
}

#[tokio::test]
async fn an_answer_that_is_much_too_large_is_not_read() {
    let watch = |size: usize| {
        let body = framed(&vec![0; size]);
        let service = channel(move |_| {
            let body = http_body_util::Full::new(body.clone());
            let mut response = Response::new(Body::new(body));
            let grpc = "application/grpc".parse().unwrap();
            response.headers_mut().insert("content-type", grpc);
            Ok::<_, Status>(response)
        });
        HealthWatch::new(service, "a")
    };
    for (size, code) in [(4000, "Internal: "), (5000, "OutOfRange: ")] {
        let watch = watch(size);
        let mut states = watch.subscribe();
        let state = soon(states.wait_for(|health| *health != Health::Connecting)).await;
        let reason = state.unwrap().to_string();
        assert!(reason.starts_with(code), "{reason}");
    }
}

#[tokio::test]
async fn a_backend_that_cannot_be_reached_says_why() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let watch = HealthWatch::new(crate::testing::endpoint(address).connect_lazy(), "a");
    let mut states = watch.subscribe();
    let state = soon(states.wait_for(|health| *health != Health::Connecting)).await;
    let reason = state.unwrap().to_string().to_lowercase();
    assert!(
        reason.starts_with("unavailable: ") && reason.contains("refused"),
        "{reason}"
    );
}

#[test]
fn health_is_shown_in_the_words_of_the_protocol() {
    let shown = [
        Health::Connecting,
        Health::Serving,
        Health::Unchecked,
        ill("NOT_SERVING"),
    ];
    let shown = shown.map(|health| health.to_string());
    let expected = ["CONNECTING", "SERVING", "SERVING, unchecked", "NOT_SERVING"];
    assert_eq!(shown, expected);
    assert_eq!(format!("{:>10}", Health::Serving), "   SERVING");
}

#[tokio::test(start_paused = true)]
async fn a_watch_can_wait_for_ever() {
    let (_sender, call) = told();
    let watch = Scripted::new([call]).watched();
    let mut states = watch.subscribe();
    let wait = timeout(SECOND * 10, states.changed()).await;
    assert!(wait.is_err(), "{:?}", watch.get());
}
