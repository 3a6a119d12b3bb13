//! What a channel tells of itself in channelz: gRFC A14, read as anybody reads it.

use super::*;
use crate::channelz::Channelz;
use crate::channelz::pb::channel_connectivity_state::State as Shown;
use crate::channelz::pb::channelz_client::ChannelzClient;
use crate::channelz::pb::{
    ChannelData, GetSocketRequest, GetSubchannelRequest, GetTopChannelsRequest, Subchannel, address,
};

struct Reader {
    client: ChannelzClient<tonic::transport::Channel>,
    _served: Served,
}

impl Reader {
    async fn new(channelz: &Channelz) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let channelz = channelz.clone();
        let served = Served::new(address, async move { channelz.serve(listener).await });
        let client = ChannelzClient::new(served.channel());
        Self {
            client,
            _served: served,
        }
    }

    async fn channels(&mut self) -> Vec<crate::channelz::pb::Channel> {
        let all = self
            .client
            .get_top_channels(GetTopChannelsRequest::default());
        all.await.unwrap().into_inner().channel
    }

    async fn only_channel(&mut self) -> crate::channelz::pb::Channel {
        let [channel] = self.channels().await.try_into().unwrap();
        channel
    }

    async fn subchannel(&mut self, subchannel_id: i64) -> Subchannel {
        let request = GetSubchannelRequest { subchannel_id };
        let reply = self.client.get_subchannel(request).await.unwrap();
        reply.into_inner().subchannel.unwrap()
    }

    /// The subchannel of this address.
    async fn subchannel_to(&mut self, server: &Served) -> Option<Subchannel> {
        for below in self.only_channel().await.subchannel_ref {
            let subchannel = self.subchannel(below.subchannel_id).await;
            if subchannel.data.as_ref().unwrap().target == server.address.to_string() {
                return Some(subchannel);
            }
        }
        None
    }
}

fn shown(data: &Option<ChannelData>) -> Shown {
    data.as_ref().unwrap().state.as_ref().unwrap().state()
}

/// Started, succeeded, failed.
fn counts(data: &Option<ChannelData>) -> [i64; 3] {
    let data = data.as_ref().unwrap();
    [data.calls_started, data.calls_succeeded, data.calls_failed]
}

fn events(data: &Option<ChannelData>) -> Vec<String> {
    let trace = data.as_ref().unwrap().trace.as_ref().unwrap();
    let events = trace.events.iter();
    events.map(|event| event.description.clone()).collect()
}

fn channel(fleet: &Manual, channelz: &Channelz) -> Channel {
    let builder = Channel::builder("fleet:test").scheme(fleet.clone());
    let builder = builder.service_config(ROUND_ROBIN).channelz(channelz);
    builder.connect_lazy().unwrap()
}

