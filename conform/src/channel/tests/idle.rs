//! A channel that isn't used goes back to IDLE: connectivity-semantics-and-api.md, "IDLE".

use std::sync::Mutex;

use futures::future::BoxFuture;
use tokio::time::{Instant, advance, sleep};

use super::*;
use crate::resolver::{Resolver, Scheme, Target, Updates};

/// Finds the same each time, and counts how often it's asked to.
#[derive(Clone)]
struct Counting {
    address: std::net::SocketAddr,
    running: Arc<AtomicU64>,
    begun: Arc<AtomicU64>,
}

struct Finds(Counting);

impl Drop for Finds {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Scheme for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn resolver(&self, _: &Target) -> Result<Box<dyn Resolver>, String> {
        self.running.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Finds(self.clone())))
    }
}

impl Resolver for Finds {
    fn run(self: Box<Self>, updates: Updates) -> BoxFuture<'static, ()> {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let address = self.0.address;
            updates.send(Update::new([Backend::at(address)])).await;
            std::future::pending().await
        })
    }
}

fn counting(server: &Served) -> Counting {
    Counting {
        address: server.address,
        running: Arc::default(),
        begun: Arc::default(),
    }
}

fn builder(scheme: &Counting) -> ChannelBuilder {
    let builder = Channel::builder("counting:test").scheme(scheme.clone());
    builder.service_config(ROUND_ROBIN)
}

/// Does `work` with time that runs: paused time would jump over what the network needs.
async fn in_real_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::resume();
    let result = work.await;
    tokio::time::pause();
    result
}

async fn settled() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_without_calls_is_idle_after_thirty_minutes_and_begins_anew() {
    let server = named("one").await;
    let scheme = counting(&server);
    let channel = builder(&scheme).connect_lazy().unwrap();
    assert_eq!(in_real_time(answer(&channel)).await.unwrap(), "one");
    // Half of the time, a call, and almost all of it.
    advance(Duration::from_secs(15 * 60)).await;
    settled().await;
    assert_eq!(in_real_time(answer(&channel)).await.unwrap(), "one");
    advance(Duration::from_secs(30 * 60 - 10)).await;
    settled().await;
    assert_eq!(channel.state().get(), State::Ready);
    assert_eq!(scheme.running.load(Ordering::SeqCst), 1);
    advance(Duration::from_secs(11)).await;
    settled().await;
    assert_eq!(channel.state().get(), State::Idle);
    assert_eq!(
        scheme.running.load(Ordering::SeqCst),
        0,
        "its resolver is gone"
    );
    assert_eq!(scheme.begun.load(Ordering::SeqCst), 1);

    assert_eq!(in_real_time(answer(&channel)).await.unwrap(), "one");
    assert_eq!(channel.state().get(), State::Ready);
    assert_eq!(
        scheme.begun.load(Ordering::SeqCst),
        2,
        "it has resolved anew"
    );
    advance(Duration::from_secs(30 * 60 + 10)).await;
    settled().await;
    assert_eq!(channel.state().get(), State::Idle);
    channel.connect();
    in_real_time(soon(channel.state().wait_for(State::Ready)))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_runs_keeps_the_channel_from_being_idle() {
    let (server, go_on, count) = held().await;
    let scheme = counting(&server);
    let timeout = Duration::from_secs(60);
    let channel = builder(&scheme)
        .idle_timeout(timeout)
        .connect_lazy()
        .unwrap();
    let running = tokio::spawn({
        let channel = channel.clone();
        async move {
            let ended = tower::ServiceExt::oneshot(channel, request());
            let response = ended.await.unwrap();
            http_body_util::BodyExt::collect(response.into_body())
                .await
                .unwrap();
            Instant::now()
        }
    });
    in_real_time(soon(async {
        while count.load(Ordering::SeqCst) < 1 {
            sleep(Duration::from_millis(1)).await;
        }
    }))
    .await;
    for _ in 0..5 {
        advance(timeout).await;
        settled().await;
        assert_eq!(channel.state().get(), State::Ready);
    }
    go_on.send(true).unwrap();
    let ended = in_real_time(soon(running)).await.unwrap();
    // From its end on.
    advance(timeout - ended.elapsed() - Duration::from_secs(1)).await;
    settled().await;
    assert_eq!(channel.state().get(), State::Ready);
    advance(Duration::from_secs(2)).await;
    settled().await;
    assert_eq!(channel.state().get(), State::Idle);
}

fn request() -> Request<tonic::body::Body> {
    let body = http_body_util::Full::new(crate::testing::framed(b"request"));
    let request = Request::post(crate::testing::PATH).header("content-type", "application/grpc");
    request.body(tonic::body::Body::new(body)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_channel_may_never_be_idle() {
    let server = named("one").await;
    let scheme = counting(&server);
    for never in [None, Some(Duration::ZERO)] {
        let channel = builder(&scheme).idle_timeout(never).connect_lazy().unwrap();
        assert_eq!(in_real_time(answer(&channel)).await.unwrap(), "one");
        advance(Duration::from_secs(30 * 24 * 60 * 60)).await;
        settled().await;
        assert_eq!(channel.state().get(), State::Ready);
    }
}

/// It can't be resolved any more when it's wanted again.
#[tokio::test(start_paused = true)]
async fn a_resolver_that_cannot_be_made_again_fails_calls_and_is_tried_again() {
    #[derive(Clone)]
    struct Moody(Counting, Arc<Mutex<bool>>);

    impl Scheme for Moody {
        fn name(&self) -> &str {
            "counting"
        }

        fn resolver(&self, target: &Target) -> Result<Box<dyn Resolver>, String> {
            match *self.1.lock().unwrap() {
                true => Err("not today".into()),
                false => self.0.resolver(target),
            }
        }
    }

    let server = named("one").await;
    let refuses = Arc::<Mutex<bool>>::default();
    let scheme = Moody(counting(&server), refuses.clone());
    let channel = Channel::builder("counting:test").scheme(scheme);
    let channel = channel.idle_timeout(Duration::from_secs(60)).connect_lazy();
    let channel = channel.unwrap();
    assert_eq!(in_real_time(answer(&channel)).await.unwrap(), "one");
    advance(Duration::from_secs(61)).await;
    settled().await;
    assert_eq!(channel.state().get(), State::Idle);
    *refuses.lock().unwrap() = true;
    let status = call(channel.clone(), "request").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("not today"), "{status}");
    *refuses.lock().unwrap() = false;
    advance(Duration::from_secs(2)).await;
    settled().await;
    assert_eq!(in_real_time(answer(&channel)).await.unwrap(), "one");
}
