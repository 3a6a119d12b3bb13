//! A host and its port, as targets write them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::DEFAULT_PORT;

/// The longest name that DNS has, without a dot at its end (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;

/// The longest part of a name between two dots (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// Who is to be called, and at which port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Address(SocketAddr),
    /// A name in lower case.
    Name(String, u16),
}

impl Host {
    /// `host`, `host:port`, `[v6]`, `[v6]:port` or `v6`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Self::parse_with_port(text, DEFAULT_PORT)
    }

    /// The same with another port where there is none.
    pub(super) fn parse_with_port(text: &str, default: u16) -> Result<Self, String> {
        let (host, port) = split(text)?;
        let port = match port {
            None => default,
            Some(port) => parse_port(port)
                .ok_or_else(|| format!("the port `{port}` is no number from 1 to 65535"))?,
        };
        if let Ok(ip) = host.parse::<Ipv4Addr>() {
            return Ok(Self::Address((ip, port).into()));
        }
        if let Some((ip, zone)) = ipv6(host) {
            return Ok(Self::Address(SocketAddrV6::new(ip, port, 0, zone).into()));
        }
        if text.starts_with('[') || host.contains(':') {
            return Err(format!("`{host}` is no address of IPv6"));
        }
        Ok(Self::Name(name(host)?, port))
    }

    /// The address, if it isn't a name.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(..) => None,
        }
    }
}

/// Host without brackets, and port.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest
            .split_once(']')
            .ok_or("there is no `]` after its `[`")?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(format!(
                "only a port can follow `[{host}]`, as in `[{host}]:50051`"
            )),
        };
    }
    match text.split_once(':') {
        // An address of IPv6 without brackets.
        Some((_, rest)) if rest.contains(':') => Ok((text, None)),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

fn parse_port(port: &str) -> Option<u16> {
    // `parse` takes `+80` too.
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number)?;
    (port != 0).then_some(port)
}

/// An address, with its zone (RFC 4007, 11) as a number, or 0.
fn ipv6(host: &str) -> Option<(Ipv6Addr, u32)> {
    let (ip, zone) = match host.split_once('%') {
        Some((ip, zone)) => (ip, zone.parse().ok()?),
        None => (host, 0),
    };
    Some((ip.parse().ok()?, zone))
}

/// A name that DNS may know, in lower case.
fn name(host: &str) -> Result<String, String> {
    if host.is_empty() {
        return Err("there is no host in it; the own machine is `localhost`".to_owned());
    }
    if !host.is_ascii() {
        return Err(format!("`{host}` isn't ASCII; write its `xn--` form"));
    }
    let is_right = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    if let Some(wrong) = host.chars().find(|&char| !is_right(char)) {
        return Err(format!("`{wrong}` can't be in the name of a host"));
    }
    let labels = host.strip_suffix('.').unwrap_or(host);
    if labels.len() > MAX_NAME {
        return Err(format!("its host's name is longer than {MAX_NAME} bytes"));
    }
    for label in labels.split('.') {
        if label.is_empty() {
            return Err("there is nothing between two dots of its host's name".to_owned());
        }
        if label.len() > MAX_LABEL {
            return Err(format!("`{label}` is longer than {MAX_LABEL} bytes"));
        }
    }
    Ok(host.to_ascii_lowercase())
}

/// `text` as the authority of a call: an address of IPv6 needs its brackets, and has no zone there
/// (RFC 6874, 4).
pub(super) fn authority(text: &str) -> String {
    match split(text) {
        Ok((host, port)) if host.contains(':') => {
            let host = host.split('%').next().unwrap_or_default();
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            format!("[{host}]{port}")
        }
        _ => text.to_owned(),
    }
}
