//! The channel as a whole, on loopback.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::http::Request;
use tonic::transport::Server;
use tonic::{Code, Response, Status};
use tower::layer::util::Identity;

use super::*;
use crate::resolver::{Address, Backend, Manual, Update};
use crate::testing::{Served, call, peer, replies, serve, soon, unary};
use crate::wait_for_ready::WaitForReady;

#[cfg(feature = "channelz")]
mod channelz;
mod close;
mod connect_timeout;
mod control;
mod foreign;
mod hostile;
mod idle;
mod line;
#[cfg(feature = "metrics")]
mod metrics;
mod outlier;
mod own;
mod pick;
mod subchannel;
#[cfg(feature = "credentials")]
mod tls;

const ROUND_ROBIN: &str = r#"{ "loadBalancingConfig": [{ "round_robin": {} }] }"#;

/// A server that answers with its name.
async fn named(name: &'static str) -> Served {
    let service =
        unary(move |_| async move { Ok(Response::new(Bytes::from_static(name.as_bytes()))) });
    serve(Identity::new(), service).await
}

/// The same, which says GOAWAY when its sender is dropped.
async fn stoppable(name: &'static str) -> (Served, tokio::sync::oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let service =
        unary(move |_| async move { Ok(Response::new(Bytes::from_static(name.as_bytes()))) });
    let server = Server::builder()
        .add_service(service)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
            let _ = stopped.await;
        });
    (Served::new(address, server), stop)
}

fn backends<'a>(servers: impl IntoIterator<Item = &'a Served>) -> Update {
    let backends = servers
        .into_iter()
        .map(|server| Backend::at(server.address));
    Update::new(backends.collect::<Vec<_>>())
}

/// A channel to a fleet that is told by hand.
fn channel(fleet: &Manual, config: &str) -> Channel {
    let builder = Channel::builder("fleet:test").scheme(fleet.clone());
    let channel = builder.service_config(config).connect_lazy();
    channel.unwrap()
}

async fn answer(channel: &Channel) -> Result<String, Code> {
    let reply = call(channel.clone(), "request").await;
    let reply = reply.map_err(|status| status.code())?;
    Ok(String::from_utf8(reply.into_inner().into()).unwrap())
}

#[tokio::test]
async fn a_channel_calls_all_of_its_backends_in_turn() {
    let (one, two) = (named("one").await, named("two").await);
    let fleet = Manual::new("fleet");
    fleet.set(backends([&one, &two]));
    let channel = channel(&fleet, ROUND_ROBIN);
    // Until both are connected it takes what there is.
    let mut seen = BTreeSet::new();
    soon(async {
        while seen.len() < 2 {
            seen.insert(answer(&channel).await.unwrap());
        }
    })
    .await;
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(answer(&channel).await.unwrap());
    }
    assert!(
        answers.chunks(2).all(|pair| pair[0] != pair[1]),
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_channel_is_idle_before_its_first_call() {
    let (server, stop) = stoppable("one").await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, "{}");
    let mut state = channel.state();
    assert_eq!(state.get(), State::Idle);
    assert_eq!(answer(&channel).await.unwrap(), "one");
    assert_eq!(state.get(), State::Ready);
    // pick_first, which is the default, doesn't connect again by itself.
    drop(stop);
    assert_eq!(
        soon(state.changed_from(State::Ready)).await,
        Some(State::Idle)
    );
}

#[tokio::test]
async fn a_channel_connects_when_it_is_told_to() {
    let server = named("one").await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, "{}");
    channel.connect();
    soon(channel.state().wait_for(State::Ready)).await.unwrap();
}

#[tokio::test]
async fn a_state_ends_with_the_channel() {
    let channel = channel(&Manual::new("fleet"), "{}");
    let mut state = channel.state();
    drop(channel);
    assert_eq!(soon(state.changed_from(State::Idle)).await, None);
}

