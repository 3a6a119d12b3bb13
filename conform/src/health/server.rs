//! The service, and the handle by which a program says how it does.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::ServingStatus;
use super::pb::health_server::{Health, HealthServer};
use super::pb::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};

/// How many services [`List`](HealthService) shows at most: 100, as health.proto says.
pub const MAX_LISTED: usize = 100;

/// How many calls of Watch are open at once, over all connections: 10,000, unless
/// [`Reporter::max_watchers`] says otherwise.
pub const MAX_WATCHERS: usize = 10_000;

/// How many bytes the name of a service may have that is watched before the server knows it: 1024.
pub const MAX_UNKNOWN_NAME: usize = 1024;

/// How long a Watch goes on after it has told of [`Reporter::shutdown`]: 5 s.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// How large a request may be: a name, and a little more.
const MAX_REQUEST: usize = 64 * 1024;

/// The service, to be added to a server, and what tells it how the program does.
///
/// At first the server as a whole, `""`, is SERVING, and no other service is known.
pub fn server() -> (Reporter, HealthServer<HealthService>) {
    let reporter = Reporter {
        shared: Arc::new(Shared {
            state: Mutex::new(State {
                phase: Phase::Open,
                statuses: HashMap::from([(String::new(), ServingStatus::Serving)]),
                watched: HashMap::new(),
                watchers: 0,
                max_watchers: MAX_WATCHERS,
            }),
        }),
    };
    let service = HealthService {
        shared: reporter.shared.clone(),
    };
    let server = HealthServer::new(service).max_decoding_message_size(MAX_REQUEST);
    (reporter, server)
}

/// Says how the services of a server do. Clones speak for the same server.
#[derive(Clone, Debug)]
pub struct Reporter {
    shared: Arc<Shared>,
}

impl Reporter {
    /// Says how a service does; `""` is the server as a whole. Whoever watches it hears of a change.
    ///
    /// SERVICE_UNKNOWN makes the server forget the service. After [`shutdown`](Self::shutdown) this
    /// has no effect.
    pub fn set(&self, service: impl Into<String>, status: ServingStatus) {
        let mut state = self.shared.state();
        if state.phase == Phase::Open {
            let service = service.into();
            state.tell(&service, status);
            if status == ServingStatus::ServiceUnknown {
                state.statuses.remove(&service);
            } else {
                state.statuses.insert(service, status);
            }
        }
    }

    /// Says that all services are NOT_SERVING. From now on, [`set`](Self::set) has no effect.
    ///
    /// Each Watch tells it and goes on for [`SHUTDOWN_GRACE`], in case of
    /// [`resume`](Self::resume). Then it ends with UNAVAILABLE, so that a server which waits for its
    /// calls to end doesn't wait for ever. So does one that begins later.
    pub fn shutdown(&self) {
        let since = Instant::now();
        self.enter(Phase::Shutdown { since }, ServingStatus::NotServing);
    }

    /// As [`shutdown`](Self::shutdown), and each Watch ends as soon as it has told it; a new one is
    /// refused with UNAVAILABLE. For the moment at which the server's connections close.
    pub fn close(&self) {
        self.enter(Phase::Closed, ServingStatus::NotServing);
    }

    /// Undoes [`shutdown`](Self::shutdown) and [`close`](Self::close): all services are SERVING,
    /// also those that weren't before, and [`set`](Self::set) has an effect again.
    pub fn resume(&self) {
        self.enter(Phase::Open, ServingStatus::Serving);
    }

    /// How many calls of Watch may be open at once. Past that, RESOURCE_EXHAUSTED. Those that are
    /// open stay so.
    pub fn max_watchers(&self, limit: usize) {
        self.shared.state().max_watchers = limit;
    }

    /// How many names are watched, and by how many calls.
    #[cfg(test)]
    pub(super) fn watched(&self) -> (usize, usize) {
        let state = self.shared.state();
        (state.watched.len(), state.watchers)
    }

    fn enter(&self, phase: Phase, status: ServingStatus) {
        let mut state = self.shared.state();
        let state = &mut *state;
        state.phase = phase;
        for current in state.statuses.values_mut() {
            *current = status;
        }
        for (service, watched) in &state.watched {
            let known = state.statuses.contains_key(service);
            watched.news.send_modify(|told| {
                told.phase = phase;
                if known {
                    told.status = status;
                }
            });
        }
    }
}

