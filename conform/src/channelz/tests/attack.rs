//! Strangers: on the connections that are counted, and at the address where it is read.

use pb::channelz_client::ChannelzClient;
use tokio::net::TcpStream;
use tonic::transport::Endpoint;

use super::*;
use crate::testing::{endpoint, replies};

#[tokio::test]
async fn a_thousand_connections_leave_nothing_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let channelz = Channelz::new();
    let entry = channelz.server("attacked");
    let incoming = crate::server::incoming(listener).max_connections(50);
    let server = crate::server::builder()
        .layer(entry.layer())
        .add_service(replies(&[Ok(b"hi")]))
        .serve_with_incoming(entry.incoming(address, incoming));
    let server = tokio::spawn(server);
    for _ in 0..20 {
        let mut streams = Vec::new();
        for number in 0_u8..50 {
            let mut stream = soon(TcpStream::connect(address)).await.unwrap();
            // Silence, rubbish, half a preface, a frame that never ends.
            let _ = match number % 4 {
                0 => Ok(()),
                1 => stream.write_all(&[number; 300]).await,
                2 => stream.write_all(b"PRI * HTTP/2.0\r\n").await,
                _ => {
                    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\0\0\0\0\0\x01rest";
                    stream.write_all(preface).await
                }
            };
            streams.push(stream);
        }
        assert!(channelz.registry.sockets.all().len() <= 51);
    }
    until(|| channelz.registry.servers.all()[0].sockets.all().is_empty()).await;
    let told = channelz.registry.servers.all()[0].to_pb();
    let trace = told.data.unwrap().trace.unwrap();
    assert_eq!(trace.events.len(), MAX_TRACE_EVENTS);
    assert_eq!(told.listen_socket.len(), 1);
    server.abort();
}

#[tokio::test]
async fn those_who_read_hold_no_one_up_and_get_no_more_than_a_page() {
    let channelz = Channelz::new();
    let entries: Vec<_> = (0..1000)
        .map(|_| channelz.channel(&"long".repeat(100)))
        .collect();
    let backends: Vec<_> = entries.iter().map(|it| it.subchannel("one")).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = channelz.clone();
    let server = tokio::spawn(async move { served.serve(listener).await });
    let endpoint: Endpoint = endpoint(address);
    let reads = (0..100).map(|number| {
        let mut client = ChannelzClient::new(endpoint.connect_lazy());
        async move {
            let request = pb::GetTopChannelsRequest {
                start_channel_id: i64::MIN + number,
                max_results: i64::MAX - number,
            };
            let page = client.get_top_channels(request).await?;
            Ok::<_, tonic::Status>(page.into_inner().channel.len())
        }
    });
    // Each has a connection of its own; they take turns at sixteen places.
    let reads = soon(futures::future::join_all(reads)).await;
    assert!(
        reads.iter().all(|read| matches!(read, Ok(MAX_PAGE))),
        "{reads:?}"
    );
    drop((entries, backends));
    server.abort();
}

#[test]
fn many_threads_make_and_drop_entries_while_others_read() {
    let channelz = Channelz::new();
    let top = channelz.channel("top");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let below = top.subchannel("below");
                    let server = channelz.server("server");
                    drop((below, server));
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for start in 0..500 {
                    for channel in channelz.registry.channels.page(0, 10).0 {
                        channel.to_pb();
                    }
                    let (servers, _) = channelz.registry.servers.page(start, 2);
                    assert!(servers.len() <= 2);
                    for server in servers {
                        server.to_pb();
                    }
                    for below in channelz.registry.subchannels.all() {
                        below.to_pb();
                    }
                }
            });
        }
    });
    assert!(channelz.registry.subchannels.all().is_empty());
    assert!(channelz.registry.servers.all().is_empty());
    let told = channelz.registry.channels.all()[0].to_pb();
    assert_eq!(told.subchannel_ref, []);
}
