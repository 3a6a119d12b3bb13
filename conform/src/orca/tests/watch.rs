//! gRFC A51, "Out of Band Metrics Reporting", "The LB Policy API".

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures::stream::{self, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tonic::body::Body;
use tonic::codegen::BoxStream;
use tonic::codegen::http::Response;
use tonic::{Request, Status};

use super::*;
use crate::orca::pb::OrcaLoadReportRequest;
use crate::orca::pb::open_rca_service_server::{OpenRcaService, OpenRcaServiceServer};
use crate::testing::{channel, framed, soon};

/// What one stream brings.
type Call = Result<BoxStream<OrcaLoadReport>, Status>;

/// A backend whose streams bring what was written down, and then never anything.
#[derive(Clone, Default)]
struct Scripted {
    calls: Arc<Mutex<VecDeque<Call>>>,
    /// When each call came, and what it asked for.
    begun: Arc<Mutex<Vec<(Instant, OrcaLoadReportRequest)>>>,
}

#[tonic::async_trait]
impl OpenRcaService for Scripted {
    type StreamCoreMetricsStream = BoxStream<OrcaLoadReport>;

    async fn stream_core_metrics(
        &self,
        request: Request<OrcaLoadReportRequest>,
    ) -> Result<tonic::Response<Self::StreamCoreMetricsStream>, Status> {
        let request = request.into_inner();
        self.begun.lock().unwrap().push((Instant::now(), request));
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

    fn watched(&self) -> LoadWatch {
        LoadWatch::new(OpenRcaServiceServer::new(self.clone()), SECOND * 30)
    }

    /// The intervals that were asked for.
    fn asked(&self) -> Vec<prost_types::Duration> {
        let begun = self.begun.lock().unwrap();
        let asked = begun.iter().map(|(_, request)| request.report_interval);
        asked.map(Option::unwrap).collect()
    }

    /// The time from the beginning of each call to that of the next.
    fn waits(&self) -> Vec<Duration> {
        let begun = self.begun.lock().unwrap();
        begun.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
    }
}

fn report(qps: f64) -> OrcaLoadReport {
    OrcaLoadReport {
        rps_fractional: qps,
        ..Default::default()
    }
}

fn reported(qps: f64) -> Load {
    Load::Reported(Arc::new(report(qps)))
}

/// A call that brings one report, and ends with OK.
fn ends() -> Call {
    Ok(stream::iter([Ok(report(1.0))]).boxed())
}

fn fails() -> Call {
    Err(Status::unavailable("a bad day"))
}

/// A call that brings what is sent, until the sender is dropped.
fn told() -> (mpsc::UnboundedSender<f64>, Call) {
    let (sender, numbers) = mpsc::unbounded_channel();
    let reports = stream::unfold(numbers, async |mut numbers| {
        let number = numbers.recv().await?;
        Some((Ok(report(number)), numbers))
    });
    (sender, Ok(reports.boxed()))
}

async fn becomes(loads: &mut watch::Receiver<Load>, expected: Load) {
    let reached = soon(loads.wait_for(|load| *load == expected)).await;
    reached.unwrap_or_else(|_| panic!("it has ended"));
}

/// Whether `wait` is `seconds`, give or take a fifth and the timer's millisecond.
fn is_about(wait: Duration, seconds: f64) -> bool {
    (0.8 * seconds..=1.2 * seconds + 0.002).contains(&wait.as_secs_f64())
}

#[tokio::test(start_paused = true)]
async fn each_report_is_told_and_is_news_even_if_it_is_the_same() {
    let (sender, call) = told();
    let watch = Scripted::new([call]).watched();
    let mut loads = watch.subscribe();
    sleep(SECOND).await;
    assert_eq!(watch.get(), Load::Waiting);
    for qps in [1.0, 2.0, 2.0, 2.0] {
        sender.send(qps).unwrap();
        soon(loads.changed()).await.unwrap();
        assert_eq!(*loads.borrow_and_update(), reported(qps));
    }
    assert_eq!(watch.get(), reported(2.0));
}

#[tokio::test(start_paused = true)]
async fn the_interval_is_asked_for() {
    for (interval, seconds, nanos) in [
        (Duration::ZERO, 0, 0),
        (Duration::from_millis(1500), 1, 500_000_000),
        (Duration::MAX, 315_576_000_000, 0),
    ] {
        let backend = Scripted::default();
        let _watch = LoadWatch::new(OpenRcaServiceServer::new(backend.clone()), interval);
        sleep(SECOND).await;
        assert_eq!(backend.asked(), [prost_types::Duration { seconds, nanos }]);
    }
}

// "if the client needs to change its requested interval, it will need to cancel and restart the call"
#[tokio::test(start_paused = true)]
async fn another_interval_begins_another_stream() {
    let (sender, call) = told();
    let (_keep, second) = told();
    let backend = Scripted::new([call, second]);
    let watch = backend.watched();
    sender.send(1.0).unwrap();
    becomes(&mut watch.subscribe(), reported(1.0)).await;
    // The same interval is no change.
    watch.set_interval(SECOND * 30);
    sleep(SECOND).await;
    assert_eq!(backend.asked().len(), 1);
    watch.clone().set_interval(SECOND * 10);
    soon(sender.closed()).await;
    sleep(Duration::from_millis(1)).await;
    let seconds: Vec<_> = backend.asked().iter().map(|asked| asked.seconds).collect();
    assert_eq!(seconds, [30, 10]);
    // What is known stays so.
    assert_eq!(watch.get(), reported(1.0));
}

// "If the `StreamCoreMetrics` call fails with status `UNIMPLEMENTED`, the client will not retry"
#[tokio::test(start_paused = true)]
async fn a_backend_without_the_service_is_not_asked_again() {
    let backend = Scripted::new([Err(Status::unimplemented(""))]);
    let watch = backend.watched();
    let mut loads = watch.subscribe();
    becomes(&mut loads, Load::Unimplemented).await;
    watch.set_interval(SECOND);
    sleep(SECOND * 3600).await;
    assert_eq!(watch.get(), Load::Unimplemented);
    assert_eq!(backend.asked().len(), 1);
    assert!(soon(loads.changed()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn unimplemented_after_a_report_ends_it_too() {
    let end = stream::iter([Ok(report(1.0)), Err(Status::unimplemented(""))]);
    let backend = Scripted::new([Ok(end.boxed() as BoxStream<_>)]);
    let watch = backend.watched();
    becomes(&mut watch.subscribe(), Load::Unimplemented).await;
    sleep(SECOND * 3600).await;
    assert_eq!(backend.asked().len(), 1);
}

// "the client will use exponential backoff between attempts"
#[tokio::test(start_paused = true)]
async fn waits_between_attempts_grow_up_to_two_minutes() {
    let backend = Scripted::new((0..20).map(|_| fails()));
    let watch = backend.watched();
    let broken = Load::Broken("Unavailable: a bad day".into());
    becomes(&mut watch.subscribe(), broken).await;
    sleep(SECOND * 3600).await;
    let waits = &backend.waits()[..20];
    let mut expected = 1.0;
    for wait in waits {
        assert!(is_about(*wait, expected), "{waits:?}");
        expected = f64::min(expected * 1.6, 120.0);
    }
    assert_eq!(expected, 120.0);
}

// "When the client receives a message from the server on a given call, the backoff state is reset, so
// the next attempt will occur immediately"
#[tokio::test(start_paused = true)]
async fn a_report_resets_the_backoff() {
    let calls = [fails(), fails(), fails(), ends(), fails(), fails()];
    let backend = Scripted::new(calls);
    let _watch = backend.watched();
    sleep(SECOND * 60).await;
    let waits = &backend.waits()[..6];
    for (wait, expected) in waits.iter().zip([1.0, 1.6, 2.56, 0.0, 1.0, 1.6]) {
        assert!(is_about(*wait, expected), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_after_each_report_is_begun_once_a_second() {
    let backend = Scripted::new((0..100).map(|_| ends()));
    let watch = backend.watched();
    sleep(SECOND * 20).await;
    let waits = backend.waits();
    assert!(is_about(waits[0], 0.0), "{waits:?}");
    assert!((16..=26).contains(&waits.len()), "{waits:?}");
    assert!(
        waits[1..].iter().all(|wait| is_about(*wait, 1.0)),
        "{waits:?}"
    );
    assert_eq!(watch.get(), Load::Broken("the stream has ended".into()));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_never_reports_is_given_twenty_seconds() {
    let backend = Scripted::default();
    let watch = backend.watched();
    sleep(SECOND * 19).await;
    assert_eq!(watch.get(), Load::Waiting);
    sleep(SECOND * 2).await;
    assert_eq!(
        watch.get(),
        Load::Broken("DeadlineExceeded: no report".into())
    );
    assert_eq!(backend.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn silence_after_a_report_is_no_news() {
    let (sender, call) = told();
    let backend = Scripted::new([call]);
    let watch = backend.watched();
    sender.send(1.0).unwrap();
    sleep(SECOND * 86_400).await;
    assert_eq!(watch.get(), reported(1.0));
    assert_eq!(backend.asked().len(), 1);
}

#[tokio::test]
async fn nobody_is_asked_once_the_last_clone_is_gone() {
    let (sender, call) = told();
    let watch = Scripted::new([call]).watched();
    let mut loads = watch.subscribe();
    sender.send(1.0).unwrap();
    becomes(&mut loads, reported(1.0)).await;
    let clone = watch.clone();
    drop(watch);
    sender.send(2.0).unwrap();
    becomes(&mut loads, reported(2.0)).await;
    drop(clone);
    soon(sender.closed()).await;
    assert!(loads.changed().await.is_err());
}

#[tokio::test]
async fn what_a_backend_says_is_kept_to_one_short_line() {
    let long = "a bad\nday ".repeat(100);
    let watch = Scripted::new([Err(Status::internal(long))]).watched();
    let mut loads = watch.subscribe();
    let load = soon(loads.wait_for(|load| *load != Load::Waiting)).await;
    let Load::Broken(reason) = load.unwrap().clone() else {
        panic!("not broken")
    };
    assert!(
        reason.starts_with("Internal: a bad day a bad day"),
        "{reason}"
    );
    assert_eq!(reason.chars().count(), 200);
}

#[tokio::test(start_paused = true)]
async fn endless_reports_do_not_keep_others_from_their_turn() {
    let endless = stream::repeat_with(|| Ok(report(1.0)));
    let _watch = Scripted::new([Ok(endless.boxed() as BoxStream<_>)]).watched();
    soon(async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn malformed_details_of_an_error_do_not_end_the_watch() {
    let service = channel(|_| {
        let response = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "13")
            .header("grpc-status-details-bin", "not Base64!");
        Ok::<_, Status>(response.body(Body::empty()).unwrap())
    });
    let watch = LoadWatch::new(service, SECOND);
    let mut loads = watch.subscribe();
    becomes(&mut loads, Load::Broken("Internal".into())).await;
    assert!(timeout(SECOND * 60, loads.changed()).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_report_that_is_too_large_is_refused() {
    let (sender, mut asked) = mpsc::unbounded_channel();
    let service = channel(move |_| {
        sender.send(()).unwrap();
        let body = framed(&vec![0; 17 * 1024]);
        let response = Response::builder().header("content-type", "application/grpc");
        Ok::<_, Status>(
            response
                .body(Body::new(http_body_util::Full::new(body)))
                .unwrap(),
        )
    });
    let watch = LoadWatch::new(service, SECOND);
    soon(asked.recv()).await;
    let mut loads = watch.subscribe();
    let load = soon(loads.wait_for(|load| *load != Load::Waiting)).await;
    assert!(matches!(&*load.unwrap(), Load::Broken(reason) if reason.starts_with("OutOfRange")));
}

// "Each policy that has subscribed to the data will get a callback whenever a new message is sent"
#[tokio::test(start_paused = true)]
async fn a_function_is_told_of_each_report_and_of_the_end() {
    let reports = [1.0, 1.0, 2.0].map(|qps| Ok(report(qps)));
    let end = stream::iter([Err(Status::unimplemented(""))]);
    let call: BoxStream<_> = stream::iter(reports).chain(end).boxed();
    let service = OpenRcaServiceServer::new(Scripted::new([Ok(call)]));
    let (sender, mut told) = mpsc::unbounded_channel();
    let watch = LoadWatch::telling(service, SECOND, move |load| {
        sender.send(load.clone()).unwrap();
    });
    for expected in [
        reported(1.0),
        reported(1.0),
        reported(2.0),
        Load::Unimplemented,
    ] {
        assert_eq!(soon(told.recv()).await, Some(expected));
    }
    assert_eq!(soon(told.recv()).await, None);
    assert_eq!(watch.get(), Load::Unimplemented);
}
