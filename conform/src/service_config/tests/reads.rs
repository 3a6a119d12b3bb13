//! What is valid, and what it means.

use super::*;
use crate::hedging::HedgingPolicy;
use crate::retry::RetryPolicy;
use crate::service_config::config::Throttling;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn all_fields_are_read() {
    let config = valid(full());
    assert_eq!(config.load_balancing().unwrap().name(), "round_robin");
    assert_eq!(config.health_check_service(), Some("a"));
    assert_eq!(config.throttle().unwrap().thousandths(), 10_000);

    let method = config.method("/a/b").unwrap();
    assert_eq!(method.timeout(), Some(SECOND * 3 / 2));
    assert_eq!(method.wait_for_ready(), Some(true));
    assert_eq!(method.max_request(), Some(1024));
    assert_eq!(method.max_response(), Some(2048));
    let codes = [Code::Unavailable, Code::Aborted, Code::ResourceExhausted];
    let retry = RetryPolicy::new(4, SECOND / 10, SECOND, 2.0, codes).unwrap();
    assert_eq!(method.attempts(), Some(&Attempts::Retry(Arc::new(retry))));

    let method = config.method("/c.d/e").unwrap();
    assert_eq!(method.timeout(), None);
    assert_eq!(method.wait_for_ready(), None);
    assert_eq!(method.max_request(), None);
    assert_eq!(method.max_response(), None);
    let hedging = HedgingPolicy::new(3, SECOND / 2, [Code::Unavailable]).unwrap();
    assert_eq!(
        method.attempts(),
        Some(&Attempts::Hedging(Arc::new(hedging)))
    );
}

#[test]
fn an_empty_config_says_nothing() {
    for text in ["{}", r#" { "unknown": [1], "method_config": 7 } "#] {
        let config = read(text).unwrap();
        assert_eq!(config, ServiceConfig::default());
        assert!(config.load_balancing().is_none());
        assert!(config.health_check_service().is_none());
        assert!(config.throttle().is_none());
        assert!(config.method("/a/b").is_none());
    }
}

// gRFC A21, "Criteria to determine the validity of a service config"
#[test]
fn fields_that_are_not_known_are_overlooked_everywhere() {
    fn strew(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.values_mut().for_each(strew);
                fields.insert("unknown".into(), json!({ "x": [-1] }));
            }
            Value::Array(list) => list.iter_mut().for_each(strew),
            _ => {}
        }
    }
    let mut config = full();
    strew(&mut config["methodConfig"]);
    strew(&mut config["retryThrottling"]);
    strew(&mut config["healthCheckConfig"]);
    config["unknown"] = json!("value");
    assert_eq!(valid(config), valid(full()));
}

fn timeouts(names: Value) -> ServiceConfig {
    let list = names.as_array().unwrap().iter().enumerate();
    let methods: Vec<_> = list
        .map(|(seconds, name)| json!({ "name": [name], "timeout": format!("{seconds}s") }))
        .collect();
    valid(json!({ "methodConfig": methods }))
}

fn seconds(config: &ServiceConfig, path: &str) -> Option<u64> {
    Some(config.method(path)?.timeout().unwrap().as_secs())
}

// service_config.proto, MethodConfig.name
#[test]
fn a_method_has_the_config_whose_name_fits_best() {
    let config = timeouts(json!([
        {},
        { "service": "p.S" },
        { "service": "p.S", "method": "M" },
        { "service": "S", "method": "" },
    ]));
    assert_eq!(seconds(&config, "/p.S/M"), Some(2));
    assert_eq!(seconds(&config, "/p.S/N"), Some(1));
    assert_eq!(seconds(&config, "/p.S/m"), Some(1));
    assert_eq!(seconds(&config, "/S/M"), Some(3));
    assert_eq!(seconds(&config, "/p.s/M"), Some(0));
    assert_eq!(seconds(&config, "/p.S"), Some(0));
    assert_eq!(seconds(&config, ""), Some(0));
    assert_eq!(seconds(&config, "é"), Some(0));
}

