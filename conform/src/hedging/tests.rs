use std::time::Duration;

use tonic::Code;
use tower::ServiceExt;

use super::*;
use crate::attempts::tests::script::{Act, Script, call, refused, request};

mod buffer;
mod loopback;
mod model;
mod rules;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An attempt each 10 ms.
fn policy(max_attempts: u32) -> HedgingPolicy {
    HedgingPolicy::new(max_attempts, millis(10), [Code::Unavailable]).unwrap()
}

fn hedge(max_attempts: u32) -> HedgingLayer {
    HedgingLayer::new().policy(policy(max_attempts))
}

fn after(time: u64, act: Act) -> Act {
    Act::After(millis(time), Box::new(act))
}

fn layered(layer: HedgingLayer, script: &Script) -> Hedging<Script> {
    layer.layer(script.clone())
}

const UNAVAILABLE: Act = Act::Fail(Code::Unavailable);
