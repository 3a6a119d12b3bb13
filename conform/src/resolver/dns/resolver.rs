//! When a name is looked up, and what the channel hears of it.

use std::collections::HashSet;
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::Dns;
use crate::backoff::Backoff;
use crate::resolver::{Backend, MAX_BACKENDS, Resolver, Update, Updates};

/// Looks up names.
pub(super) trait Lookup: Send + Sync + 'static {
    /// The addresses of `name`, which is ASCII and in lower case. Dropping the future ends it.
    fn lookup(&self, name: &str) -> BoxFuture<'static, Result<Answer, String>>;
}

/// What a lookup has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// In the order in which they are to be tried.
    pub(super) addresses: Vec<IpAddr>,
    /// How long it holds, if that is known.
    pub(super) ttl: Option<Duration>,
    /// The family whose addresses couldn't be looked up.
    pub(super) failed: Option<Family>,
}

/// The two kinds of addresses.
#[cfg_attr(
    not(any(test, feature = "dns")),
    allow(dead_code, reason = "the system doesn't tell which one failed")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    fn has(self, ip: &IpAddr) -> bool {
        match self {
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

/// Resolves one name for one channel.
pub(super) struct DnsResolver {
    pub(super) settings: Dns,
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) name: String,
    pub(super) port: u16,
}

impl Resolver for DnsResolver {
    fn run(self: Box<Self>, updates: Updates) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut backoff = Backoff::new();
            let mut known = Vec::new();
            // Whether the channel wants to hear of it though nothing has changed.
            let mut is_wanted = true;
            loop {
                // Who has asked until now gets what is looked up now.
                is_wanted |= updates.asked().now_or_never().is_some();
                match self.resolve(&updates, &mut known, is_wanted).await {
                    Some(expiry) => {
                        backoff.reset();
                        let earliest = sleep(self.settings.min_interval);
                        let expiry = async {
                            match expiry {
                                Some(after) => sleep(after).await,
                                None => pending().await,
                            }
                        };
                        is_wanted = tokio::select! {
                            () = updates.asked() => true,
                            () = expiry => false,
                        };
                        earliest.await;
                    }
                    None => {
                        sleep(backoff.next()).await;
                        is_wanted = true;
                    }
                }
            }
        })
    }
}

impl DnsResolver {
    /// Looks up the name, and tells the channel.
    ///
    /// `None` if that has to be tried again; otherwise how long the answer holds. `known` is what
    /// was found last.
    async fn resolve(
        &self,
        updates: &Updates,
        known: &mut Vec<IpAddr>,
        is_wanted: bool,
    ) -> Option<Option<Duration>> {
        let answer = match self.find(known).await {
            Ok(answer) => answer,
            Err(reason) => {
                let reason = format!("`{}` can't be resolved: {reason}", self.name);
                updates
                    .send(Update::failed(Status::unavailable(reason)))
                    .await;
                return None;
            }
        };
        let is_news = !same(known, &answer.addresses);
        known.clone_from(&answer.addresses);
        if is_news || is_wanted {
            let addresses = answer.addresses.iter();
            let backends = addresses.map(|&ip| Backend::at(SocketAddr::new(ip, self.port)));
            if !updates.send(Update::new(backends)).await {
                return None;
            }
        }
        Some(self.expiry(&answer))
    }

    /// The addresses of the name, with those of a family that failed as they were before.
    async fn find(&self, known: &[IpAddr]) -> Result<Answer, String> {
        let limit = self.settings.timeout;
        let found = timeout(limit, self.lookup.lookup(&self.name)).await;
        let mut answer = found.map_err(|_| format!("no answer within {limit:?}"))??;
        if let Some(family) = answer.failed {
            answer
                .addresses
                .extend(known.iter().filter(|ip| family.has(ip)));
        }
        let mut seen = HashSet::new();
        answer.addresses.retain(|&ip| seen.insert(ip));
        answer.addresses.truncate(MAX_BACKENDS);
        match answer.addresses.is_empty() {
            true => Err("it has no address".to_owned()),
            false => Ok(answer),
        }
    }

    /// How long to wait without being asked.
    fn expiry(&self, answer: &Answer) -> Option<Duration> {
        let settings = &self.settings;
        match answer.failed {
            Some(_) => Some(settings.min_interval),
            None if settings.only_when_asked => None,
            None => {
                let ttl = answer.ttl?.min(settings.longest_interval);
                Some(ttl.max(settings.min_interval))
            }
        }
    }
}

/// Whether these are the same addresses: DNS servers change the order from answer to answer.
fn same(before: &[IpAddr], now: &[IpAddr]) -> bool {
    let before: HashSet<_> = before.iter().collect();
    before == now.iter().collect()
}

#[cfg(test)]
mod tests;
