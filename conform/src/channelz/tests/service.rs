//! How the registry is read.

use std::collections::BTreeSet;

use pb::channelz_client::ChannelzClient;
use tonic::transport::{Endpoint, Server};

use super::*;
use crate::testing::{endpoint, replies, serve};

fn service(channelz: &Channelz) -> ChannelzService {
    ChannelzService {
        registry: channelz.registry.clone(),
    }
}

async fn channel_page(channelz: &Channelz, start: i64, max: i64) -> (Vec<i64>, bool) {
    let request = pb::GetTopChannelsRequest {
        start_channel_id: start,
        max_results: max,
    };
    let service = service(channelz);
    let page = service.get_top_channels(Request::new(request));
    let page = page.await.unwrap().into_inner();
    let ids = page.channel.into_iter();
    (
        ids.map(|it| it.r#ref.unwrap().channel_id).collect(),
        page.end,
    )
}

async fn server_page(channelz: &Channelz, start: i64, max: i64) -> (Vec<i64>, bool) {
    let request = pb::GetServersRequest {
        start_server_id: start,
        max_results: max,
    };
    let service = service(channelz);
    let page = service.get_servers(Request::new(request));
    let page = page.await.unwrap().into_inner();
    let ids = page.server.into_iter();
    (
        ids.map(|it| it.r#ref.unwrap().server_id).collect(),
        page.end,
    )
}

async fn socket_page(
    channelz: &Channelz,
    server_id: i64,
    start: i64,
    max: i64,
) -> Result<(Vec<i64>, bool), tonic::Status> {
    let request = pb::GetServerSocketsRequest {
        server_id,
        start_socket_id: start,
        max_results: max,
    };
    let service = service(channelz);
    let page = service.get_server_sockets(Request::new(request));
    let page = page.await?.into_inner();
    let ids = page.socket_ref.into_iter();
    Ok((ids.map(|it| it.socket_id).collect(), page.end))
}

#[tokio::test]
async fn pages_go_on_after_the_highest_id_and_the_last_one_says_so() {
    let channelz = Channelz::new();
    assert_eq!(channel_page(&channelz, 0, 0).await, (vec![], true));
    assert_eq!(server_page(&channelz, 0, 0).await, (vec![], true));
    // Ids 1 to 8: channels have the odd ones.
    let kept: Vec<_> = (0..4)
        .map(|_| (channelz.channel("channel"), channelz.server("server")))
        .collect();
    assert_eq!(
        channel_page(&channelz, 0, 0).await,
        (vec![1, 3, 5, 7], true)
    );
    assert_eq!(server_page(&channelz, 0, 0).await, (vec![2, 4, 6, 8], true));
    assert_eq!(channel_page(&channelz, 0, 2).await, (vec![1, 3], false));
    assert_eq!(channel_page(&channelz, 3 + 1, 2).await, (vec![5, 7], true));
    assert_eq!(
        server_page(&channelz, 4, 2).await,
        (vec![4, 6], false),
        "at or above"
    );
    assert_eq!(server_page(&channelz, 6 + 1, 2).await, (vec![8], true));
    assert_eq!(server_page(&channelz, 9, 2).await, (vec![], true));
    drop(kept);
    assert_eq!(channel_page(&channelz, 0, 0).await, (vec![], true));
    let _kept = channelz.channel("new");
    assert_eq!(
        channel_page(&channelz, 0, 0).await,
        (vec![9], true),
        "no id is used twice"
    );
}

#[tokio::test]
async fn the_sockets_of_a_server_come_in_pages_without_those_that_listen() {
    let channelz = Channelz::new();
    let server = channelz.server("server");
    let another = channelz.server("another");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 50051));
    let connections = || {
        let connections = (0..3).map(|_| Ok::<_, io::Error>(duplex(1).0));
        futures::stream::iter(connections)
    };
    let mut kept = Vec::new();
    let mut all = Vec::new();
    for server in [&server, &another] {
        let mut incoming = server.incoming(address, connections());
        while let Some(io) = futures::StreamExt::next(&mut incoming).await {
            kept.push(io.unwrap());
            all.push(channelz.registry.sockets.all().last().unwrap().id);
        }
    }
    // 1 and 2 are the servers, 3 listens.
    assert_eq!(all[..3], [4, 5, 6]);
    let page = socket_page(&channelz, 1, 0, 0).await.unwrap();
    assert_eq!(page, (vec![4, 5, 6], true));
    let page = socket_page(&channelz, 1, 5, 1).await.unwrap();
    assert_eq!(page, (vec![5], false));
    let page = socket_page(&channelz, 1, 6, 1).await.unwrap();
    assert_eq!(page, (vec![6], true));
    for id in [0, 3, 4, -1, i64::MAX] {
        let status = socket_page(&channelz, id, 0, 0).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{id} is no server");
    }
}

