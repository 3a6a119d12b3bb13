//! Names that DNS knows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use self::resolver::{DnsResolver, Lookup};
use super::fixed::Fixed;
use super::host::Host;
use super::{Resolver, Scheme, Target};

#[cfg(feature = "dns")]
mod hickory;
mod resolver;
#[cfg(any(test, not(feature = "dns")))]
mod system;

/// How long after an answer the next resolution begins at the earliest: 30 s, as in grpc-go.
pub const MIN_RESOLUTION_INTERVAL: Duration = Duration::from_secs(30);

/// How long after an answer the next resolution begins at the latest, if the answer says how long it
/// holds: 30 min.
pub const LONGEST_RESOLUTION_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// How long one resolution may take: 30 s, as in grpc-go.
pub const RESOLUTION_TIMEOUT: Duration = Duration::from_secs(30);

/// The scheme `dns`, with its settings: `dns:///greeter.example:50051`.
///
/// [`Schemes::new`](super::Schemes::new) has one as it is by default.
///
/// ```
/// use std::time::Duration;
///
/// use conform::resolver::{Dns, Schemes};
///
/// let patient = Dns::new().min_interval(Duration::from_secs(60));
/// let schemes = Schemes::new().with(patient);
/// # let _ = schemes;
/// ```
///
/// # What is looked up
///
/// With the feature `dns`, A and AAAA records, by hickory and the system's settings: its servers and
/// search list, and its file of hosts first. They are read anew each time. Without the feature, what
/// the system's `getaddrinfo` says. In both cases the order is kept, what comes twice is taken once,
/// and no more than [`MAX_BACKENDS`](super::MAX_BACKENDS) are taken. Each address is a backend of its
/// own, since DNS doesn't tell which belong together ([gRFC A61]).
///
/// If only one family can be looked up, the addresses that the other had before stay.
///
/// An authority in the target is the DNS server to ask, an IP address with or without a port (53).
/// It needs the feature. Then the name is taken as it stands, and neither the search list nor the file
/// of hosts is used.
///
/// # When it's looked up
///
/// * At first, and when the channel asks because a connection failed.
/// * When the answer's TTL has passed, with the feature `dns`; see
///   [`only_when_asked`](Self::only_when_asked).
/// * Never sooner than [`MIN_RESOLUTION_INTERVAL`] after an answer. What the channel asks for sooner
///   waits until then, and counts as one.
/// * After a failure, an empty answer, or one that the channel couldn't use, without being asked: after
///   the waits of the connection backoff, which begin with 1 s.
///
/// # What it doesn't do
///
/// Service configs in TXT records ([gRFC A2]) are not looked up, as in C-core and grpc-java unless they
/// are told to; grpc-go looks them up. SRV records aren't either.
///
/// [gRFC A2]: https://github.com/grpc/proposal/blob/master/A2-service-configs-in-dns.md
/// [gRFC A61]: https://github.com/grpc/proposal/blob/master/A61-IPv4-IPv6-dualstack-backends.md
#[derive(Debug, Clone)]
pub struct Dns {
    min_interval: Duration,
    longest_interval: Duration,
    timeout: Duration,
    only_when_asked: bool,
}

impl Dns {
    /// With the settings that are named below.
    pub fn new() -> Self {
        Self {
            min_interval: MIN_RESOLUTION_INTERVAL,
            longest_interval: LONGEST_RESOLUTION_INTERVAL,
            timeout: RESOLUTION_TIMEOUT,
            only_when_asked: false,
        }
    }

    /// How long after an answer the next resolution begins at the earliest; by default
    /// [`MIN_RESOLUTION_INTERVAL`]. Each channel asks for itself, so think of the DNS server before you
    /// make it shorter.
    pub fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = interval;
        self
    }

    /// How long after an answer the next resolution begins at the latest, however long its TTL; by
    /// default [`LONGEST_RESOLUTION_INTERVAL`]. One that is shorter than the minimum is the minimum.
    pub fn longest_interval(mut self, interval: Duration) -> Self {
        self.longest_interval = interval;
        self
    }

    /// How long one resolution may take; by default [`RESOLUTION_TIMEOUT`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Takes no notice of TTLs, as gRPC elsewhere: what has changed is found out when a connection
    /// fails. A server that is added gets no calls before that.
    pub fn only_when_asked(mut self) -> Self {
        self.only_when_asked = true;
        self
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self::new()
    }
}

impl Scheme for Dns {
    fn name(&self) -> &str {
        "dns"
    }

    fn resolver(&self, target: &Target) -> Result<Box<dyn Resolver>, String> {
        if target.endpoint().is_empty() && !target.authority().is_empty() {
            let host = target.authority();
            return Err(format!("there is no host in it; write dns:///{host}"));
        }
        let server = match target.authority() {
            "" => None,
            authority => Some(server(authority)?),
        };
        if target.endpoint().contains(',') {
            let addresses = target.endpoint();
            let hint = format!("ipv4:{addresses}, or ipv6:");
            return Err(format!(
                "it is more than one name; several addresses are {hint}"
            ));
        }
        let host = Host::parse(target.endpoint())?;
        match host {
            Host::Address(address) => Ok(Box::new(Fixed::new([address]))),
            Host::Name(name, port) => Ok(Box::new(DnsResolver {
                settings: self.clone(),
                lookup: lookup(server)?,
                name,
                port,
            })),
        }
    }

    fn authority(&self, target: &Target) -> String {
        super::host::authority(target.endpoint())
    }
}

/// The DNS server that a target names.
fn server(authority: &str) -> Result<SocketAddr, String> {
    let server = Host::parse_with_port(authority, DNS_PORT)?;
    let reason = || format!("a DNS server is named by its IP address, not by `{authority}`");
    server.address().ok_or_else(reason)
}

/// Where DNS servers listen.
const DNS_PORT: u16 = 53;

#[cfg(feature = "dns")]
fn lookup(server: Option<SocketAddr>) -> Result<Arc<dyn Lookup>, String> {
    Ok(Arc::new(hickory::Hickory::new(server)))
}

#[cfg(not(feature = "dns"))]
fn lookup(server: Option<SocketAddr>) -> Result<Arc<dyn Lookup>, String> {
    match server {
        None => Ok(Arc::new(system::System::default())),
        Some(server) => Err(format!(
            "the DNS server {server} can be asked only with the feature `dns` of conform"
        )),
    }
}
