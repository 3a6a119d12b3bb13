//! A client that asks one backend how it does, for as long as somebody wants to know.

use std::error::Error;
use std::fmt;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tonic::{Code, Status};

use crate::backoff::{Backoff, INITIAL_BACKOFF, MIN_CONNECT_TIMEOUT, jittered};
use crate::error_details::SanitizeDetails;

use super::ServingStatus;
use super::pb::health_client::HealthClient;
use super::pb::{HealthCheckRequest, HealthCheckResponse};

/// How long an attempt may take to connect and to get the first answer: 20 s, the connection
/// backoff protocol's MIN_CONNECT_TIMEOUT.
pub const FIRST_ANSWER_TIMEOUT: Duration = MIN_CONNECT_TIMEOUT;

/// A `HealthCheckResponse` has two bytes; one of later years may have more.
const MAX_RESPONSE: usize = 4 * 1024;

/// How many characters of what a backend says are kept.
const MAX_REASON: usize = 200;

/// What a client knows of a backend's health.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Nothing yet: the first answer hasn't come.
    Connecting,
    /// The backend says that it's SERVING.
    Serving,
    /// The backend has no health service. It counts as healthy: nobody can tell.
    Unchecked,
    /// The backend says anything else, or can't be asked, and why.
    NotServing(Arc<str>),
}

impl Health {
    /// Whether the backend may have calls.
    pub fn is_healthy(&self) -> bool {
        matches!(self, Self::Serving | Self::Unchecked)
    }

    fn of(response: HealthCheckResponse) -> Self {
        match ServingStatus::try_from(response.status) {
            Ok(ServingStatus::Serving) => Self::Serving,
            Ok(status) => Self::NotServing(status.as_str_name().into()),
            Err(_) => Self::NotServing(format!("status {}", response.status).into()),
        }
    }

    /// What a Watch that has ended says of the backend.
    fn broken(end: &Status) -> Self {
        let cause = iter::successors(end.source(), |&cause| cause.source()).last();
        let text = cause.map_or_else(|| end.message().to_owned(), ToString::to_string);
        let code = match end.code() {
            Code::Ok => "Watch has ended".to_owned(),
            code => format!("{code:?}"),
        };
        let text = if text.is_empty() {
            code
        } else {
            format!("{code}: {text}")
        };
        let line = text.chars().take(MAX_REASON);
        let line: String = line.map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self::NotServing(line.into())
    }
}

impl fmt::Display for Health {
    /// `SERVING`, or why it isn't.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connecting => "CONNECTING",
            Self::Serving => "SERVING",
            Self::Unchecked => "SERVING, unchecked",
            Self::NotServing(reason) => reason,
        })
    }
}

/// Watches the health of one backend, until the last clone is dropped.
///
/// For a balancer: one for each connection, made when the connection is there and dropped with it.
#[derive(Clone, Debug)]
pub struct HealthWatch {
    health: watch::Receiver<Health>,
    _task: Arc<Task>,
}

impl HealthWatch {
    /// Watches `service`, `""` for the server as a whole, over `channel`.
    ///
    /// `channel` may have layers around it, such as one that adds call credentials, but none that
    /// ends a call which lasts long: a Watch has no end.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new<S, B>(channel: S, service: impl Into<String>) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error: Into<StdError>> + Send + 'static,
        S::Future: Send,
        B: HttpBody<Data = Bytes, Error: Into<StdError>> + Send + 'static,
    {
        let (sender, health) = watch::channel(Health::Connecting);
        let report = move |health: Health| {
            sender.send_if_modified(|last| {
                let changed = *last != health;
                *last = health;
                changed
            });
        };
        let task = Task::spawn(follow(channel, service.into(), Arc::default(), report));
        let _task = Arc::new(task);
        Self { health, _task }
    }

    /// What is known now.
    pub fn get(&self) -> Health {
        self.health.borrow().clone()
    }

    /// What is known at each moment, for whoever waits: a slow reader misses what lies between.
    pub fn subscribe(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }
}

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Task(AbortHandle);

impl Task {
    pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Calls Watch, again and again, and reports what comes of it. Never ends.
///
/// Once something is known it doesn't report `Connecting` any more: a backend that was ill stays
/// so until it says that it's well.
pub(super) async fn follow<S, B>(
    channel: S,
    service: String,
    ask_again: Arc<Notify>,
    mut report: impl FnMut(Health),
) where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<StdError>>,
    B: HttpBody<Data = Bytes, Error: Into<StdError>> + Send + 'static,
{
    // Malformed details of an error would end this task with a panic.
    let channel = SanitizeDetails::new(channel);
    let mut stub = HealthClient::new(channel).max_decoding_message_size(MAX_RESPONSE);
    let mut backoff = Backoff::new();
    let mut chance = fastrand::Rng::new();
    // A server whose Watch ends after each answer would be asked without a pause: A17 resets the
    // backoff with each answer. So no two attempts at once within a second.
    let mut at_once_from = Instant::now();
    loop {
        let begin = Instant::now();
        let mut answered = false;
        let end = watch_once(&mut stub, &service, |health| {
            answered = true;
            report(health);
        });
        let end = end.await;
        if end.code() == Code::Unimplemented {
            report(Health::Unchecked);
            // A call has failed since: behind the same address there may be another server now.
            ask_again.notified().await;
            continue;
        }
        report(Health::broken(&end));
        let next = if answered {
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

/// One call of Watch, and how it ended.
async fn watch_once<S>(
    stub: &mut HealthClient<S>,
    service: &str,
    mut report: impl FnMut(Health),
) -> Status
where
    S: Service<Request<Body>, Response = Response<Body>, Error: Into<StdError>>,
{
    let service = service.to_owned();
    let first_answer = async {
        let call = stub.watch(HealthCheckRequest { service });
        let mut answers = call.await?.into_inner();
        let first = answers.message().await?;
        Ok((answers, first))
    };
    let (mut answers, mut answer) = match timeout(FIRST_ANSWER_TIMEOUT, first_answer).await {
        Ok(Ok(first)) => first,
        Ok(Err(end)) => return end,
        Err(_) => return Status::deadline_exceeded("no answer to Watch"),
    };
    while let Some(response) = answer {
        report(Health::of(response));
        // A flood of answers must not keep others from their turn.
        yield_now().await;
        answer = match answers.message().await {
            Ok(answer) => answer,
            Err(end) => return end,
        };
    }
    Status::ok("")
}
