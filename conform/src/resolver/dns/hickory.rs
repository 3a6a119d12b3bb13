//! What DNS servers say, by hickory.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::{BoxFuture, join};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};
use tokio::task::spawn_blocking;

use super::resolver::{Answer, Family, Lookup};

/// Asks the system's DNS servers, or one.
pub(super) struct Hickory {
    server: Option<SocketAddr>,
}

impl Hickory {
    pub(super) fn new(server: Option<SocketAddr>) -> Self {
        Self { server }
    }
}

impl Lookup for Hickory {
    fn lookup(&self, name: &str) -> BoxFuture<'static, Result<Answer, String>> {
        let server = self.server;
        let name = Name::from_ascii(name);
        Box::pin(async move {
            let name = name.map_err(|error| error.to_string())?;
            if let Some(server) = server {
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![only(server)]);
                return search(config, ResolverOpts::default(), [absolute(&name)]).await;
            }
            // Anew each time, so that a change of network is noticed.
            let hosts = spawn_blocking(Hosts::from_system).await;
            let hosts = hosts.ok().and_then(Result::ok).unwrap_or_default();
            if let Some(answer) = in_file(&hosts, &name) {
                return Ok(answer);
            }
            let settings = spawn_blocking(read_system_conf).await;
            let settings = settings.map_err(|error| error.to_string())?;
            let (config, options) = settings
                .map_err(|error| format!("the system's settings of DNS can't be used: {error}"))?;
            let names = candidates(&name, &config, options.ndots);
            search(config, options, names).await
        })
    }
}

/// This server, by UDP, and by TCP for long answers.
fn only(server: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = server.port();
    }
    NameServerConfig::new(server.ip(), true, connections)
}

/// What the file of hosts says: if it knows the name at all, nobody else is asked.
fn in_file(hosts: &Hosts, name: &Name) -> Option<Answer> {
    let of = |family| {
        let found = hosts.lookup_static_host(&Query::query(absolute(name), family));
        found.as_ref().map(addresses).unwrap_or_default()
    };
    let mut addresses = of(RecordType::A);
    addresses.extend(of(RecordType::AAAA));
    let answer = Answer {
        addresses,
        ..Answer::default()
    };
    (!answer.addresses.is_empty()).then_some(answer)
}

/// The names that `name` may stand for, in the order of resolv.conf(5).
fn candidates(name: &Name, config: &ResolverConfig, ndots: usize) -> Vec<Name> {
    if name.is_fqdn() {
        return vec![name.clone()];
    }
    let domains = match &*config.search {
        [] => config.domain.as_slice(),
        search => search,
    };
    let in_domains = domains
        .iter()
        .filter_map(|domain| name.clone().append_domain(domain).ok())
        .map(|name| absolute(&name));
    let mut names: Vec<_> = in_domains.collect();
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    let at = if dots >= ndots { 0 } else { names.len() };
    names.insert(at, absolute(name));
    names
}

fn absolute(name: &Name) -> Name {
    let mut name = name.clone();
    name.set_fqdn(true);
    name
}

/// The addresses of the first of these names that has any.
///
/// A name that can't be looked up ends the search: a later one may be another server.
async fn search(
    config: ResolverConfig,
    mut options: ResolverOpts,
    names: impl IntoIterator<Item = Name>,
) -> Result<Answer, String> {
    // Nothing that an earlier lookup has found, and the TTL of each link of a chain of names.
    options.cache_size = 0;
    options.preserve_intermediates = true;
    options.use_hosts_file = ResolveHosts::Never;
    let mut resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *resolver.options_mut() = options;
    let resolver = resolver.build().map_err(|error| error.to_string())?;
    for name in names {
        let (v4, v6) = join(
            resolver.lookup(name.clone(), RecordType::A),
            resolver.lookup(name, RecordType::AAAA),
        )
        .await;
        let answer = both(records(v4), records(v6))?;
        if !answer.addresses.is_empty() {
            return Ok(answer);
        }
    }
    Ok(Answer::default())
}

/// The addresses of one family. There are none if the name has none, or doesn't exist.
fn records(found: Result<lookup::Lookup, NetError>) -> Result<Answer, String> {
    match found {
        Ok(found) => Ok(Answer {
            addresses: addresses(&found),
            ttl: ttl(&found),
            failed: None,
        }),
        Err(error) if error.is_no_records_found() => Ok(Answer::default()),
        Err(error) => Err(error.to_string()),
    }
}

fn addresses(found: &lookup::Lookup) -> Vec<std::net::IpAddr> {
    let records = found.answers().iter();
    records.filter_map(|record| record.data.ip_addr()).collect()
}

fn ttl(found: &lookup::Lookup) -> Option<Duration> {
    let seconds = found.answers().iter().map(|record| record.ttl).min()?;
    Some(Duration::from_secs(seconds.into()))
}

/// Puts both families together, IPv4 first. If only one failed, the other holds as long as it has
/// an address.
fn both(v4: Result<Answer, String>, v6: Result<Answer, String>) -> Result<Answer, String> {
    match (v4, v6) {
        (Ok(mut both), Ok(v6)) => {
            both.addresses.extend(v6.addresses);
            both.ttl = both.ttl.into_iter().chain(v6.ttl).min();
            Ok(both)
        }
        (Ok(v4), Err(error)) => without(v4, Family::V6, error),
        (Err(error), Ok(v6)) => without(v6, Family::V4, error),
        (Err(error), Err(_)) => Err(error),
    }
}

fn without(answer: Answer, failed: Family, error: String) -> Result<Answer, String> {
    if answer.addresses.is_empty() {
        return Err(error);
    }
    let failed = Some(failed);
    Ok(Answer { failed, ..answer })
}

#[cfg(test)]
mod tests;