#[test]
fn a_method_that_is_not_named_has_none() {
    let config = timeouts(json!([{ "service": "S", "method": "M" }]));
    assert_eq!(seconds(&config, "/S/M"), Some(0));
    assert_eq!(seconds(&config, "/S/N"), None);
    assert_eq!(seconds(&config, "/T/M"), None);
}

#[test]
fn the_fields_of_two_configs_are_not_put_together() {
    let config = valid(json!({ "methodConfig": [
        { "name": [{}], "waitForReady": true, "timeout": "1s" },
        { "name": [{ "service": "S" }], "timeout": "2s" },
    ] }));
    assert_eq!(config.method("/S/M").unwrap().wait_for_ready(), None);
}

// service_config.proto, MethodConfig.name: without names it is skipped.
#[test]
fn a_config_without_names_is_for_no_method_but_has_to_be_valid() {
    for names in [json!([]), json!(null)] {
        let mut config = json!({ "methodConfig": [{ "name": names, "timeout": "1s" }] });
        assert_eq!(valid(config.clone()), ServiceConfig::default());
        config["methodConfig"][0]["timeout"] = json!("soon");
        assert!(why(config).starts_with("methodConfig[0].timeout: "));
    }
}

fn timeout(text: &str) -> Duration {
    let config = valid(json!({ "methodConfig": [{ "name": [{}], "timeout": text }] }));
    config.method("/a/b").unwrap().timeout().unwrap()
}

#[test]
fn durations_have_up_to_nine_decimals_and_ten_thousand_years() {
    assert_eq!(timeout("0s"), Duration::ZERO);
    assert_eq!(timeout("1.5s"), Duration::from_millis(1500));
    assert_eq!(timeout("0.000000001s"), Duration::from_nanos(1));
    assert_eq!(timeout("12.100000000s"), Duration::from_millis(12_100));
    let longest = Duration::from_secs(315_576_000_000);
    assert_eq!(timeout("315576000000s"), longest);
    assert_eq!(timeout("315576000000.000s"), longest);
    let longer = json!({ "methodConfig": [{ "timeout": "315576000000.000000001s" }] });
    assert!(why(longer).ends_with("must be at most 315576000000s"));
}

fn limit(value: Value) -> usize {
    let method = json!({ "name": [{}], "maxRequestMessageBytes": value });
    let config = valid(json!({ "methodConfig": [method] }));
    config.method("/a/b").unwrap().max_request().unwrap()
}

#[test]
fn limits_are_numbers_or_their_digits() {
    assert_eq!(limit(json!(0)), 0);
    assert_eq!(limit(json!("0")), 0);
    assert_eq!(limit(json!(2.0)), 2);
    assert_eq!(limit(json!("4294967295")), 4_294_967_295);
}

fn tokens(max: Value, ratio: Value) -> Throttling {
    let throttling = json!({ "maxTokens": max, "tokenRatio": ratio });
    let config = valid(json!({ "retryThrottling": throttling }));
    let throttle = config.throttle().unwrap();
    assert_eq!(
        throttle.thousandths(),
        throttle_of(&config).max_tokens * 1000
    );
    throttle_of(&config)
}

fn throttle_of(config: &ServiceConfig) -> Throttling {
    config.said.throttling.unwrap()
}

// gRFC A6, "Validation of retryThrottling"
#[test]
fn a_ratio_has_three_decimals_and_the_rest_is_cut_off() {
    let ratio = |ratio: Value| tokens(json!(1000), ratio).ratio_thousandths;
    assert_eq!(ratio(json!(0.5466)), 546);
    assert_eq!(ratio(json!(0.57)), 570);
    assert_eq!(ratio(json!(0.001)), 1);
    assert_eq!(ratio(json!(1e-3)), 1);
    assert_eq!(ratio(json!(1)), 1000);
    assert_eq!(ratio(json!(12.25)), 12_250);
    assert_eq!(ratio(json!(1e300)), u32::MAX);
    // A zero may have a sign.
    let nothing = json!({ "retryThrottling": { "maxTokens": 1, "tokenRatio": -0.0 } });
    assert!(why(nothing).contains("must be a number of at least 0.001"));
    assert_eq!(tokens(json!(1), json!(1)).max_tokens, 1);
    assert_eq!(tokens(json!(2.0), json!(1)).max_tokens, 2);
}

