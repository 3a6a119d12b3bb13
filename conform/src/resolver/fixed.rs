//! Targets that hold their addresses themselves.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use futures::future::BoxFuture;

use super::host::Host;
use super::{Address, Backend, MAX_BACKENDS, Resolver, Scheme, Target, Update, Updates};

/// Says once what it was made of.
pub(super) struct Fixed(Vec<Backend>);

impl Fixed {
    pub(super) fn new(addresses: impl IntoIterator<Item = impl Into<Address>>) -> Self {
        let backends = addresses.into_iter().map(Backend::new);
        Self(backends.collect())
    }
}

impl Resolver for Fixed {
    fn run(self: Box<Self>, updates: Updates) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // Nothing would be different the next time.
            let _ = updates.send(Update::new(self.0)).await;
        })
    }
}

/// `ipv4:127.0.0.1:50051,127.0.0.1:50052`
pub(super) struct Ipv4;

/// `ipv6:[::1]:50051,[::1]:50052`
pub(super) struct Ipv6;

impl Scheme for Ipv4 {
    fn name(&self) -> &str {
        "ipv4"
    }

    fn resolver(&self, target: &Target) -> Result<Box<dyn Resolver>, String> {
        let addresses = list(target, |ip| ip.is_ipv4())?;
        Ok(Box::new(Fixed::new(addresses)))
    }

    fn authority(&self, target: &Target) -> String {
        first(target)
    }
}

impl Scheme for Ipv6 {
    fn name(&self) -> &str {
        "ipv6"
    }

    fn resolver(&self, target: &Target) -> Result<Box<dyn Resolver>, String> {
        let addresses = list(target, |ip| ip.is_ipv6())?;
        Ok(Box::new(Fixed::new(addresses)))
    }

    fn authority(&self, target: &Target) -> String {
        first(target)
    }
}

/// The addresses of the target, each once, in their order.
fn list(target: &Target, is_right: impl Fn(IpAddr) -> bool) -> Result<Vec<SocketAddr>, String> {
    without_authority(target)?;
    let scheme = target.scheme();
    let mut seen = HashSet::new();
    let mut addresses = Vec::new();
    for item in target.endpoint().split(',') {
        let host = Host::parse(item)?;
        let address = host.address().filter(|address| is_right(address.ip()));
        let Some(address) = address else {
            return Err(format!("`{item}` is no address of {scheme}"));
        };
        if seen.insert(address) {
            addresses.push(address);
        }
    }
    if addresses.len() > MAX_BACKENDS {
        return Err(format!("it has more than {MAX_BACKENDS} addresses"));
    }
    Ok(addresses)
}

/// The first address of the list, as it's written.
fn first(target: &Target) -> String {
    let first = target.endpoint().split(',').next().unwrap_or_default();
    super::host::authority(first)
}

/// `unix:/run/greeter.sock`, `unix:///run/greeter.sock`, `unix:greeter.sock`
pub(super) struct Unix;

/// `unix-abstract:greeter`
pub(super) struct UnixAbstract;

impl Scheme for Unix {
    fn name(&self) -> &str {
        "unix"
    }

    fn resolver(&self, target: &Target) -> Result<Box<dyn Resolver>, String> {
        if !cfg!(unix) {
            return Err("this system has no Unix domain sockets that can be used".to_owned());
        }
        without_authority(target)?;
        socket(target.path(), "")
    }

    fn authority(&self, _: &Target) -> String {
        "localhost".to_owned()
    }
}

impl Scheme for UnixAbstract {
    fn name(&self) -> &str {
        "unix-abstract"
    }

    fn resolver(&self, target: &Target) -> Result<Box<dyn Resolver>, String> {
        if !cfg!(target_os = "linux") {
            return Err("only Linux has abstract sockets".to_owned());
        }
        without_authority(target)?;
        socket(target.path(), "\0")
    }

    fn authority(&self, _: &Target) -> String {
        "localhost".to_owned()
    }
}

fn socket(path: &str, prefix: &str) -> Result<Box<dyn Resolver>, String> {
    if path.is_empty() {
        return Err("there is no path in it".to_owned());
    }
    let path = PathBuf::from(format!("{prefix}{path}"));
    Ok(Box::new(Fixed::new([Address::Unix(path)])))
}

fn without_authority(target: &Target) -> Result<(), String> {
    match target.authority() {
        "" => Ok(()),
        authority => {
            let scheme = target.scheme();
            Err(format!(
                "{scheme} has nobody to ask: leave `//{authority}` out, or write three slashes"
            ))
        }
    }
}
