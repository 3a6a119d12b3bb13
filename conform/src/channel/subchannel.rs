//! One address: its connections one after another, and the waits between them.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;

use super::connect::{Connect, too_late};
use crate::backoff::{Backoff, MIN_CONNECT_TIMEOUT};
use crate::balance::{Connection, Line, Shared, SubchannelState};
use crate::health::{Health, HealthWatch};

/// What a subchannel tells its channel: who it is, and its new state.
pub(super) type Event = (u64, SubchannelState);

/// Makes the connections of one subchannel, for as long as it has handles.
pub(super) struct Connecting {
    pub(super) connector: Arc<dyn Connect>,
    /// Whose health the backend is asked for, if it is (gRFC A17).
    pub(super) health: Option<Arc<str>>,
    pub(super) events: mpsc::Sender<Event>,
}

/// Ends the task when it's dropped.
pub(super) struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Task {
    pub(super) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }
}

/// After so many connections in a row that ended before a call was answered, the next one waits: one or
/// a few may be bad luck, such as a server that is drained.
pub(super) const MOST_USELESS: u32 = 10;

impl Connecting {
    pub(super) async fn run(self, subchannel: Arc<Shared>) {
        #[cfg(feature = "channelz")]
        let _shown = Shown(subchannel.clone());
        let mut backoff = Backoff::new();
        let mut number = 0;
        // When the next attempt may begin, after a connection that was of no use.
        let mut not_before = Instant::now();
        // How many such connections there were, one after another.
        let mut useless = 0;
        loop {
            subchannel.wanted().await;
            if Instant::now() < not_before {
                let address = subchannel.address();
                let status = Status::unavailable(format!(
                    "{address} closed the connection before a call was answered"
                ));
                self.wait(&subchannel, status, not_before).await;
                continue;
            }
            number += 1;
            self.tell(&subchannel, SubchannelState::Connecting).await;
            let again = Instant::now();
            let wait = backoff.next();
            let (ended, has_ended) = oneshot::channel();
            let (line, line_end) = Line::new();
            let connecting = (self.connector).connect(&subchannel, number, ended, line_end);
            let result = timeout(wait.max(MIN_CONNECT_TIMEOUT), connecting).await;
            let result = result.unwrap_or_else(|_| Err(too_late(subchannel.address())));
            let result = match result {
                Ok(channel) => {
                    let connection = Connection {
                        number,
                        channel,
                        line,
                    };
                    self.serve(&subchannel, connection, has_ended).await
                }
                Err(status) => Err(status),
            };
            match result {
                // A server that closes what it accepts would be connected to in a loop.
                Ok(()) if again.elapsed() < wait && !subchannel.has_answered(number) => {
                    useless += 1;
                    if useless > MOST_USELESS {
                        not_before = again + wait;
                    } else {
                        backoff.reset();
                    }
                    self.rest(&subchannel).await;
                }
                Ok(()) => {
                    useless = 0;
                    backoff.reset();
                    self.rest(&subchannel).await;
                }
                // From the beginning of one attempt to that of the next.
                Err(status) => self.wait(&subchannel, status, again + wait).await,
            }
        }
    }

    /// IDLE, after a failure that lasts until `end`.
    async fn wait(&self, subchannel: &Shared, status: Status, end: Instant) {
        self.tell(subchannel, SubchannelState::TransientFailure(status))
            .await;
        sleep_until(end).await;
        self.rest(subchannel).await;
    }

    async fn rest(&self, subchannel: &Shared) {
        // What was wanted of the connection that is gone doesn't ask for a new one.
        subchannel.want_nothing();
        self.tell(subchannel, SubchannelState::Idle).await;
    }

    /// Until the connection takes no more calls.
    ///
    /// # Errors
    ///
    /// It was never READY.
    async fn serve(
        &self,
        subchannel: &Arc<Shared>,
        connection: Connection,
        mut has_ended: oneshot::Receiver<()>,
    ) -> Result<(), Status> {
        let number = connection.number;
        let mut was_ready = false;
        match &self.health {
            // It may have ended before there was anything to take away.
            None if has_ended.try_recv().is_ok() => {}
            None => {
                subchannel.connected(connection);
                was_ready = true;
                self.tell(subchannel, SubchannelState::Ready).await;
                tokio::select! {
                    _ = has_ended => {}
                    () = subchannel.is_refused() => {}
                }
            }
            Some(service) => {
                let watched = self.follow_health(subchannel, &connection, service, &mut was_ready);
                tokio::select! {
                    biased;
                    _ = &mut has_ended => {}
                    () = subchannel.is_refused() => {}
                    () = watched => {}
                }
            }
        }
        subchannel.gone(number);
        if was_ready {
            return Ok(());
        }
        let address = subchannel.address();
        Err(Status::unavailable(format!(
            "{address} closed the connection before it was ready"
        )))
    }

    /// The connection takes calls while its backend says that it's SERVING (gRFC A17).
    async fn follow_health(
        &self,
        subchannel: &Arc<Shared>,
        connection: &Connection,
        service: &str,
        was_ready: &mut bool,
    ) {
        let watch = HealthWatch::new(connection.channel.clone(), service);
        let mut newest = watch.subscribe();
        loop {
            let health = newest.borrow_and_update().clone();
            match health {
                Health::Connecting => {}
                Health::NotServing(why) => {
                    subchannel.gone(connection.number);
                    let address = subchannel.address();
                    let status = Status::unavailable(format!(
                        "{address} is not healthy: {why}, asked for {service:?}"
                    ));
                    self.tell(subchannel, SubchannelState::TransientFailure(status))
                        .await;
                }
                _ => {
                    // It has answered this one.
                    subchannel.answered(connection.number);
                    subchannel.connected(connection.clone());
                    *was_ready = true;
                    self.tell(subchannel, SubchannelState::Ready).await;
                }
            }
            if newest.changed().await.is_err() {
                // Its task has panicked: the connection is given up.
                return;
            }
        }
    }

    async fn tell(&self, subchannel: &Shared, state: SubchannelState) {
        #[cfg(feature = "channelz")]
        if let Some(entry) = subchannel.entry() {
            let why = match &state {
                SubchannelState::TransientFailure(status) => Some(status.message()),
                _ => None,
            };
            entry.state_is(state.state(), why);
        }
        // Nobody listens if the channel is gone, and then this task ends too.
        let _ = self.events.send((subchannel.id(), state)).await;
    }
}

/// Says in channelz that the subchannel is no more, when it's dropped.
#[cfg(feature = "channelz")]
struct Shown(Arc<Shared>);

#[cfg(feature = "channelz")]
impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(entry) = self.0.entry() {
            entry.state_is(crate::connectivity::State::Shutdown, None);
        }
    }
}
