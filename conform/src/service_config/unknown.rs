//! What a config says that nobody reads.

use serde_json::Value;

use super::json::MAX_SIZE;
use crate::status::escape;

/// How many fields are listed at most.
pub const MAX_UNKNOWN_FIELDS: usize = 100;

/// The fields of a service config that aren't known, as `methodConfig[0].retryPolicy.maxAttempt`: slips
/// of the pen, most often. For a test, or a line of a log.
///
/// A config with them is valid all the same, since they may be known tomorrow ([gRFC A21]). What is in
/// a policy's own config isn't looked at; nor are texts that are no config at all. At most
/// [`MAX_UNKNOWN_FIELDS`] are listed.
///
/// ```
/// use conform::service_config::unknown_fields;
///
/// let config = r#"{ "methodConfig": [{ "name": [{}], "timeOut": "1s" }] }"#;
/// assert_eq!(unknown_fields(config), ["methodConfig[0].timeOut"]);
/// ```
///
/// [gRFC A21]: https://github.com/grpc/proposal/blob/master/A21-service-config-error-handling.md
pub fn unknown_fields(json: &str) -> Vec<String> {
    let mut found = Vec::new();
    if json.len() <= MAX_SIZE
        && let Ok(value) = serde_json::from_str(json)
    {
        look(&value, &WHOLE, String::new(), &mut found);
    }
    found
}

/// The fields of an object, and what they are.
struct Object(&'static [(&'static str, Kind)]);

enum Kind {
    /// A value, or something that isn't looked into.
    Plain,
    Object(&'static Object),
    List(&'static Object),
}

use Kind::{List, Plain};

const WHOLE: Object = Object(&[
    (
        "healthCheckConfig",
        Kind::Object(&Object(&[("serviceName", Plain)])),
    ),
    ("loadBalancingConfig", Plain),
    ("loadBalancingPolicy", Plain),
    ("methodConfig", List(&METHOD)),
    (
        "retryThrottling",
        Kind::Object(&Object(&[("maxTokens", Plain), ("tokenRatio", Plain)])),
    ),
]);

const METHOD: Object = Object(&[
    ("hedgingPolicy", Kind::Object(&HEDGING)),
    ("maxRequestMessageBytes", Plain),
    ("maxResponseMessageBytes", Plain),
    (
        "name",
        List(&Object(&[("method", Plain), ("service", Plain)])),
    ),
    ("retryPolicy", Kind::Object(&RETRY)),
    ("timeout", Plain),
    ("waitForReady", Plain),
]);

const RETRY: Object = Object(&[
    ("backoffMultiplier", Plain),
    ("initialBackoff", Plain),
    ("maxAttempts", Plain),
    ("maxBackoff", Plain),
    ("retryableStatusCodes", Plain),
]);

const HEDGING: Object = Object(&[
    ("hedgingDelay", Plain),
    ("maxAttempts", Plain),
    ("nonFatalStatusCodes", Plain),
]);

fn look(value: &Value, object: &Object, path: String, found: &mut Vec<String>) {
    let Value::Object(fields) = value else {
        return;
    };
    for (name, value) in fields {
        // It's a stranger's text.
        let path = match path.is_empty() {
            true => escape(name),
            false => format!("{path}.{}", escape(name)),
        };
        let known = object.0.iter().find(|(known, _)| known == name);
        match known.map(|(_, kind)| kind) {
            Some(Plain) => {}
            Some(Kind::Object(object)) => look(value, object, path, found),
            Some(List(object)) => {
                let entries = value.as_array().into_iter().flatten();
                for (index, entry) in entries.enumerate() {
                    look(entry, object, format!("{path}[{index}]"), found);
                }
            }
            None if found.len() < MAX_UNKNOWN_FIELDS => found.push(path),
            None => return,
        }
    }
}