// gRFC A6, "Validation of retryPolicy": integers, and names in any case.
#[test]
fn codes_are_numbers_and_names_in_any_case() {
    for number in 0..17 {
        let name = format!("{:?}", Code::from_i32(number));
        let mut snake = String::new();
        for letter in name.chars() {
            if letter.is_uppercase() && !snake.is_empty() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        let spellings = [json!(number), json!(snake), json!(snake.to_uppercase())];
        for spelling in spellings {
            let mut config = full();
            config["methodConfig"][0]["retryPolicy"]["retryableStatusCodes"] = json!([spelling]);
            let config = valid(config);
            let Some(Attempts::Retry(policy)) = config.method("/a/b").unwrap().attempts() else {
                panic!("no retries");
            };
            for other in 0..17 {
                let is_it = policy.is_retryable(Code::from_i32(other));
                assert_eq!(is_it, other == number, "{spelling}: {other}");
            }
        }
    }
}

// gRFC A6, "Limits on Retries and Hedges"
#[test]
fn more_than_five_attempts_are_five() {
    for attempts in [json!(5), json!(6), json!(1e30), json!(u64::MAX)] {
        let mut config = full();
        config["methodConfig"][0]["retryPolicy"]["maxAttempts"] = attempts;
        let config = valid(config);
        let Some(Attempts::Retry(policy)) = config.method("/a/b").unwrap().attempts() else {
            panic!("no retries");
        };
        assert_eq!(policy.max_attempts(), 5);
    }
}

// gRFC A6, "Validation of hedgingPolicy"
#[test]
fn hedging_needs_neither_a_delay_nor_codes() {
    let method = json!({ "name": [{}], "hedgingPolicy": { "maxAttempts": 2 } });
    let config = valid(json!({ "methodConfig": [method] }));
    let hedging = HedgingPolicy::new(2, Duration::ZERO, []).unwrap();
    let expected = Attempts::Hedging(Arc::new(hedging));
    assert_eq!(config.method("/a/b").unwrap().attempts(), Some(&expected));
}

#[test]
fn the_name_of_a_health_check_may_be_empty_which_is_not_the_same_as_none() {
    let service = |check: Value| {
        let config = valid(json!({ "healthCheckConfig": check }));
        config.health_check_service().map(str::to_owned)
    };
    assert_eq!(service(json!({ "serviceName": "" })).as_deref(), Some(""));
    assert_eq!(service(json!({})), None);
}

fn policy(json: Value) -> Option<String> {
    Some(valid(json).load_balancing()?.name().to_owned())
}

// gRFC A24
#[test]
fn the_first_policy_that_is_known_is_taken_and_those_before_it_are_not_looked_into() {
    let list = json!([
        { "unknown": { "bad": 1 } },
        { "least_request_experimental": {} },
        { "round_robin": { "bad": 1 } },
    ]);
    let name = policy(json!({ "loadBalancingConfig": list }));
    assert_eq!(name.as_deref(), Some("least_request_experimental"));
}

// service_config.proto, ServiceConfig.load_balancing_policy
#[test]
fn the_old_field_for_the_policy_counts_without_the_new_one() {
    for name in ["round_robin", "ROUND_ROBIN"] {
        let found = policy(json!({ "loadBalancingPolicy": name }));
        assert_eq!(found.as_deref(), Some("round_robin"));
    }
    let both = json!({
        "loadBalancingConfig": [{ "least_request_experimental": {} }],
        "loadBalancingPolicy": "unknown",
    });
    assert_eq!(policy(both).as_deref(), Some("least_request_experimental"));
}

#[test]
fn configs_are_equal_if_they_say_the_same() {
    let text = full().to_string();
    let spaced = serde_json::to_string_pretty(&full()).unwrap();
    assert_ne!(text, spaced);
    assert_eq!(read(&text).unwrap(), read(&spaced).unwrap());
    for (pointer, value) in [
        ("/loadBalancingConfig/0/round_robin", json!({ "x": 1 })),
        ("/healthCheckConfig/serviceName", json!("b")),
        ("/retryThrottling/tokenRatio", json!(0.2)),
        ("/retryThrottling/maxTokens", json!(11)),
        ("/methodConfig/0/name/0/method", json!("c")),
        ("/methodConfig/0/timeout", json!("2s")),
        ("/methodConfig/0/waitForReady", json!(false)),
        ("/methodConfig/0/maxRequestMessageBytes", json!(1)),
        ("/methodConfig/0/maxResponseMessageBytes", json!(1)),
        ("/methodConfig/0/retryPolicy/maxBackoff", json!("3s")),
        ("/methodConfig/1/hedgingPolicy/hedgingDelay", json!("3s")),
    ] {
        let mut other = full();
        *other.pointer_mut(pointer).unwrap() = value;
        assert_ne!(valid(other), valid(full()), "{pointer}");
    }
}

#[test]
fn what_is_nested_too_deep_is_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let invalid = read(&format!(r#"{{ "unknown": {deep} }}"#)).unwrap_err();
    let invalid = invalid.to_string();
    assert!(invalid.contains("recursion limit"), "{invalid}");
}

#[test]
fn a_config_of_the_largest_size_is_read() {
    let text = format!("{{}}{}", " ".repeat(MAX_SIZE - 2));
    assert!(read(&text).is_ok());
}

#[test]
fn without_a_registry_the_policies_are_those_of_conform() {
    let parse = |name: &str| {
        let config = json!({ "loadBalancingConfig": [{ name: {} }] });
        ServiceConfig::parse(&config.to_string())
    };
    let config = parse("pick_first").unwrap();
    assert_eq!(config.load_balancing().unwrap().name(), "pick_first");
    assert!(parse("ours").is_err());
}

/// gRFC A21: they are overlooked. Whoever has misspelt one wants to know.
#[test]
fn fields_that_nobody_knows_are_listed() {
    assert!(unknown_fields(&full().to_string()).is_empty());
    for (place, name) in [
        ("", "retryThrotling"),
        ("/healthCheckConfig", "service"),
        ("/retryThrottling", "tokens"),
        ("/methodConfig/1", "timeOut"),
        ("/methodConfig/0/name/1", "services"),
        ("/methodConfig/0/retryPolicy", "maxAttempt"),
        ("/methodConfig/1/hedgingPolicy", "delay"),
    ] {
        let mut config = full();
        let object = config.pointer_mut(place).unwrap().as_object_mut().unwrap();
        object.insert(name.into(), json!({ "anything": 1 }));
        let [path] = unknown_fields(&config.to_string()).try_into().unwrap();
        let expected = format!("{place}/{name}");
        assert_eq!(
            path.replace(['.', '['], "/").replace(']', ""),
            expected[1..]
        );
        assert!(read(&config.to_string()).is_ok(), "{path}");
    }
    // Those of a policy are its own business, and what is no config has none.
    let policy = r#"{ "loadBalancingConfig": [{ "round_robin": { "new": 1 } }] }"#;
    for other in [policy, "", "[]", "7", r#"{ "methodConfig": 7 }"#] {
        assert!(unknown_fields(other).is_empty(), "{other}");
    }
    let many = (0..1000).map(|number| (format!("f{number}"), json!(1)));
    let many = Value::Object(many.collect());
    assert_eq!(unknown_fields(&many.to_string()).len(), MAX_UNKNOWN_FIELDS);
    assert_eq!(unknown_fields(r#"{ "a\nb": 1 }"#), [r"a\nb"]);
}
