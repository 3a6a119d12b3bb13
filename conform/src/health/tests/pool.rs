use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer, SERVICE_NAME};
use greeter::{Greeting, Name};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::task::JoinHandle;
use tonic::codegen::BoxStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};

use super::*;
use crate::testing::{self, soon};

/// Greets in its own name, and counts.
#[derive(Clone)]
struct Named {
    name: &'static str,
    calls: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Greeter for Named {
    async fn greet(&self, _: Request<Name>) -> Result<Response<Greeting>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let text = self.name.to_owned();
        Ok(Response::new(Greeting { text }))
    }

    async fn greet_often(
        &self,
        request: Request<Name>,
    ) -> Result<Response<BoxStream<Greeting>>, Status> {
        let first = self.greet(request).await?.into_inner();
        let first = futures::stream::once(async { Ok(first) });
        let rest = futures::stream::once(pending());
        Ok(Response::new(Box::pin(futures::StreamExt::chain(
            first, rest,
        ))))
    }
}

/// A backend with a health service, at first as `status`.
struct Backend {
    named: Named,
    reporter: Reporter,
    endpoint: Endpoint,
    server: JoinHandle<()>,
}

impl Backend {
    async fn start(name: &'static str, status: ServingStatus) -> Self {
        let calls = Arc::default();
        let named = Named { name, calls };
        let (reporter, service) = crate::health::server();
        reporter.set(SERVICE_NAME, status);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = testing::endpoint(listener.local_addr().unwrap());
        let server = Server::builder()
            .add_service(service)
            .add_service(GreeterServer::new(named.clone()))
            .serve_with_incoming(TcpIncoming::from(listener))
            .map(drop);
        let server = tokio::spawn(server);
        Self {
            named,
            reporter,
            endpoint,
            server,
        }
    }

    fn calls(&self) -> usize {
        self.named.calls.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn pool<'a>(backends: impl IntoIterator<Item = &'a Backend>) -> Pool<Channel> {
    let backends = backends.into_iter();
    let backends = backends.map(|backend| (backend.named.name, backend.endpoint.connect_lazy()));
    Pool::new(backends, SERVICE_NAME)
}

async fn becomes(pool: &Pool<Channel>, expected: &[&str]) {
    let mut states = pool.health();
    let is_so = |all: &Vec<Health>| {
        let all: Vec<_> = all.iter().map(Health::to_string).collect();
        all == expected
    };
    soon(states.wait_for(is_so)).await.unwrap();
}

/// Who answers `count` calls, one after the other.
async fn who(pool: &Pool<Channel>, count: usize) -> String {
    let mut stub = GreeterClient::new(pool.clone());
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(match soon(stub.greet(Name::default())).await {
            Ok(reply) => reply.into_inner().text,
            Err(status) => format!("{:?}: {}", status.code(), status.message()),
        });
    }
    names.join(", ")
}

#[tokio::test]
async fn calls_go_to_the_healthy_ones_in_turn_and_to_nobody_else() {
    let [a, b, c] = [
        Backend::start("a", Serving).await,
        Backend::start("b", NotServing).await,
        Backend::start("c", Serving).await,
    ];
    let pool = pool([&a, &b, &c]);
    becomes(&pool, &["SERVING", "NOT_SERVING", "SERVING"]).await;
    assert_eq!(who(&pool, 4).await, "a, c, a, c");
    // A clone goes on where the first one was.
    assert_eq!(who(&pool.clone(), 1).await, "a");

    a.reporter.set(SERVICE_NAME, NotServing);
    becomes(&pool, &["NOT_SERVING", "NOT_SERVING", "SERVING"]).await;
    assert_eq!(who(&pool, 3).await, "c, c, c");
    assert_eq!((a.calls(), b.calls(), c.calls()), (3, 0, 5));

    c.reporter.set(SERVICE_NAME, NotServing);
    becomes(&pool, &["NOT_SERVING"; 3]).await;
    let sentence = "Unavailable: no backend is healthy: \
         a (NOT_SERVING), b (NOT_SERVING), c (NOT_SERVING)";
    assert_eq!(who(&pool, 1).await, sentence);
    assert_eq!((a.calls(), b.calls(), c.calls()), (3, 0, 5));

    for backend in [&a, &b, &c] {
        backend.reporter.set(SERVICE_NAME, Serving);
    }
    becomes(&pool, &["SERVING"; 3]).await;
    let names = who(&pool, 3).await;
    assert!(
        ["a", "b", "c"].iter().all(|name| names.contains(name)),
        "{names}"
    );
}

