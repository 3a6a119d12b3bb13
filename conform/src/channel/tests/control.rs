//! Which policy runs, and what becomes of one that panics.

use std::sync::Mutex;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tonic::codegen::http::HeaderMap;

use super::super::connect::Connect;
use super::super::control::Policies;
use super::*;
use crate::balance::{
    Chosen, Control, LineEnd, Policy, PolicyBuilder, PolicyConfig, Registry, Shared, Subchannel,
    SubchannelState,
};

/// Connects to nobody.
struct Nowhere;

impl Connect for Nowhere {
    fn connect(
        &self,
        _: &Arc<Shared>,
        _: u64,
        _: oneshot::Sender<()>,
        _: LineEnd,
    ) -> BoxFuture<'static, Result<tonic::transport::Channel, Status>> {
        Box::pin(std::future::ready(Err(Status::unavailable("nowhere"))))
    }
}

/// A policy that publishes what its config says, and panics on command.
#[derive(Clone, Debug)]
struct Puppet {
    publishes: State,
    panics: bool,
    wakes_after: Option<Duration>,
    /// Whether it goes by a new config.
    takes: bool,
    log: Arc<Mutex<Vec<String>>>,
}

impl Puppet {
    fn note(&self, what: &str) {
        self.log.lock().unwrap().push(what.to_owned());
    }
}

impl PolicyConfig for Puppet {
    fn build(&self) -> Box<dyn Policy> {
        self.note("built");
        Box::new(self.clone())
    }
}

impl Policy for Puppet {
    fn resolved(&mut self, backends: &[Backend], control: &mut dyn Control) -> Result<(), String> {
        self.note(&format!("resolved {}", backends.len()));
        assert!(!self.panics, "boom");
        if let Some(time) = self.wakes_after {
            control.wake_at(Instant::now() + time);
        }
        let state = self.publishes;
        control.publish(
            state,
            Arc::new(move |_: &Call<'_>| Pick::Fail(Status::unavailable(state.to_string()))),
        );
        match backends {
            [] => Err("none".into()),
            _ => Ok(()),
        }
    }

    fn reconfigured(&mut self, config: &dyn PolicyConfig) -> bool {
        let config = config.downcast_ref::<Self>().unwrap();
        assert!(!config.panics || !self.takes, "boom");
        if self.takes {
            self.note(&format!("takes {}", config.publishes));
            self.publishes = config.publishes;
        }
        self.takes
    }

    fn failed(&mut self, error: &Status, control: &mut dyn Control) {
        self.note(&format!("failed {}", error.message()));
        control.re_resolve();
    }

    fn changed(&mut self, _: &Subchannel, _: &SubchannelState, _: &mut dyn Control) {}

    fn connect(&mut self, _: &mut dyn Control) {
        self.note("connect");
    }

    fn woken(&mut self, _: &mut dyn Control) {
        self.note("woken");
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.note("dropped");
    }
}

struct Puppets(Arc<Mutex<Vec<String>>>);

impl PolicyBuilder for Puppets {
    fn name(&self) -> &str {
        "puppet"
    }

    fn parse(&self, config: &Value) -> Result<Arc<dyn PolicyConfig>, String> {
        let publishes = match config["publishes"].as_str() {
            Some("READY") => State::Ready,
            Some("CONNECTING") => State::Connecting,
            Some("IDLE") => State::Idle,
            _ => State::TransientFailure,
        };
        Ok(Arc::new(Puppet {
            publishes,
            panics: config["panics"] == true,
            wakes_after: config["seconds"].as_u64().map(Duration::from_secs),
            takes: config["takes"] == true,
            log: self.0.clone(),
        }))
    }
}

fn backend() -> Backend {
    Backend::at(([127, 0, 0, 1], 1).into())
}

struct Fixture {
    policies: Policies,
    registry: Registry,
    log: Arc<Mutex<Vec<String>>>,
}

impl Fixture {
    fn new() -> Self {
        let log = Arc::<Mutex<Vec<_>>>::default();
        Self {
            policies: Policies::new(Nowhere),
            registry: Registry::new().with(Puppets(log.clone())),
            log,
        }
    }

    fn puppet(&self, config: Value) -> Chosen {
        self.registry.policy("puppet", &config).unwrap()
    }

    /// What is published now.
    fn says(&self) -> Option<String> {
        let published = self.policies.published()?;
        let headers = HeaderMap::new();
        match published.picker.pick(&Call::new("", &headers)) {
            Pick::Fail(status) => Some(status.message().to_owned()),
            other => panic!("{other:?}"),
        }
    }

