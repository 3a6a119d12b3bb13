//! What all handles of a channel share.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Request};

use super::Published;
use super::activity::Open;
use super::subchannel::Task;
use super::watch::Watchers;
use crate::deadline::{Deadline, parse_timeout};
use crate::per_call::PerCall;
use crate::service_config::ServiceConfig;

const GRPC_TIMEOUT: &str = "grpc-timeout";

/// One channel: what its task has published, and the task itself, which ends with the last handle.
pub(super) struct Shared {
    pub(super) published: watch::Receiver<Published>,
    pub(super) settings: watch::Receiver<Option<ServiceConfig>>,
    pub(super) wanted: Arc<Notify>,
    pub(super) watchers: Watchers,
    pub(super) _task: Task,
}

impl Shared {
    /// The newest picker, and those that come.
    pub(super) fn published(&self) -> watch::Receiver<Published> {
        self.published.clone()
    }

    pub(super) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// A part of a call that is open.
    pub(super) fn part(&self) -> Open {
        self.watchers.activity.part()
    }

    /// Takes no more calls. What is returned waits for the last one, and for the task.
    pub(super) fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        let activity = self.watchers.activity.clone();
        activity.close();
        #[cfg(feature = "channelz")]
        if let Some(entry) = &self.watchers.entry {
            entry.state_is(crate::connectivity::State::Shutdown);
        }
        let mut published = self.published.clone();
        async move {
            activity.drained().await;
            while published.changed().await.is_ok() {}
        }
    }

    /// Gives a call what its method's config says, or says that there is none yet.
    pub(super) fn settle(&self, request: &mut Request<Body>) {
        let call = match &*self.settings.borrow() {
            Some(config) => config.per_call(request),
            None => PerCall {
                unsettled: Some(Instant::now()),
                ..PerCall::default()
            },
        };
        request.extensions_mut().insert(call);
    }

    /// The same for a call that has waited since `begun`, from when its timeouts count.
    pub(super) fn settle_late(&self, request: &mut Request<Body>, begun: Instant) {
        let config = self.settings.borrow();
        let call = config.as_ref().map(|config| config.per_call(request));
        drop(config);
        request.extensions_mut().insert(call.unwrap_or_default());
        let headers = request.headers_mut();
        let timeout = headers.get(GRPC_TIMEOUT).map(HeaderValue::as_bytes);
        if let Some(timeout) = timeout.and_then(parse_timeout) {
            let left = timeout.saturating_sub(begun.elapsed());
            if let Some(deadline) = Deadline::after(left) {
                deadline.write(headers);
            }
        }
    }

    /// Waits until there is a config.
    pub(super) async fn first_settings(&self) -> Result<(), Status> {
        self.connect();
        let mut settings = self.settings.clone();
        match settings.wait_for(Option::is_some).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Status::unavailable("the channel is gone")),
        }
    }

    /// Leaves IDLE.
    pub(super) fn connect(&self) {
        self.wanted.notify_one();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("state", &self.published.borrow().state)
            .finish_non_exhaustive()
    }
}
