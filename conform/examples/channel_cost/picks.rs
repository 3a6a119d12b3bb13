//! Pickers over few backends and over many.

use std::error::Error;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use conform::balance::testing::FakeChannel;
use conform::balance::{Call, SubchannelState};
use conform::resolver::Backend;
use conform::service_config::ServiceConfig;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};

/// Policies that choose among all backends, with what their config says.
pub const POLICIES: [(&str, &str); 4] = [
    ("round_robin", "{}"),
    ("static_weights", "{}"),
    ("least_request_experimental", "{}"),
    (
        "ring_hash_experimental",
        r#"{ "requestHashHeader": "session" }"#,
    ),
];

const PICKS: u32 = 1000;

/// How long a pick among this many backends takes: the best of several times.
pub fn pick(name: &str, config: &str, backends: u16) -> Result<Duration, Box<dyn Error>> {
    let config = format!(r#"{{ "loadBalancingConfig": [{{ "{name}": {config} }}] }}"#);
    let config = ServiceConfig::parse(&config)?;
    let policy = config.load_balancing().ok_or("no policy")?;
    let mut channel = FakeChannel::new(policy.config().build());
    let addresses = (1..=backends).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let backends: Vec<_> = addresses.map(Backend::at).collect();
    channel.resolved(&backends)?;
    let headers = HeaderMap::from_iter([(
        HeaderName::from_static("session"),
        HeaderValue::from_static("Ann"),
    )]);
    let call = Call::new("/greeter.v1.Greeter/Greet", &headers);
    channel.pick(&call);
    for address in channel.subchannels() {
        channel.set(&address, SubchannelState::Connecting);
        channel.set(&address, SubchannelState::Ready);
    }
    let picker = channel.picker().ok_or("no picker")?;
    let times = (0..50).map(|_| {
        let begin = Instant::now();
        for _ in 0..PICKS {
            black_box(picker.pick(&call));
        }
        begin.elapsed()
    });
    Ok(times.min().unwrap_or_default() / PICKS)
}
