//! gRFC A21, case by case.

use tonic::Status;

use super::*;

const INVALID: &str = r#"{ "retryThrottling": 1 }"#;

fn named(service: &str) -> String {
    json!({ "healthCheckConfig": { "serviceName": service } }).to_string()
}

fn config(service: &str) -> ServiceConfig {
    read(&named(service)).unwrap()
}

fn selection(default: Option<&str>) -> Selection {
    Selection::new(default.map(config), registry())
}

/// What one answer changes, and whether it's refused.
#[track_caller]
fn expect(selection: &mut Selection, brought: Option<&str>, new: Option<&str>, refused: bool) {
    let selected = selection.from_resolver(brought.map(Ok));
    assert_eq!(selected.new, new.map(config));
    let invalid = "the service config is invalid: retryThrottling: must be an object";
    match selected.refused {
        Some(status) => {
            assert!(refused);
            assert_eq!(status.code(), Code::Unavailable);
            assert_eq!(status.message(), invalid);
        }
        None => assert!(!refused),
    }
}

// "Behavior on receiving a new gRPC Config", 4
#[test]
fn a_valid_config_replaces_the_one_before() {
    let mut selection = selection(Some("default"));
    assert!(selection.current().is_none());
    expect(&mut selection, Some(&named("a")), Some("a"), false);
    expect(&mut selection, Some(&named("b")), Some("b"), false);
    assert_eq!(selection.current(), Some(&config("b")));
}

#[test]
fn the_same_config_again_changes_nothing() {
    let mut selection = selection(None);
    expect(&mut selection, Some(&named("a")), Some("a"), false);
    expect(&mut selection, Some(&named("a")), None, false);
    let spaced = named("a").replace(':', " : ");
    expect(&mut selection, Some(&spaced), None, false);
}

// "Behavior on receiving a new gRPC Config", 2
#[test]
fn without_a_config_there_is_the_default_or_else_the_empty_one() {
    let mut with_default = selection(Some("default"));
    expect(&mut with_default, None, Some("default"), false);
    expect(&mut with_default, None, None, false);

    let mut without = selection(None);
    let selected = without.from_resolver(None);
    assert_eq!(selected.new, Some(ServiceConfig::default()));
    assert!(selected.refused.is_none());
}

// "If no service config is found, the client falls back on the default", at any time.
#[test]
fn a_config_that_is_taken_back_leaves_the_default() {
    let mut selection = selection(Some("default"));
    expect(&mut selection, Some(&named("a")), Some("a"), false);
    expect(&mut selection, None, Some("default"), false);
}

// "Behavior on receiving a new gRPC Config", 5.1
#[test]
fn an_invalid_config_leaves_what_there_was() {
    for default in [None, Some("default")] {
        let mut selection = selection(default);
        expect(&mut selection, Some(&named("a")), Some("a"), false);
        expect(&mut selection, Some(INVALID), None, true);
        assert_eq!(selection.current(), Some(&config("a")));
    }
}

// "Behavior on receiving a new gRPC Config", 5.1: "a valid service config or no service config"
#[test]
fn having_had_no_config_is_a_choice_too() {
    for default in [None, Some("default")] {
        let mut selection = selection(default);
        selection.from_resolver(None);
        let before = selection.current().cloned();
        expect(&mut selection, Some(INVALID), None, true);
        assert!(before.is_some());
        assert_eq!(selection.current(), before.as_ref());
    }
}

// "Behavior on receiving a new gRPC Config", 5.2
#[test]
fn without_any_config_before_an_invalid_one_is_a_failure() {
    let mut selection = selection(None);
    expect(&mut selection, Some(INVALID), None, true);
    expect(&mut selection, Some(INVALID), None, true);
    assert!(selection.current().is_none());
    expect(&mut selection, Some(&named("a")), Some("a"), false);
}

// "Service Config Channel Arguments"
#[test]
fn without_any_config_before_the_default_stands_in_for_an_invalid_one() {
    let mut selection = selection(Some("default"));
    expect(&mut selection, Some(INVALID), Some("default"), true);
    expect(&mut selection, Some(INVALID), None, true);
    expect(&mut selection, Some(&named("a")), Some("a"), false);
}

#[test]
fn an_error_in_place_of_a_config_is_the_same_as_an_invalid_one() {
    let error = || Status::unavailable("the TXT record is broken");
    let mut without = selection(None);
    let selected = without.from_resolver(Some(Err(error())));
    assert!(selected.new.is_none() && without.current().is_none());
    assert_eq!(selected.refused.unwrap().message(), error().message());

    let mut with_default = selection(Some("default"));
    let selected = with_default.from_resolver(Some(Err(error())));
    assert_eq!(selected.new, Some(config("default")));
    assert!(selected.refused.is_some());
}

// "Service Config Channel Arguments": the option to disable the resolver's configs.
#[test]
fn a_resolver_that_is_not_listened_to_brings_none() {
    let mut selection = selection(Some("default")).ignoring_resolver();
    expect(&mut selection, Some(&named("a")), Some("default"), false);
    expect(&mut selection, Some(INVALID), None, false);
}

#[test]
fn tokens_that_are_counted_in_the_same_way_are_kept() {
    let with = |tokens: u32, service: &str| {
        json!({
            "retryThrottling": { "maxTokens": tokens, "tokenRatio": 1 },
            "healthCheckConfig": { "serviceName": service },
        })
        .to_string()
    };
    let mut selection = selection(None);
    let left = |selection: &Selection| {
        selection
            .current()
            .unwrap()
            .throttle()
            .unwrap()
            .thousandths()
    };
    selection.from_resolver(Some(Ok(&with(10, "a"))));
    selection.current().unwrap().throttle().unwrap().failed();
    assert_eq!(left(&selection), 9000);
    let selected = selection.from_resolver(Some(Ok(&with(10, "b"))));
    assert_eq!(
        selected.new.unwrap().throttle().unwrap().thousandths(),
        9000
    );
    assert_eq!(left(&selection), 9000);
    selection.from_resolver(Some(Ok(&with(11, "b"))));
    assert_eq!(left(&selection), 11_000);
}