#[tokio::test]
async fn a_channel_tells_of_its_calls_its_subchannels_and_their_sockets() {
    let (one, two) = (named("one").await, named("two").await);
    let fleet = Manual::new("fleet");
    fleet.set(backends([&one, &two]));
    let channelz = Channelz::new();
    let mut reader = Reader::new(&channelz).await;
    let channel = channel(&fleet, &channelz);
    let told = reader.only_channel().await;
    assert_eq!(told.r#ref.as_ref().unwrap().name, "fleet:test");
    assert_eq!(shown(&told.data), Shown::Idle);
    assert_eq!(told.subchannel_ref, []);

    let mut calls = 0;
    let mut seen = BTreeSet::new();
    soon(async {
        while seen.len() < 2 {
            seen.insert(answer(&channel).await.unwrap());
            calls += 1;
        }
    })
    .await;
    let told = reader.only_channel().await;
    assert_eq!(told.data.as_ref().unwrap().target, "fleet:test");
    assert_eq!(shown(&told.data), Shown::Ready);
    assert_eq!(counts(&told.data), [calls, calls, 0]);
    let all = events(&told.data);
    assert!(all.contains(&"CONNECTING".into()), "{all:?}");
    assert!(all.contains(&"READY".into()), "{all:?}");
    assert_eq!(told.subchannel_ref.len(), 2);

    let mut below = 0;
    for server in [&one, &two] {
        let told = reader.subchannel_to(server).await.unwrap();
        assert_eq!(shown(&told.data), Shown::Ready);
        let [started, succeeded, failed] = counts(&told.data);
        assert_eq!((started, failed), (succeeded, 0));
        below += started;
        let all = events(&told.data);
        assert!(all.contains(&"READY".into()), "{all:?}");
        let [socket] = &told.socket_ref[..] else {
            panic!("{:?}", told.socket_ref);
        };
        let request = GetSocketRequest {
            socket_id: socket.socket_id,
            ..GetSocketRequest::default()
        };
        let socket = reader.client.get_socket(request).await.unwrap();
        let socket = socket.into_inner().socket.unwrap();
        let remote = socket.remote.unwrap().address.unwrap();
        let address::Address::TcpipAddress(remote) = remote else {
            panic!("{remote:?}");
        };
        assert_eq!(remote.port, i32::from(server.address.port()));
        let data = socket.data.unwrap();
        assert_eq!(data.streams_started, started);
        assert_eq!(data.messages_received, started);
    }
    assert_eq!(below, calls);

    // One that the resolver doesn't list any more goes.
    fleet.set(backends([&two]));
    soon(async { while reader.subchannel_to(&one).await.is_some() {} }).await;
    assert!(reader.subchannel_to(&two).await.is_some());
    soon(channel.close()).await;
    soon(async { while !reader.only_channel().await.subchannel_ref.is_empty() {} }).await;
    assert_eq!(shown(&reader.only_channel().await.data), Shown::Shutdown);
    drop(channel);
    soon(async { while !reader.channels().await.is_empty() {} }).await;
}

#[tokio::test]
async fn a_subchannel_that_cannot_connect_says_why_and_failed_calls_count() {
    let dead = nowhere().await;
    let server = serve(Identity::new(), replies(&[Err(Code::NotFound)])).await;
    let fleet = Manual::new("fleet");
    fleet.set(Update::new([Backend::at(dead)]));
    let channelz = Channelz::new();
    let mut reader = Reader::new(&channelz).await;
    let channel = channel(&fleet, &channelz);
    assert_eq!(answer(&channel).await, Err(Code::Unavailable));
    let told = reader.only_channel().await;
    assert_eq!(shown(&told.data), Shown::TransientFailure);
    assert_eq!(counts(&told.data), [1, 0, 1]);
    let below = told.subchannel_ref[0].subchannel_id;
    let told = reader.subchannel(below).await;
    assert_eq!(shown(&told.data), Shown::TransientFailure);
    assert_eq!(counts(&told.data), [0, 0, 0], "no call has gone there");
    let all = events(&told.data);
    let why = format!("TRANSIENT_FAILURE: connecting to {dead} failed");
    assert!(all.last().unwrap().starts_with(&why), "{all:?}");

    fleet.set(backends([&server]));
    let answered = soon(calls(&channel, WaitForReady(true))).await;
    assert_eq!(answered.unwrap_err().code(), Code::NotFound);
    let told = reader.subchannel_to(&server).await.unwrap();
    assert_eq!(counts(&told.data), [1, 0, 1]);
    assert_eq!(counts(&reader.only_channel().await.data), [2, 0, 2]);
}

/// A call that runs has neither succeeded nor failed, and one that is dropped has failed.
#[tokio::test]
async fn a_call_counts_when_it_ends() {
    let (server, _go_on, count) = held().await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channelz = Channelz::new();
    let mut reader = Reader::new(&channelz).await;
    let channel = channel(&fleet, &channelz);
    let mut running = Box::pin(answer(&channel));
    soon(async {
        while count.load(Ordering::SeqCst) < 1 {
            assert!(futures::poll!(&mut running).is_pending());
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(counts(&reader.only_channel().await.data), [1, 0, 0]);
    let told = reader.subchannel_to(&server).await.unwrap();
    assert_eq!(counts(&told.data), [1, 0, 0]);
    drop(running);
    assert_eq!(counts(&reader.only_channel().await.data), [1, 0, 1]);
    let told = reader.subchannel_to(&server).await.unwrap();
    assert_eq!(counts(&told.data), [1, 0, 1]);
}