/// A server that answers its calls when this is sent true, and says how many there were.
async fn held() -> (Served, tokio::sync::watch::Sender<bool>, Arc<AtomicU64>) {
    let (go_on, may_go_on) = tokio::sync::watch::channel(false);
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let service = unary(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let mut may_go_on = may_go_on.clone();
        async move {
            let _ = may_go_on.wait_for(|go_on| *go_on).await;
            Ok(Response::new(Bytes::from_static(b"held")))
        }
    });
    (serve(Identity::new(), service).await, go_on, count)
}

#[tokio::test]
async fn the_config_gives_calls_a_timeout_also_those_that_came_before_it() {
    const CONFIG: &str = r#"{ "methodConfig": [{ "name": [{}], "timeout": "0.1s" }] }"#;
    let (server, _go_on, _) = held().await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, CONFIG);
    // The first call waits for the config; the second has it.
    for _ in 0..2 {
        assert_eq!(answer(&channel).await, Err(Code::DeadlineExceeded));
    }
}

/// gRFC A2: the timeout counts from the call's beginning.
#[tokio::test]
async fn the_wait_for_the_config_is_part_of_its_timeout() {
    const CONFIG: &str = r#"{ "methodConfig": [{ "name": [{}], "timeout": "0.1s" }] }"#;
    let (server, _go_on, count) = held().await;
    let fleet = Manual::new("fleet");
    let channel = channel(&fleet, CONFIG);
    let mut calling = Box::pin(answer(&channel));
    assert!(futures::poll!(&mut calling).is_pending());
    tokio::time::sleep(Duration::from_millis(150)).await;
    fleet.set(backends([&server]));
    assert_eq!(soon(calling).await, Err(Code::DeadlineExceeded));
    assert_eq!(count.load(Ordering::SeqCst), 0, "it was too late to begin");
}

#[tokio::test]
async fn the_config_limits_messages() {
    let server = named("one").await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    for field in ["maxRequestMessageBytes", "maxResponseMessageBytes"] {
        let config = format!(r#"{{ "methodConfig": [{{ "name": [{{}}], "{field}": 2 }}] }}"#);
        let channel = channel(&fleet, &config);
        for _ in 0..2 {
            assert_eq!(
                answer(&channel).await,
                Err(Code::ResourceExhausted),
                "{field}"
            );
        }
    }
}

#[tokio::test]
async fn the_config_has_calls_made_again_and_throttles_that() {
    const CONFIG: &str = r#"{
        "methodConfig": [{
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.001s",
                "maxBackoff": "0.001s",
                "backoffMultiplier": 1,
                "retryableStatusCodes": ["UNAVAILABLE"]
            }
        }],
        "retryThrottling": { "maxTokens": 4, "tokenRatio": 0.1 }
    }"#;
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let service = unary(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Err(Status::unavailable("not now")) }
    });
    let server = serve(Identity::new(), service).await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, CONFIG);
    // Two failures leave half of the four tokens, and clones have no others.
    for expected in [2, 3, 4] {
        assert_eq!(answer(&channel.clone()).await, Err(Code::Unavailable));
        assert_eq!(count.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn the_config_has_calls_hedged() {
    const CONFIG: &str = r#"{ "methodConfig": [{
        "name": [{}],
        "hedgingPolicy": { "maxAttempts": 3, "hedgingDelay": "0s" }
    }] }"#;
    let (server, go_on, count) = held().await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, CONFIG);
    let calling = tokio::spawn(async move { answer(&channel).await });
    soon(async {
        while count.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    go_on.send(true).unwrap();
    assert_eq!(soon(calling).await.unwrap().unwrap(), "held");
}

/// Nobody listens there, and nobody will.
async fn nowhere() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn calls_fail_at_once_while_no_backend_can_be_reached() {
    let fleet = Manual::new("fleet");
    let address = nowhere().await;
    fleet.set(Update::new([Backend::at(address)]));
    for config in ["{}", ROUND_ROBIN] {
        let channel = channel(&fleet, config);
        let status = call(channel.clone(), "request").await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains(&address.to_string()), "{status}");
        assert_eq!(channel.state().get(), State::TransientFailure);
    }
}