    fn log(&self) -> Vec<String> {
        let log = std::mem::take(&mut *self.log.lock().unwrap());
        log.into_iter().filter(|line| line != "dropped").collect()
    }
}

#[tokio::test]
async fn a_policy_is_kept_while_its_config_stays_the_same() {
    let mut it = Fixture::new();
    let ready = it.puppet(json!({ "publishes": "READY" }));
    it.policies.resolved(&[backend()], &ready, None).unwrap();
    let again = it.puppet(json!({ "publishes": "READY" }));
    it.policies.resolved(&[], &again, None).unwrap_err();
    assert_eq!(it.log(), ["built", "resolved 1", "resolved 0"]);
}

#[tokio::test]
async fn another_config_is_another_policy_and_so_is_another_health_check() {
    let mut it = Fixture::new();
    for (config, health) in [
        (json!({}), None),
        (json!({ "publishes": "IDLE" }), None),
        (json!({ "publishes": "IDLE" }), Some("a")),
        (json!({ "publishes": "IDLE" }), Some("b")),
    ] {
        let chosen = it.puppet(config);
        it.policies.resolved(&[backend()], &chosen, health).unwrap();
        assert_eq!(it.log(), ["built", "resolved 1"]);
    }
}

#[tokio::test]
async fn a_policy_that_takes_a_new_config_goes_on_with_it() {
    let mut it = Fixture::new();
    let first = it.puppet(json!({ "publishes": "READY", "takes": true }));
    it.policies.resolved(&[backend()], &first, None).unwrap();
    assert_eq!(it.log(), ["built", "resolved 1"]);
    let second = it.puppet(json!({ "publishes": "IDLE" }));
    for lines in [&["takes IDLE", "resolved 1"][..], &["resolved 1"]] {
        it.policies.resolved(&[backend()], &second, None).unwrap();
        assert_eq!(it.log(), lines);
        assert_eq!(it.says().unwrap(), "IDLE");
    }
    // With another health check its connections are others.
    it.policies
        .resolved(&[backend()], &first, Some("a"))
        .unwrap();
    assert_eq!(it.log(), ["built", "resolved 1"]);
    // Another policy has another config.
    let other = it.registry.policy("round_robin", &json!({})).unwrap();
    it.policies
        .resolved(&[backend()], &other, Some("a"))
        .unwrap();
    assert!(it.log().is_empty());
}

#[tokio::test]
async fn a_policy_that_panics_over_a_new_config_is_replaced() {
    let mut it = Fixture::new();
    let first = it.puppet(json!({ "publishes": "READY", "takes": true }));
    it.policies.resolved(&[backend()], &first, None).unwrap();
    it.log();
    let bomb = it.puppet(json!({ "panics": true }));
    it.policies.resolved(&[backend()], &bomb, None).unwrap();
    assert_eq!(it.log(), ["built", "resolved 1"]);
}

#[tokio::test]
async fn a_policy_that_works_stays_until_the_next_one_has_something_better() {
    let mut it = Fixture::new();
    let ready = it.puppet(json!({ "publishes": "READY" }));
    it.policies.resolved(&[backend()], &ready, None).unwrap();
    let connecting = it.puppet(json!({ "publishes": "CONNECTING" }));
    it.policies
        .resolved(&[backend()], &connecting, None)
        .unwrap();
    assert_eq!(it.says().unwrap(), "READY", "graceful switch");
    let failing = it.puppet(json!({}));
    it.policies.resolved(&[backend()], &failing, None).unwrap();
    assert_eq!(it.says().unwrap(), "TRANSIENT_FAILURE");
    // Nothing is lost by leaving one that has no connection.
    it.policies
        .resolved(&[backend()], &connecting, None)
        .unwrap();
    assert_eq!(it.says().unwrap(), "CONNECTING");
}

#[tokio::test]
async fn a_resolvers_failure_goes_to_the_policy_if_there_is_one() {
    let mut it = Fixture::new();
    let error = Status::unavailable("no DNS");
    assert!(!it.policies.failed(&error));
    let ready = it.puppet(json!({ "publishes": "READY" }));
    it.policies.resolved(&[backend()], &ready, None).unwrap();
    it.log();
    assert!(!it.policies.take_re_resolve());
    assert!(it.policies.failed(&error));
    assert_eq!(it.log(), ["failed no DNS"]);
    assert!(it.policies.take_re_resolve());
    assert!(!it.policies.take_re_resolve(), "asked once");
}

#[tokio::test]
async fn an_idle_policy_is_told_to_connect_and_no_other() {
    for (publishes, told) in [("IDLE", 1), ("READY", 0)] {
        let mut it = Fixture::new();
        let chosen = it.puppet(json!({ "publishes": publishes }));
        it.policies.resolved(&[backend()], &chosen, None).unwrap();
        it.log();
        it.policies.connect();
        assert_eq!(it.log().len(), told, "{publishes}");
    }
}

#[tokio::test]
async fn a_policy_that_panics_is_taken_away_until_it_is_told_of_backends_again() {
    let mut it = Fixture::new();
    let bomb = it.puppet(json!({ "panics": true }));
    it.policies.resolved(&[backend()], &bomb, None).unwrap();
    let says = it.says().unwrap();
    assert!(says.contains("puppet has panicked"), "{says}");
    it.log();
    assert!(it.policies.failed(&Status::unavailable("no DNS")));
    it.policies.connect();
    assert!(it.log().is_empty(), "nobody is asked");
    it.policies.resolved(&[backend()], &bomb, None).unwrap();
    assert_eq!(it.log(), ["built", "resolved 1"]);
    let good = it.puppet(json!({ "publishes": "READY" }));
    it.policies.resolved(&[backend()], &good, None).unwrap();
    assert_eq!(it.says().unwrap(), "READY");
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_woken_once_when_its_time_has_come() {
    let mut it = Fixture::new();
    let ready = it.puppet(json!({ "publishes": "READY", "seconds": 5 }));
    it.policies.resolved(&[backend()], &ready, None).unwrap();
    // The one that is to follow has a time of its own.
    let connecting = it.puppet(json!({ "publishes": "CONNECTING", "seconds": 3 }));
    it.policies
        .resolved(&[backend()], &connecting, None)
        .unwrap();
    it.log();
    let begin = Instant::now();
    let hour = Duration::from_secs(3600);
    for seconds in [3, 5] {
        timeout(hour, it.policies.event()).await.unwrap();
        assert_eq!(begin.elapsed().as_secs(), seconds);
        assert_eq!(it.log(), ["woken"]);
    }
    assert!(timeout(hour, it.policies.event()).await.is_err());
}
