//! Policies, with a channel that a test plays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use tokio::time::Instant;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status};

use super::SubchannelState::{Connecting, Idle, Ready, TransientFailure};
use super::testing::FakeChannel;
use super::*;
use crate::connectivity::State;
use crate::resolver::{Address, Backend, Weight};

mod least_request;
mod model;
mod outlier_detection;
mod pick_first;
mod registry;
mod ring_hash;
mod round_robin;
mod speed;
mod static_weights;
mod tonic_alone;

fn at(port: u16) -> Address {
    Address::Tcp(([127, 0, 0, 1], port).into())
}

fn six(port: u16) -> Address {
    Address::Tcp((std::net::Ipv6Addr::LOCALHOST, port).into())
}

fn one(port: u16) -> Backend {
    Backend::new(at(port))
}

fn backends(ports: impl IntoIterator<Item = u16>) -> Vec<Backend> {
    ports.into_iter().map(one).collect()
}

fn failure(why: &str) -> SubchannelState {
    TransientFailure(Status::unavailable(why))
}

/// Where calls without headers go; each ends at once.
fn pick(channel: &mut FakeChannel) -> Pick {
    channel.pick(&Call::new("/test.Test/Call", &HeaderMap::new()))
}

fn address(pick: Pick) -> Address {
    match pick {
        Pick::Use(picked) => picked.subchannel().address().clone(),
        other => panic!("{other:?}"),
    }
}

fn waits(channel: &mut FakeChannel) -> bool {
    matches!(pick(channel), Pick::Wait)
}

fn error(channel: &mut FakeChannel) -> String {
    match pick(channel) {
        Pick::Fail(status) => {
            assert_eq!(status.code(), Code::Unavailable);
            status.message().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// Where the next calls go.
fn picks(channel: &mut FakeChannel, count: usize) -> Vec<Address> {
    (0..count).map(|_| address(pick(channel))).collect()
}

/// How many of the next calls go where.
fn shares(channel: &mut FakeChannel, count: usize) -> BTreeMap<Address, usize> {
    let mut shares = BTreeMap::new();
    for address in picks(channel, count) {
        *shares.entry(address).or_default() += 1;
    }
    shares
}

/// All of these go through CONNECTING to READY.
fn connect(channel: &mut FakeChannel, ports: impl IntoIterator<Item = u16>) {
    for port in ports {
        assert!(channel.set(&at(port), Connecting));
        assert!(channel.set(&at(port), Ready));
    }
}

/// The policy of this name, with this config.
fn named(name: &str, config: serde_json::Value) -> FakeChannel {
    let chosen = Registry::new().policy(name, &config).unwrap();
    FakeChannel::new(chosen.config().build())
}

fn refused(name: &str, config: serde_json::Value) -> String {
    Registry::new().policy(name, &config).unwrap_err()
}

#[test]
fn what_is_shown_says_where_it_goes() {
    let mut channel = named("round_robin", json!({}));
    channel.resolved(&backends([1])).unwrap();
    connect(&mut channel, [1]);
    let subchannel = "Subchannel { id: 1, address: Tcp(127.0.0.1:1), .. }";
    let picked = format!("Use(Picked {{ subchannel: {subchannel}, .. }})");
    assert_eq!(format!("{:?}", pick(&mut channel)), picked);
    let shown = "FakeChannel { state: Some(Ready), subchannels: [Tcp(127.0.0.1:1)], .. }";
    assert_eq!(format!("{channel:?}"), shown);
}