#[tokio::test]
async fn a_call_that_waits_for_ready_is_answered_when_a_backend_comes() {
    let fleet = Manual::new("fleet");
    fleet.set(Update::new([Backend::at(nowhere().await)]));
    let channel = channel(&fleet, ROUND_ROBIN);
    assert_eq!(answer(&channel).await, Err(Code::Unavailable));

    let mut waiting = Box::pin(calls(&channel, WaitForReady(true)));
    assert!(futures::poll!(&mut waiting).is_pending());
    let server = named("one").await;
    fleet.set(backends([&server]));
    assert_eq!(soon(waiting).await.unwrap().get_ref(), "one");
}

/// One call with this extension.
async fn calls(
    channel: &Channel,
    extension: impl Clone + Send + Sync + 'static,
) -> Result<tonic::Response<Bytes>, Status> {
    let channel =
        tower::ServiceExt::map_request(channel.clone(), move |mut request: Request<_>| {
            request.extensions_mut().insert(extension.clone());
            request
        });
    call(channel, "request").await
}

#[tokio::test]
async fn the_config_says_which_methods_wait_for_ready() {
    const CONFIG: &str = r#"{ "methodConfig": [
        { "name": [{ "service": "test.Test" }], "waitForReady": true }
    ] }"#;
    let fleet = Manual::new("fleet");
    fleet.set(Update::new([Backend::at(nowhere().await)]));
    let channel = channel(&fleet, CONFIG);
    let mut waiting = Box::pin(answer(&channel));
    let mut state = channel.state();
    let failure = state.wait_for(State::TransientFailure);
    let first = soon(futures::future::select(&mut waiting, Box::pin(failure))).await;
    assert!(
        matches!(first, futures::future::Either::Right(_)),
        "it has waited"
    );
    assert_eq!(
        calls(&channel, WaitForReady(false))
            .await
            .unwrap_err()
            .code(),
        Code::Unavailable,
        "what the caller says counts more"
    );
    let server = named("one").await;
    fleet.set(backends([&server]));
    assert_eq!(soon(waiting).await.unwrap(), "one");
}

#[tokio::test]
async fn a_backend_that_is_removed_gets_no_more_calls_and_finishes_those_it_has() {
    let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
    let (go_on, may_go_on) = tokio::sync::watch::channel(false);
    let calls_so_far = Arc::new(AtomicU64::new(0));
    let count = calls_so_far.clone();
    // The first call waits.
    let slow = unary(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let (begun, mut may_go_on) = (begun.clone(), may_go_on.clone());
        async move {
            if number == 0 {
                begun.send(()).await.unwrap();
                may_go_on.wait_for(|go_on| *go_on).await.unwrap();
            }
            Ok(Response::new(Bytes::from_static(b"slow")))
        }
    });
    let slow = serve(Identity::new(), slow).await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&slow]));
    let channel = channel(&fleet, ROUND_ROBIN);
    let running = tokio::spawn({
        let channel = channel.clone();
        async move { answer(&channel).await }
    });
    soon(has_begun.recv()).await.unwrap();

    let other = named("other").await;
    fleet.set(backends([&other]));
    soon(async { while answer(&channel).await != Ok("other".into()) {} }).await;
    let before = calls_so_far.load(Ordering::SeqCst);
    for _ in 0..5 {
        assert_eq!(answer(&channel).await.unwrap(), "other");
    }
    assert_eq!(calls_so_far.load(Ordering::SeqCst), before);
    go_on.send(true).unwrap();
    assert_eq!(soon(running).await.unwrap().unwrap(), "slow");
}

#[tokio::test]
async fn a_resolver_that_fails_takes_nothing_down() {
    let server = named("one").await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, ROUND_ROBIN);
    assert_eq!(answer(&channel).await.unwrap(), "one");
    let mut refused = fleet.refused();
    fleet.set(Update::failed(Status::unavailable("no DNS today")));
    soon(refused.wait_for(|times| *times == 1)).await.unwrap();
    assert_eq!(answer(&channel).await.unwrap(), "one");
    fleet.set(Update::new([]));
    soon(refused.wait_for(|times| *times == 2)).await.unwrap();
}