/// The service `grpc.health.v1.Health`: Check, List and Watch.
#[derive(Debug)]
pub struct HealthService {
    shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let state = self.shared.state();
        match state.statuses.get(&request.get_ref().service) {
            Some(status) => Ok(Response::new(response(*status))),
            None => Err(Status::not_found("unknown service")),
        }
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let state = self.shared.state();
        if state.statuses.len() > MAX_LISTED {
            let message = format!("there are more than {MAX_LISTED} services");
            return Err(Status::resource_exhausted(message));
        }
        let statuses = state.statuses.iter();
        let statuses = statuses.map(|(service, status)| (service.clone(), response(*status)));
        let statuses = statuses.collect();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let watcher = Watcher::new(self.shared.clone(), service)?;
        let changes = stream::unfold(Some(watcher), async |watcher| {
            let mut watcher = watcher?;
            match watcher.next().await {
                Ok(status) => Some((Ok(response(status)), Some(watcher))),
                Err(end) => Some((Err(end), None)),
            }
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    let status = status.into();
    HealthCheckResponse { status }
}

struct Shared {
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    /// Without a lock, which whoever prints might hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

struct State {
    phase: Phase,
    statuses: HashMap<String, ServingStatus>,
    /// The names that somebody watches, known or not.
    watched: HashMap<String, Watched>,
    /// How many watch them, together.
    watchers: usize,
    max_watchers: usize,
}

impl State {
    fn tell(&self, service: &str, status: ServingStatus) {
        if let Some(watched) = self.watched.get(service) {
            watched.news.send_modify(|told| told.status = status);
        }
    }
}

struct Watched {
    /// Holds the newest value only, however slowly it is read.
    news: watch::Sender<Told>,
    watchers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Open,
    Shutdown { since: Instant },
    Closed,
}

/// What those who watch a service are told.
#[derive(Clone, Copy)]
struct Told {
    status: ServingStatus,
    phase: Phase,
}

/// One call of Watch.
struct Watcher {
    shared: Arc<Shared>,
    service: String,
    news: watch::Receiver<Told>,
    last: Option<ServingStatus>,
    begin: Instant,
}

impl Watcher {
    fn new(shared: Arc<Shared>, service: String) -> Result<Self, Status> {
        let mut guard = shared.state();
        let state = &mut *guard;
        let known = state.statuses.get(&service).copied();
        if state.phase == Phase::Closed {
            return Err(shutting_down());
        }
        if state.watchers >= state.max_watchers {
            return Err(Status::resource_exhausted("too many calls of Watch"));
        }
        if known.is_none() && service.len() > MAX_UNKNOWN_NAME {
            let message = format!("an unknown service's name has {MAX_UNKNOWN_NAME} bytes at most");
            return Err(Status::resource_exhausted(message));
        }
        let phase = state.phase;
        let status = known.unwrap_or(ServingStatus::ServiceUnknown);
        let watched = state.watched.entry(service.clone());
        let watched = watched.or_insert_with(|| Watched {
            news: watch::Sender::new(Told { status, phase }),
            watchers: 0,
        });
        let news = watched.news.subscribe();
        watched.watchers += 1;
        state.watchers += 1;
        drop(guard);
        Ok(Self {
            shared,
            service,
            news,
            last: None,
            begin: Instant::now(),
        })
    }

    /// The next status that differs from the last one, or why there is none.
    async fn next(&mut self) -> Result<ServingStatus, Status> {
        loop {
            let Told { status, phase } = *self.news.borrow_and_update();
            if self.last.replace(status) != Some(status) {
                return Ok(status);
            }
            // The sender lives as long as somebody watches.
            match phase {
                Phase::Open => drop(self.news.changed().await),
                Phase::Shutdown { since } => {
                    let end = self.begin.max(since) + SHUTDOWN_GRACE;
                    let changed = timeout_at(end, self.news.changed()).await;
                    drop(changed.map_err(|_| shutting_down())?);
                }
                Phase::Closed => return Err(shutting_down()),
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.watchers -= 1;
        if let Some(watched) = state.watched.get_mut(&self.service) {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                state.watched.remove(&self.service);
            }
        }
    }
}

fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down")
}
