//! A few backends as one channel.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::{Notify, watch};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, BoxFuture, Bytes, Service, StdError};
use tower::ServiceExt;

use super::client::{Health, Task, follow};

/// How many ill backends an error names.
const MAX_NAMED: usize = 8;

/// A few backends as one channel: each call goes to the next one that is healthy, in turn.
///
/// A call waits while no backend is healthy and some haven't answered yet: give it a deadline. If
/// all are ill it ends at once with UNAVAILABLE, which says of each why. A call that has begun
/// stays where it is, whatever becomes of the backend, and isn't made again elsewhere.
///
/// Clones are the same pool. It watches until the last of them is dropped.
#[derive(Clone)]
pub struct Pool<S> {
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    backends: Vec<Backend<S>>,
    health: watch::Receiver<Vec<Health>>,
    turn: AtomicUsize,
    _tasks: Vec<Task>,
}

struct Backend<S> {
    name: String,
    channel: S,
    ask_again: Arc<Notify>,
}

impl<S> Pool<S> {
    /// Watches `service`, `""` for each server as a whole, at these backends, each with the name
    /// that an error calls it by. See [`HealthWatch::new`](super::HealthWatch::new).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new<N, B>(backends: impl IntoIterator<Item = (N, S)>, service: impl Into<String>) -> Self
    where
        N: Into<String>,
        S: Service<Request<Body>, Response = Response<B>, Error: Into<StdError>>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        B: HttpBody<Data = Bytes, Error: Into<StdError>> + Send + 'static,
    {
        let backends: Vec<_> = backends
            .into_iter()
            .map(|(name, channel)| Backend {
                name: name.into(),
                channel,
                ask_again: Arc::default(),
            })
            .collect();
        let (sender, health) = watch::channel(vec![Health::Connecting; backends.len()]);
        let service = service.into();
        let tasks = backends.iter().enumerate().map(|(index, backend)| {
            let sender = sender.clone();
            let report = move |health: Health| {
                sender.send_if_modified(|all| match all.get_mut(index) {
                    Some(last) if *last != health => {
                        *last = health;
                        true
                    }
                    _ => false,
                });
            };
            let ask_again = backend.ask_again.clone();
            let channel = backend.channel.clone();
            Task::spawn(follow(channel, service.clone(), ask_again, report))
        });
        let inner = Inner {
            _tasks: tasks.collect(),
            backends,
            health,
            turn: AtomicUsize::new(0),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// What is known of each backend, in their order: to show, or to wait for.
    pub fn health(&self) -> watch::Receiver<Vec<Health>> {
        self.inner.health.clone()
    }
}

impl<S> Inner<S> {
    /// Whose turn it is, once that can be said.
    async fn pick(&self) -> Result<&Backend<S>, Status> {
        let mut health = self.health.clone();
        let is_settled = |all: &Vec<Health>| {
            all.iter().any(Health::is_healthy) || !all.contains(&Health::Connecting)
        };
        let all = health.wait_for(is_settled).await;
        let all = all.map_err(|_| Status::unavailable("nobody watches the backends"))?;
        let each = || self.backends.iter().zip(&*all);
        let healthy: Vec<_> = each().filter(|(_, health)| health.is_healthy()).collect();
        if healthy.is_empty() {
            return Err(all_ill(each()));
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % healthy.len();
        Ok(healthy[turn].0)
    }
}

fn all_ill<'a, S: 'a>(backends: impl Iterator<Item = (&'a Backend<S>, &'a Health)>) -> Status {
    let mut reasons: Vec<_> = backends
        .map(|(Backend { name, .. }, health)| format!("{name} ({health})"))
        .collect();
    if reasons.is_empty() {
        return Status::unavailable("there are no backends");
    }
    let others = reasons.len().saturating_sub(MAX_NAMED);
    if others > 0 {
        reasons.truncate(MAX_NAMED);
        reasons.push(format!("and {others} more"));
    }
    Status::unavailable(format!("no backend is healthy: {}", reasons.join(", ")))
}

impl<S, B> Service<Request<Body>> for Pool<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<StdError>>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    B: HttpBody<Data = Bytes, Error: Into<StdError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Response<Body>, StdError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        // Which backend has to be ready is known when it's picked.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let pool = self.inner.clone();
        Box::pin(async move {
            let backend = match pool.pick().await {
                Ok(backend) => backend,
                Err(status) => return Ok(status.into_http()),
            };
            match backend.channel.clone().oneshot(request).await {
                Ok(response) => Ok(response.map(Body::new)),
                Err(error) => {
                    backend.ask_again.notify_waiters();
                    Err(error.into())
                }
            }
        })
    }
}

impl<S> fmt::Debug for Pool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.inner.backends.iter().map(|backend| &backend.name);
        let health = self.inner.health.borrow();
        f.debug_map().entries(names.zip(&*health)).finish()
    }
}