#[tokio::test]
async fn the_server_as_a_whole_is_another_service() {
    let a = Backend::start("a", Serving).await;
    a.reporter.set("", NotServing);
    let pool = Pool::new([("a", a.endpoint.connect_lazy())], "");
    becomes(&pool, &["NOT_SERVING"]).await;
}

/// An endpoint whose Watch never answers.
async fn silent() -> testing::Served {
    let hold = |request, respond| async move {
        let _held = (request, respond);
        pending().await
    };
    testing::h2_peer(hold).await
}

#[tokio::test]
async fn no_call_is_sent_before_the_backend_has_answered() {
    let silent = silent().await;
    let a = Backend::start("a", Serving).await;
    let backends = [
        ("silent", silent.channel()),
        ("a", a.endpoint.connect_lazy()),
    ];
    let pool = Pool::new(backends, SERVICE_NAME);
    // The call waits for the first that is healthy, and needs no second one.
    assert_eq!(who(&pool, 3).await, "a, a, a");
    assert_eq!(pool.health().borrow()[0], Health::Connecting);
}

#[tokio::test]
async fn a_call_waits_while_some_backend_may_still_be_healthy() {
    let barrier = Arc::new(Barrier::new(2));
    let late = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = testing::endpoint(late.local_addr().unwrap());
    let ill = Backend::start("ill", NotServing).await;
    let backends = [
        ("ill", ill.endpoint.connect_lazy()),
        ("late", endpoint.connect_lazy()),
    ];
    let pool = Pool::new(backends, "");
    ill.reporter.set("", NotServing);
    becomes(&pool, &["NOT_SERVING", "CONNECTING"]).await;
    let call = tokio::spawn({
        let (pool, barrier) = (pool.clone(), barrier.clone());
        async move {
            barrier.wait().await;
            who(&pool, 1).await
        }
    });
    barrier.wait().await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!call.is_finished());
    // Its connection has waited in the listener's queue.
    let named = Named {
        name: "late",
        calls: Arc::default(),
    };
    let (_reporter, service) = crate::health::server();
    let server = Server::builder()
        .add_service(service)
        .add_service(GreeterServer::new(named))
        .serve_with_incoming(TcpIncoming::from(late));
    tokio::spawn(server);
    assert_eq!(soon(call).await.unwrap(), "late");
}

#[tokio::test]
async fn when_all_are_ill_the_error_comes_at_once_and_says_of_each_why() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = testing::endpoint(listener.local_addr().unwrap());
    drop(listener);
    let a = Backend::start("a", NotServing).await;
    let backends = [
        ("a", a.endpoint.connect_lazy()),
        ("dead", dead.connect_lazy()),
    ];
    let pool = Pool::new(backends, SERVICE_NAME);
    let mut states = pool.health();
    let all_are_ill = |all: &Vec<Health>| {
        all.iter()
            .all(|health| matches!(health, Health::NotServing(_)))
    };
    soon(states.wait_for(all_are_ill)).await.unwrap();
    let error = who(&pool, 1).now_or_never().expect("no wait");
    let start = "Unavailable: no backend is healthy: a (NOT_SERVING), dead (Unavailable: ";
    assert!(error.starts_with(start), "{error}");
}

#[tokio::test]
async fn an_error_names_eight_backends_at_most() {
    let a = Backend::start("a", NotServing).await;
    let backends = |count: usize| {
        let channel = a.endpoint.connect_lazy();
        (1..=count).map(move |number| (format!("b{number}"), channel.clone()))
    };
    let pool = Pool::new(backends(8), SERVICE_NAME);
    becomes(&pool, &["NOT_SERVING"; 8]).await;
    let error = who(&pool, 1).await;
    assert!(
        error.ends_with("b7 (NOT_SERVING), b8 (NOT_SERVING)"),
        "{error}"
    );
    let pool = Pool::new(backends(11), SERVICE_NAME);
    becomes(&pool, &["NOT_SERVING"; 11]).await;
    let error = who(&pool, 1).await;
    assert!(error.ends_with("b8 (NOT_SERVING), and 3 more"), "{error}");
}

