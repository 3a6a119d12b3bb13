//! What is told of calls, channels, servers and connections.

use std::pin::pin;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::{Code, Request};

use super::pb::channelz_server::Channelz as _;
use super::*;
use crate::connectivity::{Attempt, GuardedIo};
use crate::testing::soon;

mod attack;
mod calls;
mod channel;
mod frames;
mod passes_on;
mod server;
mod service;

/// A server's side of a connection, and the client's, which the test plays by hand.
async fn server_side(channelz: &Channelz) -> (CountedIo<DuplexStream>, DuplexStream) {
    let (io, peer) = duplex(1 << 20);
    let connections = futures::stream::iter([Ok::<_, io::Error>(io)]);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 50051));
    let mut incoming = pin!(channelz.server("server").incoming(address, connections));
    let io = futures::TryStreamExt::try_next(&mut incoming).await;
    (io.unwrap().unwrap(), peer)
}

type ClientIo = TokioIo<CountedIo<GuardedIo<TokioIo<DuplexStream>, Attempt>>>;

/// A client's side of a connection, and the server's, which the test plays by hand.
async fn client_side(channelz: &Channelz) -> (ClientIo, DuplexStream) {
    let (io, peer) = duplex(1 << 20);
    let mut io = Some(TokioIo::new(io));
    let connector = tower::service_fn(move |_: Uri| {
        std::future::ready(io.take().ok_or(io::Error::other("one connection only")))
    });
    let backend = channelz.channel("channel").subchannel("backend");
    let io = backend.connector(connector).call(Uri::default()).await;
    (TokioIo::new(io.unwrap()), peer)
}

/// What is told of the newest socket.
fn newest_socket(channelz: &Channelz) -> pb::SocketData {
    let sockets = channelz.registry.sockets.all();
    let newest = sockets.last().expect("a socket");
    newest.to_pb(false).data.unwrap()
}

#[test]
fn a_moment_is_told_to_the_nanosecond() {
    let nanos = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as i64;
    let before = nanos();
    let told = super::moment::Moment::now().timestamp().unwrap();
    assert!((0..1_000_000_000).contains(&told.nanos), "{told:?}");
    let told = told.seconds * 1_000_000_000 + i64::from(told.nanos);
    assert!((before..=nanos()).contains(&told));
}

/// The descriptions of events.
fn events(trace: Option<pb::ChannelTrace>) -> Vec<String> {
    let events = trace.unwrap().events.into_iter();
    events.map(|event| event.description).collect()
}

/// Waits until `is_so`.
async fn until(is_so: impl Fn() -> bool) {
    soon(async {
        while !is_so() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
}
