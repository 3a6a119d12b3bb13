//! The task of a channel.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tonic::Status;

use super::Published;
use super::control::{Failing, Policies};
use crate::balance::Chosen;
use crate::connectivity::State;
use crate::resolver::{Resolver, Update, UpdatesReceiver};
use crate::service_config::{Selection, ServiceConfig};

/// What the task works with.
pub(super) struct Run {
    pub(super) wanted: Arc<Notify>,
    pub(super) published: watch::Sender<Published>,
    pub(super) settings: watch::Sender<Option<ServiceConfig>>,
    /// Taken when it begins to run.
    pub(super) resolver: Option<Box<dyn Resolver>>,
    pub(super) policies: Policies,
    pub(super) selection: Selection,
    /// What calls go by when the resolver's first answer is an error.
    pub(super) default: ServiceConfig,
    /// Where no config chooses a policy.
    pub(super) pick_first: Chosen,
}

impl Run {
    /// For as long as the channel has handles.
    pub(super) async fn run(mut self) {
        // IDLE: nothing is resolved before somebody calls.
        self.wanted.notified().await;
        self.published.send_replace(Published::connecting());
        let Some(resolver) = self.resolver.take() else {
            return;
        };
        let mut updates = UpdatesReceiver::spawn(resolver);
        let mut is_resolving = true;
        loop {
            let mut is_news = true;
            tokio::select! {
                delivery = updates.next(), if is_resolving => match delivery {
                    Some(delivery) => {
                        let is_used = guarded(|| self.resolved(delivery.update));
                        delivery.verdict.give(is_used == Some(true));
                    }
                    // It has nothing more to say. What it has said holds.
                    None => is_resolving = false,
                },
                () = self.policies.event() => {}
                () = self.wanted.notified() => {
                    self.policies.connect();
                    // Whoever hears the same again asks again.
                    is_news = !self.policies.says(&self.published.borrow());
                }
            }
            guarded(|| self.publish(&updates, is_news));
        }
    }

    /// Says whether the channel could use it.
    fn resolved(&mut self, update: Update) -> bool {
        let backends = match update.backends {
            Ok(backends) => backends,
            Err(error) => {
                self.failed(&error);
                return false;
            }
        };
        let brought = update.service_config.as_ref();
        let brought = brought.map(|config| config.as_deref().map_err(Clone::clone));
        let selected = self.selection.from_resolver(brought);
        let Some(config) = self.selection.current().cloned() else {
            // There's nothing to fall back on (gRFC A21).
            let unknown = || Status::unavailable("there is no service config");
            self.failed(&selected.refused.unwrap_or_else(unknown));
            return false;
        };
        if selected.new.is_some() || self.settings.borrow().is_none() {
            self.settings.send_replace(Some(config.clone()));
        }
        let chosen = config.load_balancing().unwrap_or(&self.pick_first);
        let health = config.health_check_service();
        let result = self.policies.resolved(&backends, chosen, health);
        result.is_ok() && selected.refused.is_none()
    }

    /// There are no backends, for now.
    fn failed(&mut self, error: &Status) {
        if self.settings.borrow().is_none() {
            // Calls wait for their config until there's an answer, and this is one.
            self.settings.send_replace(Some(self.default.clone()));
        }
        if !self.policies.failed(error) {
            self.published.send_replace(Published {
                state: State::TransientFailure,
                picker: Arc::new(Failing(error.clone())),
            });
        }
    }

    fn publish(&mut self, updates: &UpdatesReceiver, is_news: bool) {
        if self.policies.take_re_resolve() {
            updates.ask();
        }
        if let Some(published) = self.policies.published().filter(|_| is_news) {
            // Also if it's the same: calls that found their connection gone look again.
            self.published.send_replace(published);
        }
    }
}

/// Runs what may come to the code of somebody else's policy, or of what it has made, if only to drop
/// it. `None` if that panics, which must not end the channel.
pub(super) fn guarded<T>(step: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(step)).ok()
}
