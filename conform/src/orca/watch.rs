//! A client that has one backend's load reported apart from its calls.

use std::error::Error;
use std::iter;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, pending, select};
use tokio::sync::watch;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tonic::{Code, Status};

use crate::backoff::{Backoff, INITIAL_BACKOFF, MIN_CONNECT_TIMEOUT, jittered};
use crate::error_details::SanitizeDetails;

use super::MAX_REPORT;
use super::pb::open_rca_service_client::OpenRcaServiceClient;
use super::pb::{OrcaLoadReport, OrcaLoadReportRequest};

/// How many characters of what a backend says are kept.
const MAX_REASON: usize = 200;

/// The longest interval that a request can name: protobuf's 10,000 years, in seconds.
const LONGEST: i64 = 315_576_000_000;

/// What a client knows of a backend's load.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Load {
    /// Nothing yet: the first report hasn't come.
    Waiting,
    /// The last report. Each is news, even if it is the same as the one before.
    Reported(Arc<OrcaLoadReport>),
    /// The stream of reports has ended, and why. Another attempt follows.
    Broken(Arc<str>),
    /// The backend has no such service. It isn't asked again.
    Unimplemented,
}

/// Has the load of one backend reported, until the last clone is dropped.
///
/// For a balancer: one for each connection, made when the connection is there and dropped with it.
#[derive(Clone, Debug)]
pub struct LoadWatch {
    load: watch::Receiver<Load>,
    task: Arc<Task>,
}

/// What ends with the last clone.
#[derive(Debug)]
struct Task {
    interval: watch::Sender<Duration>,
    handle: AbortHandle,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl LoadWatch {
    /// Asks for a report each `interval`. The server may make it longer; 0 is the shortest that it
    /// allows.
    ///
    /// `channel` may have layers around it, such as one that adds call credentials, but none that
    /// ends a call which lasts long: the stream has no end.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new<S, B>(channel: S, interval: Duration) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error: Into<StdError>> + Send + 'static,
        S::Future: Send,
        B: HttpBody<Data = Bytes, Error: Into<StdError>> + Send + 'static,
    {
        Self::telling(channel, interval, |_| ())
    }

    /// As [`new`](Self::new), and calls `tell` with each report, and with each change of what is known:
    /// a balancer misses none. It must be quick.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn telling<S, B>(
        channel: S,
        interval: Duration,
        mut tell: impl FnMut(&Load) + Send + 'static,
    ) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error: Into<StdError>> + Send + 'static,
        S::Future: Send,
        B: HttpBody<Data = Bytes, Error: Into<StdError>> + Send + 'static,
    {
        let (sender, load) = watch::channel(Load::Waiting);
        let (interval, asked) = watch::channel(interval);
        let report = move |load| {
            tell(&load);
            sender.send_replace(load);
        };
        let handle = tokio::spawn(follow(channel, asked, report)).abort_handle();
        let task = Arc::new(Task { interval, handle });
        Self { load, task }
    }

    /// Asks for another interval. A stream that runs is cancelled and begun again.
    pub fn set_interval(&self, interval: Duration) {
        self.task.interval.send_if_modified(|current| {
            let changed = *current != interval;
            *current = interval;
            changed
        });
    }

    /// What is known now.
    pub fn get(&self) -> Load {
        self.load.borrow().clone()
    }

    /// What is known at each moment, for whoever waits: a slow reader misses what lies between. It
    /// is closed after [`Load::Unimplemented`].
    pub fn subscribe(&self) -> watch::Receiver<Load> {
        self.load.clone()
    }
}

/// Asks for reports, again and again, until the backend says that it has none.
async fn follow<S, B>(
    channel: S,
    mut interval: watch::Receiver<Duration>,
    mut report: impl FnMut(Load),
) where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<StdError>>,
    B: HttpBody<Data = Bytes, Error: Into<StdError>> + Send + 'static,
{
    // Malformed details of an error would end this task with a panic.
    let channel = SanitizeDetails::new(channel);
    let mut stub = OpenRcaServiceClient::new(channel).max_decoding_message_size(MAX_REPORT);
    let mut chance = fastrand::Rng::new();
    let mut backoff = Backoff::new();
    // A server whose stream ends after each report would be asked without a pause: A51 resets the
    // backoff with each report. So no two attempts at once within a second.
    let mut at_once_from = Instant::now();
    loop {
        let begin = Instant::now();
        let asked = *interval.borrow_and_update();
        let mut reported = false;
        let end = {
            let stream = read(&mut stub, asked, |next| {
                reported = true;
                report(Load::Reported(Arc::new(next)));
            });
            let other_interval = async {
                if interval.changed().await.is_err() {
                    pending().await
                }
            };
            match select(pin!(stream), pin!(other_interval)).await {
                Either::Left((end, _)) => end,
                Either::Right(_) => continue,
            }
        };
        if end.code() == Code::Unimplemented {
            report(Load::Unimplemented);
            return;
        }
        report(Load::Broken(reason(&end).into()));
        let next = if reported {
            backoff.reset();
            let next = at_once_from.max(Instant::now());
            at_once_from = next + jittered(INITIAL_BACKOFF, &mut chance);
            next
        } else {
            begin + backoff.next()
        };
        sleep_until(next).await;
    }
}

/// Reads one stream to its end.
async fn read<S, B>(
    stub: &mut OpenRcaServiceClient<SanitizeDetails<S>>,
    interval: Duration,
    mut tell: impl FnMut(OrcaLoadReport),
) -> Status
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<StdError>>,
    B: HttpBody<Data = Bytes, Error: Into<StdError>> + Send + 'static,
{
    let request = OrcaLoadReportRequest {
        report_interval: Some(interval.try_into().unwrap_or(prost_types::Duration {
            seconds: LONGEST,
            nanos: 0,
        })),
        request_cost_names: Vec::new(),
    };
    let first_report = async {
        let mut reports = stub.stream_core_metrics(request).await?.into_inner();
        let first = reports.message().await?;
        Ok((reports, first))
    };
    // The first comes at once. Later silence is no news: the interval is the server's.
    let (mut reports, mut report) = match timeout(MIN_CONNECT_TIMEOUT, first_report).await {
        Ok(Ok(first)) => first,
        Ok(Err(end)) => return end,
        Err(_) => return Status::deadline_exceeded("no report"),
    };
    while let Some(next) = report {
        tell(next);
        // A flood of reports must not keep others from their turn.
        yield_now().await;
        report = match reports.message().await {
            Ok(report) => report,
            Err(end) => return end,
        };
    }
    Status::ok("")
}

/// Why a stream has ended, in one line.
fn reason(end: &Status) -> String {
    let cause = iter::successors(end.source(), |&cause| cause.source()).last();
    let text = cause.map_or_else(|| end.message().to_owned(), ToString::to_string);
    let line = match end.code() {
        Code::Ok => "the stream has ended".to_owned(),
        code if text.is_empty() => format!("{code:?}"),
        code => format!("{code:?}: {text}"),
    };
    let line = line.chars().take(MAX_REASON);
    line.map(|c| if c.is_control() { ' ' } else { c }).collect()
}
