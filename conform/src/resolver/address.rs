//! Where a server can be reached, and what a resolver tells of it besides.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tonic::codegen::http::Extensions;

/// One address that a connection can be made to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A Unix domain socket. A path that begins with a NUL byte is a name in Linux's abstract
    /// namespace, as [`tokio::net::UnixStream::connect`] has it.
    Unix(PathBuf),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// As [`Target`](super::Target)s are written: `127.0.0.1:50051`, `unix:/run/greeter.sock`,
/// `unix-abstract:greeter`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => match abstract_name(path) {
                Some(name) => write!(f, "unix-abstract:{name}"),
                None => write!(f, "unix:{}", path.display()),
            },
        }
    }
}

fn abstract_name(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix('\0')
}

/// One server, by one address or by several that lead to the same server.
///
/// A policy of `conform::balance` takes two backends for two servers, and two addresses of one
/// backend for two ways to the same one ([gRFC A61], *Allow Resolvers to Return Multiple Addresses
/// Per Endpoint*; gRPC calls a backend an endpoint).
///
/// [gRFC A61]: https://github.com/grpc/proposal/blob/master/A61-IPv4-IPv6-dualstack-backends.md
#[derive(Debug, Clone)]
pub struct Backend {
    addresses: Vec<Address>,
    attributes: Extensions,
}

impl Backend {
    /// The server at this address, without attributes.
    pub fn new(address: impl Into<Address>) -> Self {
        Self {
            addresses: vec![address.into()],
            attributes: Extensions::new(),
        }
    }

    /// The server at this IP address and port. The same as [`new`](Self::new), for `map`.
    pub fn at(address: SocketAddr) -> Self {
        Self::new(address)
    }

    /// Another address of the same server, to be tried after those before it.
    pub fn or(mut self, address: impl Into<Address>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Says something of this server to the policy, such as its [`Weight`]. There is one attribute
    /// of each type: a second one replaces the first.
    pub fn with<A: Clone + Send + Sync + 'static>(mut self, attribute: A) -> Self {
        self.attributes.insert(attribute);
        self
    }

    /// The addresses, in the order in which they are to be tried. There is at least one.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The attribute of this type, if there is one.
    pub fn attribute<A: Send + Sync + 'static>(&self) -> Option<&A> {
        self.attributes.get()
    }
}

impl From<Address> for Backend {
    fn from(address: Address) -> Self {
        Self::new(address)
    }
}

/// An attribute: how large this server's share of the calls is, measured by those of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(pub u32);
