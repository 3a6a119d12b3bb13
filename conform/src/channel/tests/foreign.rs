//! Policies of others that panic where nobody expects it, or never get on; callers that never pause.

use std::sync::atomic::AtomicBool;

use serde_json::Value;

use super::*;
use crate::balance::{Control, Policy, PolicyBuilder, PolicyConfig, Subchannel, SubchannelState};

/// Panics where it's told to, and says IDLE for ever.
#[derive(Clone, Debug)]
struct Foreign {
    panics_in: &'static str,
    /// How often it was told of backends.
    resolved: Arc<AtomicU64>,
    /// How often it was told to connect.
    connects: Arc<AtomicU64>,
}

impl Foreign {
    fn new(panics_in: &'static str) -> Self {
        Self {
            panics_in,
            resolved: Arc::default(),
            connects: Arc::default(),
        }
    }

    fn is_in(&self, place: &str) {
        assert!(self.panics_in != place || std::thread::panicking(), "boom");
    }
}

impl PolicyBuilder for Foreign {
    fn name(&self) -> &str {
        "foreign"
    }

    fn parse(&self, _: &Value) -> Result<Arc<dyn PolicyConfig>, String> {
        self.is_in("parse");
        Ok(Arc::new(Config(self.clone())))
    }
}

#[derive(Debug)]
struct Config(Foreign);

impl PolicyConfig for Config {
    fn build(&self) -> Box<dyn Policy> {
        Box::new(Idle(self.0.clone()))
    }

    fn health_checks(&self) -> bool {
        self.0.is_in("health_checks");
        true
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        self.0.is_in("drop of the config");
    }
}

struct Idle(Foreign);

impl Policy for Idle {
    fn resolved(&mut self, _: &[Backend], control: &mut dyn Control) -> Result<(), String> {
        self.0.resolved.fetch_add(1, Ordering::SeqCst);
        control.publish(State::Idle, Arc::new(|_: &Call<'_>| Pick::Wait));
        Ok(())
    }

    fn failed(&mut self, _: &Status, _: &mut dyn Control) {}

    fn changed(&mut self, _: &Subchannel, _: &SubchannelState, _: &mut dyn Control) {}

    fn connect(&mut self, _: &mut dyn Control) {
        self.0.connects.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.is_in("drop of the policy");
    }
}

const FOREIGN: &str = r#"{
    "loadBalancingConfig": [{ "foreign": {} }],
    "healthCheckConfig": { "serviceName": "test" }
}"#;

fn with_policy(fleet: &Manual, policy: Foreign) -> Channel {
    let builder = Channel::builder("fleet:test").scheme(fleet.clone());
    builder.policy(policy).connect_lazy().unwrap()
}

async fn until(is_so: impl Fn() -> bool) {
    soon(async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_panics_wherever_it_is_ends_no_channel() {
    let (one, two) = (named("one").await, named("two").await);
    for place in [
        "parse",
        "health_checks",
        "drop of the config",
        "drop of the policy",
    ] {
        let fleet = Manual::new("fleet");
        let policy = Foreign::new(place);
        let (resolved, refused) = (policy.resolved.clone(), fleet.refused());
        let channel = with_policy(&fleet, policy);
        channel.connect();
        fleet.set(backends([&one]).config(FOREIGN));
        until(|| resolved.load(Ordering::SeqCst) > 0 || *refused.borrow() > 0).await;
        for server in [&one, &two] {
            fleet.set(backends([server]).config(ROUND_ROBIN));
            let name = if server.address == one.address {
                "one"
            } else {
                "two"
            };
            soon(async { while answer(&channel).await.as_deref() != Ok(name) {} }).await;
        }
    }
}

#[tokio::test]
async fn a_policy_that_stays_idle_is_not_told_to_connect_all_the_time() {
    let fleet = Manual::new("fleet");
    fleet.set(backends([&named("one").await]).config(FOREIGN));
    let policy = Foreign::new("");
    let connects = policy.connects.clone();
    let channel = with_policy(&fleet, policy);
    let waiting = tokio::spawn(async move { answer(&channel).await });
    until(|| connects.load(Ordering::SeqCst) > 0).await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    let connects = connects.load(Ordering::SeqCst);
    assert!(connects <= 2, "{connects}");
    assert!(!waiting.is_finished());
}

#[tokio::test]
async fn a_caller_that_never_pauses_lets_others_run() {
    let fleet = Manual::new("fleet");
    fleet.set(Update::failed(Status::not_found("nobody")));
    let channel = channel(&fleet, "{}");
    assert_eq!(answer(&channel).await, Err(Code::NotFound));
    let has_run = Arc::new(AtomicBool::new(false));
    let other = has_run.clone();
    tokio::spawn(async move { other.store(true, Ordering::SeqCst) });
    for _ in 0..1000 {
        assert_eq!(answer(&channel).await, Err(Code::NotFound));
    }
    assert!(has_run.load(Ordering::SeqCst));
}