#[tokio::test]
async fn an_empty_pool_says_so() {
    let pool = Pool::<Channel>::new(Vec::<(&str, _)>::new(), "");
    assert_eq!(who(&pool, 1).await, "Unavailable: there are no backends");
}

#[tokio::test]
async fn a_backend_without_the_service_is_called_until_it_dies() {
    let named = Named {
        name: "old",
        calls: Arc::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = Server::builder()
        .add_service(GreeterServer::new(named))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stopped.map(drop));
    let server = tokio::spawn(server);
    let a = Backend::start("a", Serving).await;
    let backends = [
        ("old", testing::endpoint(address).connect_lazy()),
        ("a", a.endpoint.connect_lazy()),
    ];
    let pool = Pool::new(backends, SERVICE_NAME);
    becomes(&pool, &["SERVING, unchecked", "SERVING"]).await;
    assert_eq!(who(&pool, 2).await, "old, a");
    stop.send(()).unwrap();
    soon(server).await.unwrap().unwrap();

    // Nobody watches it, so one call has to find out.
    let first = who(&pool, 1).await;
    assert!(!first.starts_with("old"), "{first}");
    let mut states = pool.health();
    soon(states.wait_for(|all| !all[0].is_healthy()))
        .await
        .unwrap();
    assert_eq!(who(&pool, 3).await, "a, a, a");
}

#[tokio::test]
async fn a_backend_that_dies_is_left_alone_and_called_again_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = |listener| {
        let (_, service) = crate::health::server();
        let named = Named {
            name: "b",
            calls: Arc::default(),
        };
        let server = Server::builder()
            .add_service(service)
            .add_service(GreeterServer::new(named));
        // A runtime of its own: what it has accepted dies with it.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener: std::net::TcpListener = listener;
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            server
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
        });
        runtime
    };
    let runtime = serve(listener.into_std().unwrap());
    let a = Backend::start("a", Serving).await;
    a.reporter.set("", Serving);
    let backends = [
        ("a", a.endpoint.connect_lazy()),
        ("b", testing::endpoint(address).connect_lazy()),
    ];
    let pool = Pool::new(backends, "");
    becomes(&pool, &["SERVING", "SERVING"]).await;
    assert_eq!(who(&pool, 2).await, "a, b");
    runtime.shutdown_background();
    let mut states = pool.health();
    soon(states.wait_for(|all| !all[1].is_healthy()))
        .await
        .unwrap();
    assert_eq!(who(&pool, 3).await, "a, a, a");

    let listener = soon(async {
        loop {
            match std::net::TcpListener::bind(address) {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(SECOND / 20).await,
            }
        }
    });
    let listener = listener.await;
    listener.set_nonblocking(true).unwrap();
    let runtime = serve(listener);
    becomes(&pool, &["SERVING", "SERVING"]).await;
    let names = who(&pool, 2).await;
    assert!(names.contains('b'), "{names}");
    runtime.shutdown_background();
}

#[tokio::test]
async fn a_stream_that_has_begun_stays_with_its_backend() {
    let a = Backend::start("a", Serving).await;
    let pool = pool([&a]);
    let mut stub = GreeterClient::new(pool.clone());
    let mut replies = soon(stub.greet_often(Name::default()))
        .await
        .unwrap()
        .into_inner();
    a.reporter.set(SERVICE_NAME, NotServing);
    becomes(&pool, &["NOT_SERVING"]).await;
    assert_eq!(soon(replies.message()).await.unwrap().unwrap().text, "a");
    assert!(replies.message().now_or_never().is_none());
}

#[tokio::test]
async fn nobody_watches_once_the_last_clone_is_gone() {
    let a = Backend::start("a", Serving).await;
    let first = pool([&a]);
    becomes(&first, &["SERVING"]).await;
    assert_eq!(a.reporter.watched(), (1, 1));
    assert_eq!(format!("{first:?}"), r#"{"a": Serving}"#);
    let clone = first.clone();
    drop(first);
    assert_eq!(who(&clone, 1).await, "a");
    drop(clone);
    soon(async {
        while a.reporter.watched() != (0, 0) {
            tokio::time::sleep(SECOND / 100).await;
        }
    })
    .await;
}
