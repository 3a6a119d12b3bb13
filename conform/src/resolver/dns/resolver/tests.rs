//! Time is paused: a second passes only when everybody waits for it.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Mutex;

use tokio::time::{Instant, advance, timeout_at};
use tonic::Code;

use super::*;
use crate::resolver::UpdatesReceiver;

mod failures;
mod times;

/// What a lookup gives.
#[derive(Clone)]
enum Reply {
    Found(Answer),
    Fails,
    /// Found after this many seconds.
    Late(u64, Answer),
    Hangs,
}

/// Answers with these one after the other, and goes on with the last.
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    began: Instant,
    /// When it was asked, in seconds since the beginning.
    asked: Mutex<Vec<f64>>,
    /// How many lookups are running.
    running: Arc<()>,
}

impl Script {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Arc<Self> {
        Arc::new(Self {
            replies: Mutex::new(replies.into_iter().collect()),
            began: Instant::now(),
            asked: Mutex::default(),
            running: Arc::default(),
        })
    }

    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// When it was asked, to the second.
    fn asked(&self) -> Vec<u64> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|at| at.round() as u64).collect()
    }

    fn running(&self) -> usize {
        Arc::strong_count(&self.running) - 1
    }
}

impl Lookup for Script {
    fn lookup(&self, name: &str) -> BoxFuture<'static, Result<Answer, String>> {
        assert_eq!(name, "greeter.test");
        self.asked.lock().unwrap().push(self.now());
        let mut replies = self.replies.lock().unwrap();
        let reply = match replies.len() {
            1 => replies[0].clone(),
            _ => replies.pop_front().unwrap(),
        };
        let running = self.running.clone();
        Box::pin(async move {
            let _running = running;
            match reply {
                Reply::Found(answer) => Ok(answer),
                Reply::Fails => Err("as told".to_owned()),
                Reply::Late(seconds, answer) => {
                    sleep(Duration::from_secs(seconds)).await;
                    Ok(answer)
                }
                Reply::Hangs => pending().await,
            }
        })
    }
}

/// These addresses, which hold for so many seconds.
fn found(addresses: &[&str], ttl: impl Into<Option<u64>>) -> Answer {
    Answer {
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        ttl: ttl.into().map(Duration::from_secs),
        failed: None,
    }
}

/// A channel with this resolver.
struct Channel {
    script: Arc<Script>,
    updates: UpdatesReceiver,
    /// What it says of each update.
    verdict: bool,
}

/// When, and which addresses, or the error's text.
type Heard = (u64, Result<Vec<String>, String>);

impl Channel {
    fn new(settings: Dns, replies: impl IntoIterator<Item = Reply>) -> Self {
        let script = Script::new(replies);
        let resolver = DnsResolver {
            settings,
            lookup: script.clone(),
            name: "greeter.test".to_owned(),
            port: 50051,
        };
        Self {
            script,
            updates: UpdatesReceiver::spawn(Box::new(resolver)),
            verdict: true,
        }
    }

    /// What it hears until so many seconds after the beginning.
    async fn until(&mut self, seconds: u64) -> Vec<Heard> {
        let end = self.script.began + Duration::from_secs(seconds) + Duration::from_millis(500);
        let mut heard = Vec::new();
        while let Ok(delivery) = timeout_at(end, self.updates.next()).await {
            let delivery = delivery.unwrap();
            delivery.verdict.give(self.verdict);
            let news = match delivery.update.backends {
                Ok(backends) => Ok(crate::resolver::tests::texts(&backends)),
                Err(status) => {
                    assert_eq!(status.code(), Code::Unavailable);
                    Err(status.message().to_owned())
                }
            };
            assert!(delivery.update.service_config.is_none());
            heard.push((self.script.now().round() as u64, news));
        }
        heard
    }
}

/// So many seconds, and these addresses at port 50051.
fn heard(at: u64, addresses: &[&str]) -> Heard {
    let addresses = addresses.iter().map(|ip| format!("{ip}:50051"));
    (at, Ok(addresses.collect()))
}

fn failed(at: u64, reason: &str) -> Heard {
    (
        at,
        Err(format!("`greeter.test` can't be resolved: {reason}")),
    )
}

#[tokio::test(start_paused = true)]
async fn addresses_come_in_their_order_each_once() {
    let addresses = ["10.0.0.2", "10.0.0.1", "10.0.0.2", "::1", "10.0.0.1", "::2"];
    let answer = Reply::Found(found(&addresses, None));
    let mut channel = Channel::new(Dns::new(), [answer]);
    let backends = ["10.0.0.2", "10.0.0.1", "[::1]", "[::2]"];
    assert_eq!(channel.until(1).await, [heard(0, &backends)]);
}

// gRFC A61, "Allow Resolvers to Return Multiple Addresses Per Endpoint": "the DNS resolver will
// return each address as a separate endpoint."
#[tokio::test(start_paused = true)]
async fn each_address_is_a_backend() {
    let answer = Reply::Found(found(&["10.0.0.1", "::1"], None));
    let mut channel = Channel::new(Dns::new(), [answer]);
    let delivery = channel.updates.next().await.unwrap();
    let backends = delivery.update.backends.unwrap();
    assert_eq!(backends.len(), 2);
    assert!(
        backends
            .iter()
            .all(|backend| backend.addresses().len() == 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_is_cut() {
    let addresses = (0..2000).map(|ip| std::net::Ipv4Addr::from(ip).into());
    let answer = Answer {
        // The first twice, which doesn't count.
        addresses: [IpAddr::from([0, 0, 0, 0])]
            .into_iter()
            .chain(addresses)
            .collect(),
        ..Answer::default()
    };
    let mut channel = Channel::new(Dns::new(), [Reply::Found(answer)]);
    let heard = channel.until(1).await;
    let backends = heard[0].1.as_ref().unwrap();
    assert_eq!(backends.len(), 1024);
    assert_eq!(backends[1023], "0.0.3.255:50051");
}

#[tokio::test(start_paused = true)]
async fn the_lookup_ends_with_the_channel() {
    let mut channel = Channel::new(Dns::new(), [Reply::Hangs]);
    assert_eq!(channel.until(1).await, []);
    assert_eq!(channel.script.running(), 1);
    let Channel {
        script, updates, ..
    } = channel;
    drop(updates);
    tokio::task::yield_now().await;
    assert_eq!(script.running(), 0);
}