#[tokio::test]
async fn a_resolver_that_never_had_an_answer_fails_calls_with_its_own_words() {
    let fleet = Manual::new("fleet");
    fleet.set(Update::failed(Status::unavailable("no DNS today")));
    let channel = channel(&fleet, ROUND_ROBIN);
    let status = call(channel.clone(), "request").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("no DNS today"), "{status}");
    assert_eq!(channel.state().get(), State::TransientFailure);
    // And it recovers.
    let server = named("one").await;
    fleet.set(backends([&server]));
    let answered = soon(calls(&channel, WaitForReady(true))).await;
    assert_eq!(answered.unwrap().get_ref(), "one");
}

#[tokio::test]
async fn a_call_that_waits_for_ready_in_vain_says_why() {
    let fleet = Manual::new("fleet");
    let address = nowhere().await;
    fleet.set(Update::new([Backend::at(address)]));
    for config in ["{}", ROUND_ROBIN] {
        let channel = channel(&fleet, config);
        let late = tower::ServiceExt::map_request(channel, |mut request: Request<_>| {
            let timeout = "200m".parse().unwrap();
            request.headers_mut().insert("grpc-timeout", timeout);
            request.extensions_mut().insert(WaitForReady(true));
            request
        });
        let status = call(late, "request").await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let message = status.message();
        assert!(message.contains("while the call waited"), "{message}");
        assert!(message.contains(&address.to_string()), "{message}");
    }
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_while_nothing_is_resolved() {
    let fleet = Manual::new("fleet");
    let channel = channel(&fleet, ROUND_ROBIN);
    let late = tower::ServiceExt::map_request(channel, |mut request: Request<_>| {
        request
            .headers_mut()
            .insert("grpc-timeout", "20m".parse().unwrap());
        request
    });
    let status = call(late, "request").await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_new_config_from_the_resolver_is_taken_and_a_bad_one_is_refused() {
    let (one, two) = (named("one").await, named("two").await);
    let fleet = Manual::new("fleet");
    fleet.set(backends([&one, &two]));
    let channel = channel(&fleet, "{}");
    let first = answer(&channel).await.unwrap();
    for _ in 0..5 {
        assert_eq!(answer(&channel).await.unwrap(), first, "pick_first");
    }
    fleet.set(backends([&one, &two]).config(ROUND_ROBIN));
    soon(async { while answer(&channel).await.unwrap() == first {} }).await;
    // What it says of methods is taken too.
    let small = r#"{
        "loadBalancingConfig": [{ "round_robin": {} }],
        "methodConfig": [{ "name": [{}], "maxRequestMessageBytes": 1 }]
    }"#;
    fleet.set(backends([&one, &two]).config(small));
    let is_small = async { while answer(&channel).await != Err(Code::ResourceExhausted) {} };
    soon(is_small).await;
    fleet.set(backends([&one, &two]).config(ROUND_ROBIN));
    soon(async { while answer(&channel).await.is_err() {} }).await;

    let mut refused = fleet.refused();
    let before = *refused.borrow_and_update();
    let unknown = r#"{ "loadBalancingConfig": [{ "astrology": {} }] }"#;
    fleet.set(backends([&one, &two]).config(unknown));
    soon(refused.wait_for(|times| *times > before))
        .await
        .unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        seen.insert(answer(&channel).await.unwrap());
    }
    assert_eq!(seen.len(), 2, "gRFC A21: all stays as it was");
}

/// Who counts the connections that are made to it before they go on to `behind`.
async fn counted(behind: &Served) -> (Served, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let (counted, behind) = (count.clone(), behind.address);
    let front = peer(move |mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut behind = tokio::net::TcpStream::connect(behind).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
        }
    });
    (front.await, count)
}

