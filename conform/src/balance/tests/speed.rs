//! A pick costs the same, however many backends there are.

use super::*;

/// How long a thousand picks take: the best of several times.
fn time(name: &str, config: &serde_json::Value, count: u16) -> Duration {
    let mut channel = named(name, config.clone());
    channel.resolved(&backends(1..=count)).unwrap();
    connect(&mut channel, (1..=count).rev());
    let picker = channel.picker().unwrap();
    let headers = HeaderMap::from_iter([(
        HeaderName::from_static("session"),
        HeaderValue::from_static("Ann"),
    )]);
    let call = Call::new("/test.Test/Call", &headers);
    let times = (0..20).map(|_| {
        let start = std::time::Instant::now();
        for _ in 0..1000 {
            assert!(matches!(picker.pick(&call), Pick::Use(_)));
        }
        start.elapsed()
    });
    times.min().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_backends_are_picked_from_as_fast_as_two() {
    let none = json!({});
    let session = json!({ "requestHashHeader": "session" });
    for (name, config) in [
        ("least_request_experimental", &none),
        ("pick_first", &none),
        ("ring_hash_experimental", &session),
        ("round_robin", &none),
        ("static_weights", &none),
    ] {
        let ready = if name == "pick_first" { 1 } else { 1000 };
        let two = time(name, config, ready.min(2));
        let thousand = time(name, config, ready);
        println!("{name}: {two:?} for two, {thousand:?} for a thousand");
        // Whoever looks at each one takes hundreds of times as long.
        assert!(thousand < two * 20, "{name}: {two:?} and {thousand:?}");
    }
}
