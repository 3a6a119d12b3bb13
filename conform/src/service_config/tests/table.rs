//! The page's table of what is invalid: each row, and that none is missing.

use super::*;
use crate::service_config::json::Rule;

const PAGE: &str = include_str!("../../service_config.rs");

struct Row {
    place: String,
    values: Vec<String>,
    sentence: String,
}

fn rows() -> Vec<Row> {
    let lines = PAGE.lines().filter_map(|line| line.strip_prefix("//! | "));
    let lines = lines.skip_while(|line| !line.starts_with("place |"));
    let rows = lines.filter(|line| line.starts_with('`'));
    rows.map(|row| {
        let cells: Vec<_> = row.split(" | ").collect();
        let [place, values, sentence, _source] = cells[..] else {
            panic!("{row}");
        };
        let values = values.split('`').skip(1).step_by(2);
        Row {
            place: place.trim_matches('`').into(),
            values: values.map(str::to_owned).collect(),
            sentence: sentence.into(),
        }
    })
    .collect()
}

/// `full()` with `value` at `place`.
fn with(place: &str, value: &str) -> String {
    match (place, value) {
        ("service config", "256 KiB and a byte") => return " ".repeat(256 * 1024 + 1),
        ("service config", text) => return text.into(),
        _ => {}
    }
    let mut config = full();
    if place == "loadBalancingPolicy" {
        config
            .as_object_mut()
            .unwrap()
            .remove("loadBalancingConfig");
    }
    let pointer = place.replace(['.', '['], "/").replace(']', "");
    let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", &pointer));
    let parent = match parent {
        "" => String::new(),
        parent => format!("/{parent}"),
    };
    let parent = config.pointer_mut(&parent).unwrap();
    match parent {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.parse().unwrap(),
        Value::Object(fields) if value == "—" => assert!(fields.remove(key).is_some(), "{place}"),
        Value::Object(fields) => {
            fields.insert(key.into(), value.parse().unwrap());
        }
        _ => panic!("{place}"),
    }
    config.to_string()
}

#[test]
fn each_row_says_what_happens() {
    assert!(read(&full().to_string()).is_ok());
    for row in rows() {
        assert!(!row.values.is_empty(), "{}", row.place);
        for value in &row.values {
            let invalid = read(&with(&row.place, value));
            let invalid = invalid.expect_err(&format!("{}: {value}", row.place));
            let expected = format!("{}: {}", row.place, row.sentence);
            let said = invalid.to_string();
            match expected.strip_suffix('…') {
                Some(beginning) => assert!(said.starts_with(beginning), "{value}: {said}"),
                None => assert_eq!(said, expected, "{value}"),
            }
            assert_eq!(invalid.path(), row.place);
        }
    }
}

#[test]
fn each_sentence_has_a_row() {
    let rows = rows();
    assert!(rows.len() > 50, "{}", rows.len());
    let said: BTreeSet<_> = rows.iter().map(|row| &*row.sentence).collect();
    for sentence in Rule::SENTENCES {
        assert!(said.contains(sentence), "{sentence}");
    }
}

/// Without its indexes.
fn shape(place: &str) -> String {
    place.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn places(value: &Value, place: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if place.is_empty() { "" } else { "." };
                let place = format!("{place}{dot}{name}");
                places(value, &place, all);
                all.insert(shape(&place));
            }
        }
        Value::Array(list) => {
            for value in list {
                places(value, &format!("{place}[]"), all);
            }
            all.insert(shape(&format!("{place}[]")));
        }
        _ => {}
    }
}

#[test]
fn each_field_has_a_row() {
    let mut all = BTreeSet::new();
    places(&full(), "", &mut all);
    // What stands in there belongs to the registry and to the policy.
    all.retain(|place| !place.starts_with("loadBalancingConfig["));
    let rows: BTreeSet<_> = rows().iter().map(|row| shape(&row.place)).collect();
    let without: Vec<_> = all.difference(&rows).collect();
    assert!(without.is_empty(), "{without:?}");
}

/// What has to be there is missing if it's `null`.
#[test]
fn null_is_the_same_as_nothing() {
    for row in rows().iter().filter(|row| row.values == ["—"]) {
        let invalid = read(&with(&row.place, "null")).unwrap_err();
        assert_eq!(invalid.to_string(), format!("{}: is missing", row.place));
    }
    for optional in [
        "loadBalancingConfig",
        "loadBalancingPolicy",
        "healthCheckConfig",
        "healthCheckConfig.serviceName",
        "retryThrottling",
        "methodConfig",
        "methodConfig[0].name",
        "methodConfig[0].timeout",
        "methodConfig[0].waitForReady",
        "methodConfig[0].maxRequestMessageBytes",
        "methodConfig[0].maxResponseMessageBytes",
        "methodConfig[0].retryPolicy",
        "methodConfig[1].hedgingPolicy",
        "methodConfig[1].hedgingPolicy.hedgingDelay",
        "methodConfig[1].hedgingPolicy.nonFatalStatusCodes",
    ] {
        let (null, missing) = (read(&with(optional, "null")), read(&with(optional, "—")));
        assert_eq!(null, missing, "{optional}");
        assert!(null.is_ok(), "{optional}: {null:?}");
    }
}