/// gRFC A24, and load-balancing.md: a policy of the same name gets the new config.
#[tokio::test]
async fn a_new_config_of_the_same_policy_keeps_its_connections() {
    let server = named("one").await;
    for (first, second) in [
        (
            r#""pick_first": {}"#,
            r#""pick_first": { "shuffleAddressList": true }"#,
        ),
        (r#""round_robin": {}"#, r#""round_robin": { "new": 1 }"#),
        (
            r#""static_weights": {}"#,
            r#""static_weights": { "new": 1 }"#,
        ),
        (
            r#""least_request_experimental": {}"#,
            r#""least_request_experimental": { "choiceCount": 3 }"#,
        ),
        (
            r#""ring_hash_experimental": { "requestHashHeader": "a" }"#,
            r#""ring_hash_experimental": { "requestHashHeader": "b" }"#,
        ),
        (
            r#""weighted_round_robin": {}"#,
            r#""weighted_round_robin": { "weightUpdatePeriod": "2s" }"#,
        ),
    ] {
        let config = |policy: &str, limit: u32| {
            format!(
                r#"{{ "loadBalancingConfig": [{{ {policy} }}],
                    "methodConfig": [{{ "name": [{{}}], "maxRequestMessageBytes": {limit} }}] }}"#
            )
        };
        let (front, connections) = counted(&server).await;
        let fleet = Manual::new("fleet");
        fleet.set(backends([&front]).config(config(first, 1000)));
        let channel = channel(&fleet, "{}");
        assert_eq!(answer(&channel).await.unwrap(), "one", "{first}");
        // The limit shows that the config is there.
        fleet.set(backends([&front]).config(config(second, 1)));
        soon(async { while answer(&channel).await != Err(Code::ResourceExhausted) {} }).await;
        fleet.set(backends([&front]).config(config(second, 1000)));
        soon(async { while answer(&channel).await != Ok("one".into()) {} }).await;
        for _ in 0..20 {
            assert_eq!(answer(&channel).await.unwrap(), "one", "{second}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{second}");
    }
}

#[tokio::test]
async fn what_is_not_http2_is_no_connection() {
    let server = peer(|mut stream| async move {
        use tokio::io::AsyncWriteExt;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let server = server.await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, ROUND_ROBIN);
    assert_eq!(answer(&channel).await, Err(Code::Unavailable));
    assert_eq!(channel.state().get(), State::TransientFailure);
}

#[tokio::test]
async fn a_server_that_closes_what_it_accepts_is_not_connected_in_a_loop() {
    let connections = Arc::new(AtomicU64::new(0));
    let count = connections.clone();
    let (close, closes) = tokio::sync::watch::channel(false);
    let server = peer(move |stream| {
        count.fetch_add(1, Ordering::SeqCst);
        let mut closes = closes.clone();
        async move {
            let connection = h2::server::handshake(stream).await;
            let _ = closes.wait_for(|closes| *closes).await;
            drop(connection);
        }
    });
    let (server, other) = (server.await, named("other").await);
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, ROUND_ROBIN);
    channel.connect();
    let mut state = channel.state();
    soon(state.wait_for(State::Ready)).await.unwrap();
    close.send(true).unwrap();
    soon(state.wait_for(State::TransientFailure)).await.unwrap();
    let most = u64::from(super::subchannel::MOST_USELESS) + 1;
    assert!(connections.load(Ordering::SeqCst) <= most);
    // And pick_first goes on to the next address meanwhile.
    fleet.set(backends([&server, &other]).config("{}"));
    let answered = soon(calls(&channel, WaitForReady(true))).await;
    assert_eq!(answered.unwrap().get_ref(), "other");
}

