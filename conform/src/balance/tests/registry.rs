use super::*;

fn choose(list: serde_json::Value) -> Result<Chosen, String> {
    Registry::new().choose(&list)
}

// gRFC A24: the first policy that is known.
#[test]
fn chooses_the_first_that_is_known() {
    let chosen = choose(json!([
        { "of_tomorrow": { "anything": 1 } },
        { "round_robin": {} },
        { "pick_first": { "shuffleAddressList": 7 } },
    ]));
    assert_eq!(chosen.unwrap().name(), "round_robin");
}

#[test]
fn says_what_is_wrong_with_a_list() {
    for (list, why) in [
        (json!({}), "it must be a list of policies"),
        (
            json!(["round_robin"]),
            "each policy must be an object with one key, its name",
        ),
        (
            json!([{}]),
            "each policy must be an object with one key, its name",
        ),
        (
            json!([{ "round_robin": {}, "pick_first": {} }]),
            "each policy must be an object with one key, its name",
        ),
        (
            json!([{ "pick_first": { "shuffleAddressList": 7 } }, { "round_robin": {} }]),
            "pick_first: shuffleAddressList must be true or false",
        ),
        (
            json!([{ "pick_first": [] }]),
            "pick_first: its config must be an object",
        ),
        (
            json!([{ "round_robin": 1 }]),
            "round_robin: its config must be an object",
        ),
        (
            json!([{ "static_weights": "" }]),
            "static_weights: its config must be an object",
        ),
    ] {
        assert_eq!(choose(list.clone()).unwrap_err(), why, "{list}");
    }
    // These name those that are known, in alphabetical order.
    const KNOWN: &str = "least_request_experimental, ";
    for list in [json!([]), json!([{ "of_tomorrow": {} }])] {
        let why = choose(list).unwrap_err();
        let expected = format!("none of its policies is known, only {KNOWN}");
        assert!(why.starts_with(&expected), "{why}");
        assert!(why.ends_with(", weighted_round_robin"), "{why}");
    }
    let why = Registry::new().policy("mine", &json!({})).unwrap_err();
    let expected = format!("\"mine\" is no policy that is known; known are {KNOWN}");
    assert!(why.starts_with(&expected), "{why}");
}

#[test]
fn a_config_that_says_the_same_is_the_same() {
    let shuffled = || choose(json!([{ "pick_first": { "shuffleAddressList": true } }])).unwrap();
    assert_eq!(shuffled(), shuffled());
    assert_ne!(shuffled(), choose(json!([{ "pick_first": {} }])).unwrap());
    assert_ne!(
        choose(json!([{ "round_robin": {} }])).unwrap(),
        choose(json!([{ "pick_first": {} }])).unwrap(),
    );
    // Nothing is a config too.
    assert!(choose(json!([{ "pick_first": null }])).is_ok());
}

#[derive(Debug)]
struct Mine;

impl PolicyBuilder for Mine {
    fn name(&self) -> &str {
        "pick_first"
    }

    fn parse(&self, _: &serde_json::Value) -> Result<Arc<dyn PolicyConfig>, String> {
        Err("mine".into())
    }
}

#[test]
fn ones_own_policy_takes_the_place_of_one_with_its_name() {
    let registry = Registry::new().with(Mine);
    let why = registry.choose(&json!([{ "pick_first": {} }])).unwrap_err();
    assert_eq!(why, "pick_first: mine");
    // Clones made before don't have it.
    assert!(Registry::default().policy("pick_first", &json!({})).is_ok());
    let names = format!("{registry:?}");
    let all = [
        "least_request_experimental",
        "pick_first",
        "ring_hash_experimental",
    ];
    let all = all.into_iter().chain(["round_robin", "static_weights"]);
    for name in all {
        assert!(names.contains(name), "{names}");
    }
}
