//! What a client does about servers that are dead, or that want fewer pings.

use super::*;
use crate::frames::Heard;
use crate::keepalive::client::{Ear, Throttle};
use crate::status::ClientStatusLayer;
use crate::testing::passes_on_io;
use tonic::codegen::{Body as _, http};
use tower::Layer;

fn endpoint() -> Endpoint {
    Endpoint::from_static("http://memory")
}

type Log = Arc<Mutex<Vec<u64>>>;

fn client(time: u64, server: &Running) -> (KeepaliveChannel, Log) {
    let log = Log::default();
    let throttled = log.clone();
    let channel = ClientKeepalive::new(seconds(time))
        .on_throttled(move |time| throttled.lock().unwrap().push(time.as_secs()))
        .connect_with_connector_lazy(endpoint(), server.connector());
    (channel, log)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pings_too_often_doubles_its_time_until_it_is_borne() {
    let server = start(|enforce| enforce.min_ping_time(seconds(60)));
    let (channel, log) = client(10, &server);
    let mut ends = Vec::new();
    for _ in 0..4 {
        // A call that never ends, as often as it is cut.
        let mut stub = GreeterClient::new(ClientStatusLayer::new().layer(channel.clone()));
        let call = stub.greet_all(stream::pending());
        ends.push(
            timeout(2 * HOUR, call)
                .await
                .map(|end| end.unwrap_err().code()),
        );
    }
    assert_eq!(*log.lock().unwrap(), [20, 40, 80]);
    assert_eq!(channel.time(), seconds(80));
    let unavailable = Ok(Code::Unavailable);
    let cut = ends.iter().filter(|end| **end == unavailable).count();
    assert_eq!((cut, ends[3].is_err()), (3, true), "{ends:?}");
    assert_eq!(server.closed()[..3], [Closed::TooManyPings; 3]);
}

#[tokio::test(start_paused = true)]
async fn tonic_alone_goes_on_pinging_too_often() {
    let server = start(|enforce| enforce.min_ping_time(seconds(60)));
    let channel = endpoint()
        .http2_keep_alive_interval(seconds(10))
        .connect_with_connector_lazy(server.connector());
    for _ in 0..10 {
        let mut stub = GreeterClient::new(channel.clone());
        let call = timeout(2 * HOUR, stub.greet_all(stream::pending())).await;
        call.expect("it is cut").unwrap_err();
    }
    assert_eq!(server.closed()[..9], [Closed::TooManyPings; 9]);
}

#[tokio::test(start_paused = true)]
async fn without_calls_it_hears_too() {
    let server = start(|enforce| enforce);
    let channel = ClientKeepalive::new(seconds(10))
        .without_calls(true)
        .connect_with_connector_lazy(endpoint(), server.connector());
    let mut stub = GreeterClient::new(channel.clone());
    stub.greet(Name::default()).await.unwrap();
    sleep(seconds(60)).await;
    assert_eq!(channel.time(), seconds(20));
    // And is borne as soon as its calls need it.
    stub.greet(Name::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connections_of_one_time_double_it_once() {
    let server = start(|enforce| enforce.min_ping_time(seconds(60)));
    let (channel, log) = client(10, &server);
    let calls = (0..5).map(|_| {
        let mut stub = GreeterClient::new(channel.clone());
        async move { stub.greet_all(stream::pending()).await.is_err() }
    });
    futures::future::join_all(calls).await;
    assert_eq!(*log.lock().unwrap(), [20]);
}

#[tokio::test(start_paused = true)]
async fn doubling_ends_at_a_day() {
    for (time, doubled) in [(80_000, 86_400), (86_400, 86_400), (100_000, 100_000)] {
        let angry = tower::service_fn(move |_| {
            let (client, mut server) = duplex(1024);
            tokio::spawn(async move {
                let calm = [
                    &[0; 4][..],
                    &ENHANCE_YOUR_CALM.to_be_bytes(),
                    b"too_many_pings",
                ];
                let bytes = [
                    frame(SETTINGS, 0, 0, &[]),
                    frame(GOAWAY, 0, 0, &calm.concat()),
                ];
                server.write_all(&bytes.concat()).await.unwrap();
                let _ = server.read_to_end(&mut Vec::new()).await;
            });
            std::future::ready(Ok::<_, io::Error>(TokioIo::new(client)))
        });
        let channel =
            ClientKeepalive::new(seconds(time)).connect_with_connector_lazy(endpoint(), angry);
        let mut stub = GreeterClient::new(channel.clone());
        stub.greet(Name::default()).await.unwrap_err();
        sleep(seconds(1)).await;
        assert_eq!(channel.time(), seconds(doubled));
    }
}

#[tokio::test(start_paused = true)]
async fn other_farewells_change_nothing() {
    for (first, code, debug_data) in [
        (SETTINGS, NO_ERROR, "too_many_pings"),
        (SETTINGS, ENHANCE_YOUR_CALM, "too_many_pings!"),
        (SETTINGS, ENHANCE_YOUR_CALM, "too_many_ping"),
        (SETTINGS, ENHANCE_YOUR_CALM, ""),
        // Not HTTP/2.
        (22, ENHANCE_YOUR_CALM, "too_many_pings"),
    ] {
        let connector = tower::service_fn(move |_| {
            let (client, mut server) = duplex(1024);
            tokio::spawn(async move {
                let payload = [&[0; 4][..], &code.to_be_bytes(), debug_data.as_bytes()].concat();
                let bytes = [frame(first, 0, 0, &[]), frame(GOAWAY, 0, 0, &payload)];
                let _ = server.write_all(&bytes.concat()).await;
                let _ = server.read_to_end(&mut Vec::new()).await;
            });
            std::future::ready(Ok::<_, io::Error>(TokioIo::new(client)))
        });
        let channel =
            ClientKeepalive::new(seconds(10)).connect_with_connector_lazy(endpoint(), connector);
        let mut stub = GreeterClient::new(channel.clone());
        let _ = timeout(HOUR, stub.greet(Name::default())).await;
        assert_eq!(channel.time(), seconds(10), "{code} {debug_data}");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_seconds_are_the_least_unless_more_is_allowed() {
    let server = start(|enforce| enforce);
    let connect = |keepalive: ClientKeepalive| {
        keepalive
            .connect_with_connector_lazy(endpoint(), server.connector())
            .time()
    };
    assert_eq!(connect(ClientKeepalive::new(seconds(1))), seconds(10));
    assert_eq!(connect(ClientKeepalive::new(seconds(11))), seconds(11));
    let allowed = ClientKeepalive::new(seconds(1)).minimum(Duration::ZERO);
    assert_eq!(connect(allowed), seconds(1));
}

/// A server that has sent headers, and falls silent: as if the cable were pulled.
fn silent(
    replies: bool,
) -> impl Service<
    tonic::codegen::http::Uri,
    Response = TokioIo<DuplexStream>,
    Error = io::Error,
    Future = std::future::Ready<io::Result<TokioIo<DuplexStream>>>,
> + Clone
+ Send
+ Sync
+ 'static {
    tower::service_fn(move |_| {
        let (client, mut server) = duplex(64 * 1024);
        tokio::spawn(async move {
            server.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
            if replies {
                sleep(seconds(1)).await;
                // :status 200, content-type: application/grpc
                let block = [&[0x88, 0x0f, 0x10, 16][..], b"application/grpc"].concat();
                server
                    .write_all(&frame(HEADERS, END_HEADERS, 1, &block))
                    .await
                    .unwrap();
            }
            std::future::pending::<()>().await;
            drop(server);
        });
        std::future::ready(Ok(TokioIo::new(client)))
    })
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_found_in_time_by_calls_of_both_kinds() {
    for replies in [false, true] {
        let channel = ClientKeepalive::new(seconds(30))
            .timeout(seconds(5))
            .connect_with_connector_lazy(endpoint(), silent(replies));
        let begin = Instant::now();
        let mut stub = GreeterClient::new(ClientStatusLayer::new().layer(channel));
        let call = async {
            let mut greetings = stub.greet_often(Name::default()).await?.into_inner();
            greetings.message().await
        };
        let status = timeout(HOUR, call).await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        let seen = begin.elapsed().as_secs();
        assert!((35..=37).contains(&seen), "{seen}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_without_end_is_a_day() {
    let channel = ClientKeepalive::new(seconds(30))
        .timeout(Duration::MAX)
        .connect_with_connector_lazy(endpoint(), silent(false));
    let begin = Instant::now();
    let mut stub = GreeterClient::new(ClientStatusLayer::new().layer(channel));
    let call = timeout(1000 * HOUR, stub.greet(Name::default())).await;
    assert_eq!(call.unwrap().unwrap_err().code(), Code::Unavailable);
    let day = 24 * HOUR.as_secs();
    let seen = begin.elapsed().as_secs();
    assert!((day + 30..=day + 32).contains(&seen), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn without_keepalive_a_dead_server_is_never_found() {
    let channel = endpoint().connect_with_connector_lazy(silent(false));
    let mut stub = GreeterClient::new(channel);
    let call = timeout(1000 * HOUR, stub.greet(Name::default()));
    assert!(call.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn never_overwrites_the_endpoints_own_interval_too() {
    let endpoint = endpoint().http2_keep_alive_interval(seconds(10));
    let channel =
        ClientKeepalive::new(Duration::MAX).connect_with_connector_lazy(endpoint, silent(false));
    let mut stub = GreeterClient::new(channel);
    let call = timeout(1000 * HOUR, stub.greet(Name::default()));
    assert!(call.await.is_err());
}

async fn replies_alone(
    channel: impl Service<
        tonic::codegen::http::Request<Body>,
        Response = tonic::codegen::http::Response<
            impl tonic::codegen::Body<
                Data = tonic::codegen::Bytes,
                Error: Into<tonic::codegen::StdError> + Send,
            > + Send
            + 'static,
        >,
        Error: Into<tonic::codegen::StdError>,
    >,
) -> bool {
    let mut stub = GreeterClient::new(channel);
    let mut greetings = stub
        .greet_often(Name::default())
        .await
        .unwrap()
        .into_inner();
    // No handle of the channel is left now.
    drop(stub);
    timeout(HOUR, greetings.message())
        .await
        .is_ok_and(|end| end.is_err())
}

#[tokio::test(start_paused = true)]
async fn replies_that_outlive_their_channel_end_too() {
    let channel =
        ClientKeepalive::new(seconds(30)).connect_with_connector_lazy(endpoint(), silent(true));
    assert!(replies_alone(channel).await);
}

#[tokio::test(start_paused = true)]
async fn tonic_alone_forgets_replies_that_outlive_their_channel() {
    let channel = endpoint()
        .http2_keep_alive_interval(seconds(30))
        .connect_with_connector_lazy(silent(true));
    assert!(!replies_alone(channel).await);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_pinged_only_where_that_is_set() {
    for without_calls in [false, true] {
        let server = start(|enforce| {
            enforce
                .min_ping_time(Duration::ZERO)
                .permit_without_calls(true)
        });
        let pings = Arc::new(Mutex::new(0));
        let (count, accepting) = (pings.clone(), server.clone());
        // Between client and server, counting pings.
        let connector = tower::service_fn(move |_| {
            let (client, mut near) = duplex(64 * 1024);
            let mut far = accepting.accept();
            let count = count.clone();
            tokio::spawn(async move {
                let (mut to_server, mut to_client) = ([0; 4096], [0; 4096]);
                let mut frames = crate::frames::FrameScanner::default();
                let mut preface = 24;
                loop {
                    tokio::select! {
                        read = near.read(&mut to_server) => {
                            let Ok(read @ 1..) = read else { break };
                            let mut bytes = &to_server[..read];
                            far.write_all(bytes).await.unwrap();
                            let skipped = bytes.len().min(preface);
                            preface -= skipped;
                            bytes = &bytes[skipped..];
                            while let Some(frame) = frames.next_frame(&mut bytes) {
                                *count.lock().unwrap() += u32::from(frame.kind == PING && frame.flags == 0);
                            }
                        }
                        read = far.read(&mut to_client) => {
                            let Ok(read @ 1..) = read else { break };
                            near.write_all(&to_client[..read]).await.unwrap();
                        }
                    }
                }
            });
            std::future::ready(Ok::<_, io::Error>(TokioIo::new(client)))
        });
        let channel = ClientKeepalive::new(seconds(10))
            .without_calls(without_calls)
            .connect_with_connector_lazy(endpoint(), connector);
        let mut stub = GreeterClient::new(channel);
        stub.greet(Name::default()).await.unwrap();
        sleep(seconds(105)).await;
        let pings = *pings.lock().unwrap();
        assert_eq!(pings, if without_calls { 10 } else { 0 });
    }
}

#[tokio::test]
async fn over_tcp_calls_pass() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = crate::server::builder().add_service(GreeterServer::new(Obedient));
    tokio::spawn(server.serve_with_incoming(enforce(crate::server::incoming(listener))));
    let endpoint = Endpoint::from_shared(url).unwrap();
    let mut channel = ClientKeepalive::new(Duration::MAX).connect_lazy(endpoint);
    assert!(format!("{channel:?}").starts_with("KeepaliveChannel { time: "));
    channel.ready().await.unwrap();
    let mut stub = GreeterClient::new(channel);
    timeout(seconds(20), stub.greet(Name::default()))
        .await
        .unwrap()
        .unwrap();
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn tcp_has_the_timeout_of_pings_and_none_without_them() {
    use crate::keepalive::client::NEVER;

    let timeout = |time| ClientKeepalive::new(time).tcp_user_timeout();
    assert_eq!(timeout(seconds(30)), Some(TIMEOUT));
    assert_eq!(timeout(NEVER), None);
    assert_eq!(timeout(Duration::MAX), None);
    let keepalive = ClientKeepalive::new(seconds(30)).timeout(seconds(7));
    assert_eq!(keepalive.tcp_user_timeout(), Some(seconds(7)));
}

#[tokio::test]
async fn what_it_hears_is_passed_on() {
    passes_on_io(|io| Heard::new(io, Ear::new(Throttle::default()))).await;
}

/// Fails before it is asked to connect.
#[derive(Clone)]
struct Unready;

impl Service<http::Uri> for Unready {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Err(io::Error::other("no more connections")))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        std::future::ready(Err(io::Error::other("asked all the same")))
    }
}

#[tokio::test]
async fn a_connector_is_asked_whether_it_is_ready() {
    let channel =
        ClientKeepalive::new(Duration::MAX).connect_with_connector_lazy(endpoint(), Unready);
    let status = GreeterClient::new(channel).greet(Name::default()).await;
    let shown = format!("{:?}", status.unwrap_err());
    assert!(shown.contains("no more connections"), "{shown}");
}

#[tokio::test]
async fn a_reply_of_nothing_but_headers_tells_that_it_is_over() {
    let server = start(|enforce| enforce);
    let keepalive = ClientKeepalive::new(seconds(30));
    let shown = format!("{keepalive:?}");
    assert!(shown.starts_with("ClientKeepalive { time: 30s, timeout: 20s, "));
    let mut channel = keepalive.connect_with_connector_lazy(endpoint(), server.connector());
    let request = http::Request::post("http://memory/greeter.v1.Greeter/Unheard")
        .header("content-type", "application/grpc")
        .body(Body::empty());
    let reply = channel.ready().await.unwrap().call(request.unwrap());
    assert_eq!(format!("{reply:?}"), "ResponseFuture { .. }");
    let body = reply.await.unwrap().into_body();
    assert_eq!(format!("{body:?}"), "KeepaliveBody { .. }");
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
}