/// PROTOCOL-HTTP2, "GOAWAY Frame".
#[tokio::test]
async fn a_goaway_sends_new_calls_elsewhere_and_leaves_running_ones_alone() {
    let calls_of_old = Arc::new(AtomicU64::new(0));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (go_on, may_go_on) = tokio::sync::watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = calls_of_old.clone();
    let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
    let service = unary(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let (begun, mut may_go_on) = (begun.clone(), may_go_on.clone());
        async move {
            begun.send(()).await.unwrap();
            may_go_on.wait_for(|go_on| *go_on).await.unwrap();
            Ok(Response::new(Bytes::from_static(b"old")))
        }
    });
    let server = Server::builder()
        .add_service(service)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
            let _ = stopped.await;
        });
    let old = Served::new(address, server);
    let new = named("new").await;

    let fleet = Manual::new("fleet");
    fleet.set(backends([&old]));
    let channel = channel(&fleet, ROUND_ROBIN);
    let running = tokio::spawn({
        let channel = channel.clone();
        async move { answer(&channel).await }
    });
    soon(has_begun.recv()).await.unwrap();
    let mut state = channel.state();
    assert_eq!(state.get(), State::Ready);
    stop.send(()).unwrap();
    soon(state.changed_from(State::Ready)).await;
    fleet.set(backends([&new]));
    let next = soon(calls(&channel, WaitForReady(true))).await;
    assert_eq!(next.unwrap().get_ref(), "new");
    go_on.send(true).unwrap();
    assert_eq!(soon(running).await.unwrap().unwrap(), "old");
    assert_eq!(calls_of_old.load(Ordering::SeqCst), 1);
}

/// gRFC A17.
#[tokio::test]
async fn a_backend_that_is_ill_gets_no_calls_where_the_config_asks_for_that() {
    const CONFIG: &str = r#"{
        "loadBalancingConfig": [{ "round_robin": {} }],
        "healthCheckConfig": { "serviceName": "test.Test" }
    }"#;
    use crate::health::{self, ServingStatus};
    let mut fleet_of_two = Vec::new();
    for name in ["one", "two"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reporter, service) = health::server();
        reporter.set("test.Test", ServingStatus::Serving);
        let answers =
            unary(move |_| async move { Ok(Response::new(Bytes::from_static(name.as_bytes()))) });
        let server = Server::builder()
            .add_service(service)
            .add_service(answers)
            .serve_with_incoming(TcpListenerStream::new(listener));
        fleet_of_two.push((Served::new(address, server), reporter));
    }
    let fleet = Manual::new("fleet");
    fleet.set(backends(fleet_of_two.iter().map(|(server, _)| server)));
    let channel = channel(&fleet, CONFIG);
    let mut seen = BTreeSet::new();
    soon(async {
        while seen.len() < 2 {
            seen.insert(answer(&channel).await.unwrap());
        }
    })
    .await;
    fleet_of_two[0]
        .1
        .set("test.Test", ServingStatus::NotServing);
    // The news needs a moment; then it's only the other one, for good.
    soon(async {
        let mut in_a_row = 0;
        while in_a_row < 10 {
            in_a_row = match answer(&channel).await.unwrap().as_str() {
                "two" => in_a_row + 1,
                _ => 0,
            };
        }
    })
    .await;
    fleet_of_two[1]
        .1
        .set("test.Test", ServingStatus::NotServing);
    soon(channel.state().wait_for(State::TransientFailure))
        .await
        .unwrap();
    let status = call(channel.clone(), "request").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("NOT_SERVING"), "{status}");
    fleet_of_two[0].1.set("test.Test", ServingStatus::Serving);
    let recovered = soon(calls(&channel, WaitForReady(true))).await;
    assert_eq!(recovered.unwrap().get_ref(), "one");
}

