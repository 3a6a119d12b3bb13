//! Any bytes, and any JSON, is read or refused.

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use serde_json::Map;

use super::*;

const FIELDS: &[&str] = &[
    "backoffMultiplier",
    "healthCheckConfig",
    "hedgingDelay",
    "hedgingPolicy",
    "initialBackoff",
    "loadBalancingConfig",
    "loadBalancingPolicy",
    "maxAttempts",
    "maxBackoff",
    "maxRequestMessageBytes",
    "maxTokens",
    "method",
    "methodConfig",
    "name",
    "nonFatalStatusCodes",
    "retryPolicy",
    "retryThrottling",
    "retryableStatusCodes",
    "round_robin",
    "service",
    "serviceName",
    "timeout",
    "tokenRatio",
    "waitForReady",
];

fn any(u: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    Ok(match u.int_in_range(0..=if depth > 0 { 9 } else { 6 })? {
        0 => Value::Null,
        1 => json!(u.arbitrary::<bool>()?),
        2 => json!(u.arbitrary::<i64>()?),
        3 => json!(u.arbitrary::<f64>()?),
        4 => json!(format!("{}s", u.arbitrary::<i32>()?)),
        5 => json!(u.arbitrary::<&str>()?),
        6 => json!(*u.choose(&["UNAVAILABLE", "-1s", "0.1s", "round_robin", "5", ""])?),
        7 => {
            let count = u.int_in_range(0..=3)?;
            let list = (0..count).map(|_| any(u, depth - 1));
            Value::Array(list.collect::<Result<_>>()?)
        }
        _ => object(u, depth - 1)?,
    })
}

fn object(u: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    let mut fields = Map::new();
    for _ in 0..u.int_in_range(0..=6)? {
        let name = *u.choose(FIELDS)?;
        fields.insert(name.to_owned(), any(u, depth)?);
    }
    Ok(Value::Object(fields))
}

/// `full()`, with a few of its values replaced.
fn nearly(u: &mut Unstructured<'_>) -> Result<Value> {
    fn change(value: &mut Value, u: &mut Unstructured<'_>) -> Result<()> {
        if u.ratio(1, 16)? {
            *value = any(u, 2)?;
            return Ok(());
        }
        match value {
            Value::Object(fields) => fields.values_mut().try_for_each(|value| change(value, u)),
            Value::Array(list) => list.iter_mut().try_for_each(|value| change(value, u)),
            _ => Ok(()),
        }
    }
    let mut config = full();
    change(&mut config, u)?;
    Ok(config)
}

/// Reads it, asks it for all that it says, and reads its text in another form.
fn check(json: &str) {
    match read(json) {
        Ok(config) => {
            for path in ["", "/", "//", "/a/b", "/a/", "é/é", json] {
                let _ = config.method(path).map(|method| method.attempts());
            }
            assert_eq!(config, read(json).unwrap());
        }
        Err(invalid) => {
            let text = invalid.to_string();
            assert!(text.starts_with(invalid.path()), "{text}");
        }
    }
}

#[test]
fn any_text_is_read_or_refused() {
    arbtest(|u| {
        check(u.arbitrary::<&str>()?);
        Ok(())
    });
}

#[test]
fn any_json_is_read_or_refused() {
    arbtest(|u| {
        check(&object(u, 5)?.to_string());
        Ok(())
    });
}

#[test]
fn any_small_change_is_read_or_refused_with_its_place() {
    arbtest(|u| {
        check(&nearly(u)?.to_string());
        Ok(())
    });
}
