use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tonic::Code;

use super::*;
use crate::balance::{Policy, PolicyBuilder, PolicyConfig, Registry};

mod arbitrary;
mod layer;
mod reads;
mod selection;
mod table;

/// A policy that can't be built, and that takes objects without the field `bad`.
#[derive(Debug)]
struct Known(&'static str);

impl PolicyBuilder for Known {
    fn name(&self) -> &str {
        self.0
    }

    fn parse(&self, config: &Value) -> Result<Arc<dyn PolicyConfig>, String> {
        match config.as_object() {
            Some(fields) if !fields.contains_key("bad") => Ok(Arc::new(Known(self.0))),
            _ => Err("(what the policy says)".into()),
        }
    }
}

impl PolicyConfig for Known {
    fn build(&self) -> Box<dyn Policy> {
        unreachable!("nobody asks for it")
    }
}

fn registry() -> Registry {
    Registry::new()
        .with(Known("round_robin"))
        .with(Known("least_request_experimental"))
}

fn read(json: &str) -> Result<ServiceConfig, InvalidServiceConfig> {
    ServiceConfig::parse_with(json, &registry())
}

fn valid(json: Value) -> ServiceConfig {
    read(&json.to_string()).unwrap()
}

fn why(json: Value) -> String {
    read(&json.to_string()).unwrap_err().to_string()
}

/// A config with all fields.
fn full() -> Value {
    json!({
        "loadBalancingConfig": [{ "round_robin": {} }],
        "loadBalancingPolicy": "round_robin",
        "healthCheckConfig": { "serviceName": "a" },
        "retryThrottling": { "maxTokens": 10, "tokenRatio": 0.1 },
        "methodConfig": [
            {
                "name": [{ "service": "a", "method": "b" }, { "service": "a" }],
                "timeout": "1.5s",
                "waitForReady": true,
                "maxRequestMessageBytes": 1024,
                "maxResponseMessageBytes": "2048",
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "aborted", 8]
                }
            },
            {
                "name": [{ "service": "c.d", "method": "e" }, {}],
                "hedgingPolicy": {
                    "maxAttempts": 3,
                    "hedgingDelay": "0.5s",
                    "nonFatalStatusCodes": ["UNAVAILABLE"]
                }
            }
        ]
    })
}