/// gRFC A17: CONNECTING until the backend has said how it is.
#[tokio::test]
async fn a_backend_that_says_nothing_of_its_health_is_not_ready() {
    const CONFIG: &str = r#"{
        "loadBalancingConfig": [{ "round_robin": {} }],
        "healthCheckConfig": { "serviceName": "test.Test" }
    }"#;
    let (asked, mut watches) = tokio::sync::mpsc::unbounded_channel();
    let silent = crate::testing::h2_peer(move |request, respond| {
        asked.send(request.uri().path().to_owned()).unwrap();
        async move {
            let _kept = (request, respond);
            std::future::pending().await
        }
    });
    let silent = silent.await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&silent]));
    let channel = channel(&fleet, CONFIG);
    channel.connect();
    let path = soon(watches.recv()).await;
    assert_eq!(path.as_deref(), Some("/grpc.health.v1.Health/Watch"));
    let mut state = channel.state();
    let ready = state.wait_for(State::Ready);
    let ready = tokio::time::timeout(Duration::from_millis(100), ready).await;
    assert!(ready.is_err());
    assert_eq!(channel.state().get(), State::Connecting);
}

#[test]
fn what_is_shown_says_how_it_stands() {
    let builder = Channel::builder("ipv4:127.0.0.1:1");
    let shown = r#"ChannelBuilder { target: "ipv4:127.0.0.1:1", .. }"#;
    assert_eq!(format!("{builder:?}"), shown);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let mut channel = builder.connect_lazy().unwrap();
    assert_eq!(format!("{channel:?}"), "Channel { state: Idle, .. }");
    assert_eq!(format!("{:?}", channel.state()), "States(Idle)");
    let call = tower::Service::call(&mut channel, Request::default());
    assert_eq!(format!("{call:?}"), "ChannelFuture { .. }");
}

#[cfg(unix)]
#[tokio::test]
async fn a_channel_connects_to_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = Server::builder()
        .add_service(replies(&[Ok(b"hello")]))
        .serve_with_incoming(tokio_stream::wrappers::UnixListenerStream::new(listener));
    let _server = Served::new(([127, 0, 0, 1], 0).into(), server);
    let target = format!("unix://{}", path.display());
    let channel = Channel::builder(&target).connect_lazy().unwrap();
    assert_eq!(answer(&channel).await.unwrap(), "hello");
}

#[tokio::test]
async fn what_cannot_be_made_is_said_in_a_sentence() {
    let error = |builder: ChannelBuilder| builder.connect_lazy().unwrap_err().to_string();
    let builder = || Channel::builder("localhost:50051");
    for (error, word) in [
        (error(Channel::builder("http://localhost")), "URL"),
        (error(Channel::builder("a:1,b:2")), "ipv4:a:1,b:2"),
        (error(builder().service_config("{")), "service config"),
        (error(builder().authority("not an authority")), "authority"),
    ] {
        assert!(error.contains(word), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

/// A call on tonic's own balancer, of which one backend is dead.
#[tokio::test]
async fn tonic_alone_calls_the_dead() {
    let server = named("one").await;
    let dead = crate::testing::endpoint(nowhere().await);
    let list = [server.endpoint(), dead];
    let channel = tonic::transport::Channel::balance_list(list.into_iter());
    let mut failures = 0;
    for _ in 0..100 {
        failures += usize::from(call(channel.clone(), "request").await.is_err());
    }
    assert!(failures > 0);
}

/// The same on this one: with one backend dead all calls are answered.
#[tokio::test]
async fn the_dead_get_no_calls() {
    let server = named("one").await;
    let fleet = Manual::new("fleet");
    let dead = Backend::at(nowhere().await);
    fleet.set(Update::new([Backend::at(server.address), dead]));
    for config in ["{}", ROUND_ROBIN] {
        let channel = channel(&fleet, config);
        for _ in 0..100 {
            assert_eq!(answer(&channel).await.unwrap(), "one");
        }
    }
}

#[tokio::test]
async fn a_target_of_several_addresses_is_one_backend_each() {
    let (one, two) = (named("one").await, named("two").await);
    let target = format!("ipv4:{},{}", one.address, two.address);
    let channel = Channel::builder(&target)
        .service_config(ROUND_ROBIN)
        .connect_lazy()
        .unwrap();
    let mut seen = BTreeSet::new();
    soon(async {
        while seen.len() < 2 {
            seen.insert(answer(&channel).await.unwrap());
        }
    })
    .await;
}
