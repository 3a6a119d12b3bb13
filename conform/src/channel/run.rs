//! The task of a channel.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tonic::Status;

use super::Published;
use super::activity::Activity;
use super::control::{Failing, Policies};
use crate::backoff::INITIAL_BACKOFF;
use crate::balance::Chosen;
#[cfg(feature = "channelz")]
use crate::channelz::ChannelEntry;
use crate::connectivity::State;
use crate::resolver::{Resolver, Schemes, Target, Update, UpdatesReceiver};
use crate::service_config::{Selection, ServiceConfig};

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the task works with.
pub(super) struct Run {
    pub(super) wanted: Arc<Notify>,
    pub(super) published: watch::Sender<Published>,
    pub(super) settings: watch::Sender<Option<ServiceConfig>>,
    pub(super) activity: Arc<Activity>,
    /// After so long without a call the channel is IDLE again.
    pub(super) idle_timeout: Option<Duration>,
    pub(super) schemes: Schemes,
    pub(super) target: Target,
    /// The first one.
    pub(super) resolver: Option<Box<dyn Resolver>>,
    pub(super) policies: Policies,
    pub(super) selection: Selection,
    /// What calls go by when the resolver's first answer is an error.
    pub(super) default: ServiceConfig,
    /// Where no config chooses a policy.
    pub(super) pick_first: Chosen,
    #[cfg(feature = "channelz")]
    pub(super) entry: Option<ChannelEntry>,
}

impl Run {
    /// For as long as the channel has handles, or until it's closed and its last call has ended.
    pub(super) async fn run(mut self) {
        let activity = self.activity.clone();
        let published = self.published.clone();
        let closed = async {
            activity.closed().await;
            published.send_modify(|published| published.is_closed = true);
        };
        let drained = async {
            closed.await;
            activity.drained().await;
        };
        tokio::select! {
            () = self.serve() => {}
            () = drained => {}
        }
        self.rest();
    }

    /// Lets go of all connections: the policy has some, and the picker that it has published.
    fn rest(&mut self) {
        self.policies.clear();
        guarded(|| self.say(Published::idle()));
    }

    async fn serve(&mut self) {
        loop {
            // IDLE: nothing is resolved before somebody calls.
            self.wanted.notified().await;
            self.say(Published::connecting());
            let resolver = match self.resolver.take() {
                Some(resolver) => Ok(resolver),
                None => self.schemes.build(&self.target),
            };
            match resolver {
                Ok(resolver) => self.follow(UpdatesReceiver::spawn(resolver)).await,
                // It was in order once, and may be so again.
                Err(error) => {
                    self.failed(&Status::unavailable(error.to_string()));
                    sleep(INITIAL_BACKOFF).await;
                }
            }
            self.rest();
        }
    }

    /// Until there were no calls for a while.
    async fn follow(&mut self, mut updates: UpdatesReceiver) {
        let mut is_resolving = true;
        self.activity.touch();
        let mut rest = pin!(sleep(self.idle_timeout.unwrap_or(A_DAY)));
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
                () = &mut rest => match self.rests_for() {
                    Some(Duration::ZERO) => return,
                    left => rest.set(sleep(left.unwrap_or(A_DAY))),
                },
            }
            guarded(|| self.publish(&updates, is_news));
        }
    }

    /// How long there have to be no calls yet until the channel is IDLE. `None`: for ever.
    fn rests_for(&self) -> Option<Duration> {
        let timeout = self.idle_timeout?;
        let since = self.activity.resting_since();
        // A call that runs may end at once.
        Some(since.map_or(timeout, |since| timeout.saturating_sub(since.elapsed())))
    }

    /// What calls are told, and those who watch the channel.
    fn say(&self, news: Published) {
        #[cfg(feature = "channelz")]
        let state = news.state;
        let mut news = news;
        self.published.send_modify(|published| {
            news.is_closed = published.is_closed;
            mem::swap(published, &mut news);
        });
        #[cfg(feature = "channelz")]
        if let Some(entry) = &self.entry {
            entry.state_is(match self.activity.is_closed() {
                true => State::Shutdown,
                false => state,
            });
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
            let picker = Arc::new(Failing(error.clone()));
            self.say(Published::new(State::TransientFailure, picker));
        }
    }

    fn publish(&mut self, updates: &UpdatesReceiver, is_news: bool) {
        if self.policies.take_re_resolve() {
            updates.ask();
        }
        if let Some(published) = self.policies.published().filter(|_| is_news) {
            // Also if it's the same: calls that found their connection gone look again.
            self.say(published);
        }
    }
}

/// Runs what may come to the code of somebody else's policy, or of what it has made, if only to drop
/// it. `None` if that panics, which must not end the channel.
pub(super) fn guarded<T>(step: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(step)).ok()
}