#[tokio::test]
async fn any_start_and_any_number_that_is_not_negative_is_answered_in_bounds() {
    let channelz = Channelz::new();
    let kept: Vec<_> = (0..=MAX_PAGE)
        .map(|_| (channelz.channel("channel"), channelz.server("server")))
        .collect();
    for start in [i64::MIN, -1, 0, 1] {
        for max in [0, i64::MAX, 1 << 32, MAX_PAGE as i64, 1 + MAX_PAGE as i64] {
            for (page, is_last) in [
                channel_page(&channelz, start, max).await,
                server_page(&channelz, start, max).await,
            ] {
                assert_eq!((page.len(), is_last), (MAX_PAGE, false), "{start}, {max}");
            }
        }
    }
    assert_eq!(channel_page(&channelz, i64::MAX, 0).await, (vec![], true));
    drop(kept);
}

#[tokio::test]
async fn a_negative_number_of_results_is_refused() {
    let channelz = Channelz::new();
    let _server = channelz.server("server");
    let service = service(&channelz);
    for max_results in [-1, i64::MIN] {
        let channels = pb::GetTopChannelsRequest {
            start_channel_id: 0,
            max_results,
        };
        let servers = pb::GetServersRequest {
            start_server_id: 0,
            max_results,
        };
        let codes = [
            service.get_top_channels(Request::new(channels)).await.err(),
            service.get_servers(Request::new(servers)).await.err(),
            socket_page(&channelz, 1, 0, max_results).await.err(),
        ];
        for status in codes {
            assert_eq!(status.unwrap().code(), Code::InvalidArgument);
        }
    }
}

