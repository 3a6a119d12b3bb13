//! Reads a config.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::config::{Attempts, MethodConfig, Methods, Said, ServiceConfig, Throttling};
use super::json::{Fields, InvalidServiceConfig, MAX_SIZE, Node, Rule};
use crate::balance::{Chosen, Registry};
use crate::deadline::Timeout;
use crate::hedging::HedgingPolicy;
use crate::retry::{RetryPolicy, Throttle};

type Result<T> = std::result::Result<T, InvalidServiceConfig>;

pub(super) fn parse(json: &str, registry: &Registry) -> Result<ServiceConfig> {
    if json.len() > MAX_SIZE {
        return Err(InvalidServiceConfig::whole(Rule::TooLarge));
    }
    // It follows nothing deeper than 128 levels.
    let value: Value = serde_json::from_str(json)
        .map_err(|error| InvalidServiceConfig::whole(Rule::NotJson(error.to_string())))?;
    let whole = Node::whole(&value);
    let fields = whole.object()?;
    let load_balancing = match fields.get("loadBalancingConfig") {
        Some(list) => Some(chosen(&list, registry)?),
        None => fields.read("loadBalancingPolicy", |name| named(name, registry))?,
    };
    let throttle = fields.read("retryThrottling", throttling)?;
    let said = Said {
        methods: fields.read("methodConfig", methods)?.unwrap_or_default(),
        throttling: throttle.as_ref().map(|(throttling, _)| *throttling),
        health_check_service: fields.read("healthCheckConfig", health_check)?.flatten(),
        load_balancing,
    };
    Ok(ServiceConfig::new(
        said,
        throttle.map(|(_, throttle)| throttle),
    ))
}

/// gRFC A24.
fn chosen(list: &Node<'_>, registry: &Registry) -> Result<Chosen> {
    let chosen = registry.choose(list.value());
    chosen.map_err(|why| list.invalid(Rule::Policy(why)))
}

/// The form from before gRFC A24: a name in any case, and no config.
fn named(node: &Node<'_>, registry: &Registry) -> Result<Chosen> {
    let name = node.text()?.to_ascii_lowercase();
    let chosen = registry.policy(&name, &Value::Object(Map::new()));
    chosen.map_err(|_| node.invalid(Rule::UnknownPolicy))
}

fn throttling(node: &Node<'_>) -> Result<(Throttling, Throttle)> {
    let fields = node.object()?;
    let throttling = Throttling {
        max_tokens: fields.require("maxTokens", Node::tokens)?,
        ratio_thousandths: fields.require("tokenRatio", Node::ratio)?,
    };
    let Throttling {
        max_tokens,
        ratio_thousandths,
    } = throttling;
    let throttle = Throttle::new(max_tokens, ratio_thousandths);
    let throttle = throttle.map_err(|why| node.invalid(Rule::Policy(why.to_string())))?;
    Ok((throttling, throttle))
}

fn health_check(node: &Node<'_>) -> Result<Option<String>> {
    let name = node.object()?.read("serviceName", Node::text)?;
    Ok(name.map(str::to_owned))
}

fn methods(node: &Node<'_>) -> Result<Methods> {
    let mut methods = Methods::new();
    for entry in node.list()? {
        let fields = entry.object()?;
        let config = Arc::new(method(&fields)?);
        let Some(names) = fields.get("name") else {
            continue;
        };
        for name in names.list()? {
            match methods.entry(pattern(&name)?) {
                Entry::Occupied(_) => return Err(name.invalid(Rule::Duplicate)),
                Entry::Vacant(vacant) => vacant.insert(config.clone()),
            };
        }
    }
    Ok(methods)
}

/// The key of [`Methods`] that a name stands for. A part of it that is empty isn't there.
fn pattern(name: &Node<'_>) -> Result<String> {
    let fields = name.object()?;
    let service = fields.read("service", Node::text)?.unwrap_or_default();
    let method = fields.read("method", Node::text)?.unwrap_or_default();
    match (service, method) {
        ("", "") => Ok(String::new()),
        ("", _) => Err(name.invalid(Rule::MethodAlone)),
        _ => Ok(format!("/{service}/{method}")),
    }
}

fn method(fields: &Fields<'_>) -> Result<MethodConfig> {
    let retry = fields.read("retryPolicy", retry)?;
    let hedging = fields.read("hedgingPolicy", |node| match retry {
        Some(_) => Err(node.invalid(Rule::Both)),
        None => hedging(node),
    })?;
    let retry = retry.map(|policy| Attempts::Retry(Arc::new(policy)));
    let hedging = hedging.map(|policy| Attempts::Hedging(Arc::new(policy)));
    Ok(MethodConfig {
        timeout: fields.read("timeout", Node::duration)?.map(Timeout::new),
        wait_for_ready: fields.read("waitForReady", Node::truth)?,
        max_request: fields.read("maxRequestMessageBytes", Node::bytes)?,
        max_response: fields.read("maxResponseMessageBytes", Node::bytes)?,
        attempts: retry.or(hedging),
    })
}

/// gRFC A6, "Validation of retryPolicy".
fn retry(node: &Node<'_>) -> Result<RetryPolicy> {
    let fields = node.object()?;
    let policy = RetryPolicy::new(
        fields.require("maxAttempts", Node::attempts)?,
        fields.require("initialBackoff", Node::positive_duration)?,
        fields.require("maxBackoff", Node::positive_duration)?,
        fields.require("backoffMultiplier", Node::multiplier)?,
        fields.require("retryableStatusCodes", Node::some_codes)?,
    );
    policy.map_err(|why| node.invalid(Rule::Policy(why.to_string())))
}

/// gRFC A6, "Validation of hedgingPolicy".
fn hedging(node: &Node<'_>) -> Result<HedgingPolicy> {
    let fields = node.object()?;
    let codes = fields.read("nonFatalStatusCodes", Node::codes)?;
    let delay = fields.read("hedgingDelay", Node::duration)?;
    let policy = HedgingPolicy::new(
        fields.require("maxAttempts", Node::attempts)?,
        delay.unwrap_or_default(),
        codes.unwrap_or_default(),
    );
    policy.map_err(|why| node.invalid(Rule::Policy(why.to_string())))
}
