use std::time::Duration;

use tonic::Code;
use tower::ServiceExt;

use super::*;
use crate::attempts::tests::script::{Act, Script, call, refused, request};

mod buffer;
mod deadline;
mod loopback;
mod model;
mod policy;
mod rules;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// 100 ms, 200 ms, 300 ms, 300 ms.
fn policy(max_attempts: u32) -> RetryPolicy {
    let codes = [Code::Unavailable, Code::Aborted];
    RetryPolicy::new(max_attempts, millis(100), millis(300), 2.0, codes).unwrap()
}

/// Whether a pause is as long as A6 says, within the jitter and the timer's millisecond.
fn is_about(pause: Duration, planned: u64) -> bool {
    let bounds = millis(planned * 8 / 10)..=millis(planned * 12 / 10 + 1);
    bounds.contains(&pause)
}

/// `service` made to fail as a layer above a channel does.
fn layered(layer: RetryLayer, script: &Script) -> Retry<Script> {
    layer.layer(script.clone())
}

const UNAVAILABLE: Act = Act::Fail(Code::Unavailable);