#[tokio::test]
async fn each_kind_is_found_by_its_id_alone_and_another_kinds_id_is_not_found() {
    let channelz = Channelz::new();
    let (_io, _peer) = server_side(&channelz).await;
    let top = channelz.channel("top");
    let _below = top.subchannel("below");
    let service = service(&channelz);
    let mut found: [BTreeSet<i64>; 4] = Default::default();
    let mut codes = BTreeSet::new();
    for id in -1..20 {
        let answers = [
            service
                .get_server(Request::new(pb::GetServerRequest { server_id: id }))
                .await
                .map(|it| it.into_inner().server.unwrap().r#ref.unwrap().server_id),
            service
                .get_channel(Request::new(pb::GetChannelRequest { channel_id: id }))
                .await
                .map(|it| it.into_inner().channel.unwrap().r#ref.unwrap().channel_id),
            service
                .get_subchannel(Request::new(pb::GetSubchannelRequest { subchannel_id: id }))
                .await
                .map(|it| {
                    it.into_inner()
                        .subchannel
                        .unwrap()
                        .r#ref
                        .unwrap()
                        .subchannel_id
                }),
            service
                .get_socket(Request::new(pb::GetSocketRequest {
                    socket_id: id,
                    summary: false,
                }))
                .await
                .map(|it| it.into_inner().socket.unwrap().r#ref.unwrap().socket_id),
        ];
        for (found, answer) in found.iter_mut().zip(answers) {
            match answer {
                Ok(answered) => {
                    assert_eq!(answered, id);
                    found.insert(id);
                }
                Err(status) => drop(codes.insert(status.message().to_owned())),
            }
        }
    }
    // Server 1, its listening socket 2 (gone with its stream), its connection 3.
    assert_eq!(found, [[1], [4], [5], [3]].map(BTreeSet::from));
    assert!(codes.contains("there is no server 3"), "{codes:?}");
    assert!(codes.contains("there is no socket 2"), "{codes:?}");
    assert!(codes.contains("there is no channel 5"), "{codes:?}");
    assert!(codes.contains("there is no subchannel 4"), "{codes:?}");
    let unknown = pb::GetChannelRequest { channel_id: 5 };
    let status = service
        .get_channel(Request::new(unknown))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn it_is_served_on_loopback_and_elsewhere_only_if_asked() {
    let channelz = Channelz::new();
    let _server = channelz.server("greeter");
    for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
        let Ok(listener) = TcpListener::bind(address).await else {
            assert_eq!(address, "[::1]:0", "some machines have no IPv6");
            continue;
        };
        let bound = listener.local_addr().unwrap();
        let is_open = address.starts_with("0.");
        let serving = if is_open {
            let error = soon(channelz.serve(listener)).await.unwrap_err();
            let message = error.to_string();
            assert!(
                message.contains("can be reached from elsewhere"),
                "{message}"
            );
            assert!(message.starts_with(&bound.to_string()), "{message}");
            let listener = TcpListener::bind(address).await.unwrap();
            let bound = listener.local_addr().unwrap();
            let public = channelz.serve_publicly(listener);
            (tokio::spawn(public), ([127, 0, 0, 1], bound.port()).into())
        } else {
            let channelz = channelz.clone();
            (
                tokio::spawn(async move { channelz.serve(listener).await }),
                bound,
            )
        };
        let (task, address) = serving;
        let endpoint: Endpoint = endpoint(address);
        let mut client = ChannelzClient::new(endpoint.connect_lazy());
        let servers = soon(client.get_servers(pb::GetServersRequest::default())).await;
        let servers = servers.unwrap().into_inner().server;
        assert_eq!(servers[0].r#ref.as_ref().unwrap().name, "greeter");
        task.abort();
    }
}

#[test]
fn names_are_short_and_harmless() {
    let channelz = Channelz::new();
    let long = "ä".repeat(LONGEST + 1);
    let cut = format!("{}…", "ä".repeat(LONGEST));
    let top = channelz.channel(&long);
    let below = top.subchannel("two\nlines");
    let just = "ä".repeat(LONGEST);
    let server = channelz.server(&just);
    let told = channelz.registry.channels.all()[0].to_pb();
    assert_eq!(told.r#ref.unwrap().name, cut);
    assert_eq!(told.data.unwrap().target, cut);
    assert_eq!(told.subchannel_ref[0].name, r"two\nlines");
    let told = channelz.registry.servers.all()[0].to_pb();
    assert_eq!(told.r#ref.unwrap().name, just);
    drop((below, server));
}

#[test]
fn no_more_than_so_many_entries_are_listed() {
    let channelz = Channelz::new();
    let mut kept: Vec<_> = (0..MAX_ENTRIES + 2)
        .map(|_| channelz.channel("one more"))
        .collect();
    assert_eq!(channelz.registry.channels.all().len(), MAX_ENTRIES);
    kept.pop();
    assert_eq!(channelz.registry.channels.all().len(), MAX_ENTRIES);
    kept.truncate(MAX_ENTRIES - 1);
    assert_eq!(channelz.registry.channels.all().len(), MAX_ENTRIES - 1);
    kept.push(channelz.channel("room again"));
    assert_eq!(channelz.registry.channels.all().len(), MAX_ENTRIES);
    kept.push(channelz.channel("one too many"));
    assert_eq!(format!("{:?}", channelz.registry.channels), "16384 entries");
}

#[test]
fn an_entry_can_be_shown_although_its_parts_know_one_another() {
    let channelz = Channelz::new();
    let below = channelz.channel("top").subchannel("below");
    let shown = format!("{channelz:?} {below:?}");
    assert!(shown.contains("1 entries"), "{shown}");
}

/// If this fails, tonic has learned to tell of itself: channelz may be superfluous.
#[tokio::test]
async fn tonic_alone_tells_nothing() {
    let served = serve(tower::layer::util::Identity::new(), replies(&[Ok(b"hi")])).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let alone = Server::builder()
        .add_service(replies(&[Ok(b"hi")]))
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    let alone = tokio::spawn(alone);
    for address in [served.address, address] {
        let endpoint: Endpoint = endpoint(address);
        let mut client = ChannelzClient::new(endpoint.connect_lazy());
        let servers = soon(client.get_servers(pb::GetServersRequest::default())).await;
        assert_eq!(servers.unwrap_err().code(), Code::Unimplemented);
    }
    alone.abort();
}
