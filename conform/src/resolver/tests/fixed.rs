//! Schemes that look nothing up, and what all schemes have in common.

use std::collections::HashSet;

use futures::future::BoxFuture;
use tonic::codegen::http::uri::Authority;

use super::*;

#[tokio::test]
async fn a_list_of_addresses_is_taken_in_its_order_and_each_once() {
    let schemes = Schemes::new();
    for (text, expected) in [
        ("ipv4:1.2.3.4:5", &["1.2.3.4:5"][..]),
        (
            "ipv4:9.9.9.9:5,1.2.3.4:6,9.9.9.9:5",
            &["9.9.9.9:5", "1.2.3.4:6"],
        ),
        ("ipv4:///1.2.3.4:5", &["1.2.3.4:5"]),
        // naming.md, "Name Syntax": "port is the port to use. If not specified, 443 is used."
        ("ipv4:1.2.3.4", &["1.2.3.4:443"]),
        ("ipv6:[::1]:5,[::2]:6", &["[::1]:5", "[::2]:6"]),
        ("ipv6:[::1],::2", &["[::1]:443", "[::2]:443"]),
        ("ipv6:[fe80::1%252]:5", &["[fe80::1%2]:5"]),
    ] {
        assert_eq!(first(&schemes, text).await, expected, "{text}");
    }
}

#[tokio::test]
async fn an_address_in_the_place_of_a_name_is_not_looked_up() {
    let schemes = Schemes::new();
    for (text, expected) in [
        ("127.0.0.1:50051", "127.0.0.1:50051"),
        ("dns:127.0.0.1", "127.0.0.1:443"),
        ("dns:///[::1]:50051", "[::1]:50051"),
        ("[::1]", "[::1]:443"),
        ("::1", "[::1]:443"),
        ("fe80::1%2530", "[fe80::1%30]:443"),
    ] {
        assert_eq!(first(&schemes, text).await, [expected], "{text}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_path_is_a_socket() {
    let schemes = Schemes::new();
    for (text, expected) in [
        ("unix:a.sock", "unix:a.sock"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
        ("unix:///run/a.sock", "unix:/run/a.sock"),
        ("unix:///run/a%2Cb.sock", "unix:/run/a,b.sock"),
    ] {
        assert_eq!(first(&schemes, text).await, [expected], "{text}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_abstract_socket_can_be_connected_to_as_it_is() {
    let name = format!("conform-resolver-{}", std::process::id());
    let schemes = Schemes::new();
    let target = schemes.target(&format!("unix-abstract:{name}")).unwrap();
    let mut updates = UpdatesReceiver::spawn(schemes.build(&target).unwrap());
    let delivery = updates.next().await.unwrap();
    let backends = delivery.update.backends.unwrap();
    assert_eq!(texts(&backends), [format!("unix-abstract:{name}")]);
    let Address::Unix(path) = &backends[0].addresses()[0] else {
        panic!("{backends:?}");
    };
    let _listener = tokio::net::UnixListener::bind(path).unwrap();
    assert!(!path.exists());
    tokio::net::UnixStream::connect(path).await.unwrap();
}

#[test]
fn what_a_scheme_cannot_use_gives_one_sentence() {
    let schemes = Schemes::new();
    let known = "only dns, ipv4, ipv6, unix, unix-abstract";
    let long_label = "a".repeat(64);
    let long_name = format!("{}b", "a.".repeat(127));
    let rows = [
        (
            "http://localhost:50051",
            "it is a URL; write host:port, or dns:///host:port".into(),
        ),
        (
            "lesson:///greeter",
            format!("nobody resolves `lesson`, {known}"),
        ),
        (
            "ipv4:",
            "there is no host in it; the own machine is `localhost`".into(),
        ),
        (
            "ipv4:localhost:1",
            "`localhost:1` is no address of ipv4".into(),
        ),
        ("ipv4:[::1]:1", "`[::1]:1` is no address of ipv4".into()),
        ("ipv6:1.2.3.4:1", "`1.2.3.4:1` is no address of ipv6".into()),
        (
            "ipv4:1.2.3.4:1,",
            "there is no host in it; the own machine is `localhost`".into(),
        ),
        ("ipv6:[::1", "there is no `]` after its `[`".into()),
        (
            "ipv6:[::1]1",
            "only a port can follow `[::1]`, as in `[::1]:50051`".into(),
        ),
        (
            "ipv6:[::1]:",
            "the port `` is no number from 1 to 65535".into(),
        ),
        (
            "ipv6:[::1%25eth0]:1",
            "`::1%eth0` is no address of IPv6".into(),
        ),
        (
            "ipv4://1.2.3.4/1.2.3.4:1",
            "ipv4 has nobody to ask: leave `//1.2.3.4` out, or write three slashes".into(),
        ),
        (
            "dns://greeter:1",
            "there is no host in it; write dns:///greeter:1".into(),
        ),
        (
            "dns:",
            "there is no host in it; the own machine is `localhost`".into(),
        ),
        (
            ":50051",
            "there is no host in it; the own machine is `localhost`".into(),
        ),
        ("host:", "the port `` is no number from 1 to 65535".into()),
        ("host:0", "the port `0` is no number from 1 to 65535".into()),
        (
            "host:+1",
            "the port `+1` is no number from 1 to 65535".into(),
        ),
        (
            "host:65536",
            "the port `65536` is no number from 1 to 65535".into(),
        ),
        (
            "host:grpc",
            "the port `grpc` is no number from 1 to 65535".into(),
        ),
        ("[host]:1", "`host` is no address of IPv6".into()),
        ("a:b:c", "`a:b:c` is no address of IPv6".into()),
        ("host/x:1", "`/` can't be in the name of a host".into()),
        ("my host", "` ` can't be in the name of a host".into()),
        ("user@host", "`@` can't be in the name of a host".into()),
        (
            "h\u{f6}st",
            "`h\u{f6}st` isn't ASCII; write its `xn--` form".into(),
        ),
        (
            "a..b",
            "there is nothing between two dots of its host's name".into(),
        ),
        (
            ".",
            "there is nothing between two dots of its host's name".into(),
        ),
        (
            &long_label,
            format!("`{long_label}` is longer than 63 bytes"),
        ),
        (
            &long_name,
            "its host's name is longer than 253 bytes".into(),
        ),
        (
            "dns://ns.example/host:1",
            "a DNS server is named by its IP address, not by `ns.example`".into(),
        ),
    ];
    for (text, reason) in rows {
        assert_eq!(refusal(&schemes, text), reason, "{text}");
    }
    // RFC 1035, section 2.3.4: so long, and the dot at the end doesn't count.
    for longest in ["a".repeat(63), format!("{}b.", "a.".repeat(126))] {
        let target = schemes.target(&longest).unwrap();
        assert!(schemes.build(&target).is_ok(), "{longest}");
    }
    let addresses = |number: u32| {
        let addresses = (1..=number).map(|ip| std::net::Ipv4Addr::from(ip).to_string());
        format!("ipv4:{}", addresses.collect::<Vec<_>>().join(","))
    };
    assert_eq!(
        refusal(&schemes, &addresses(1025)),
        "it has more than 1024 addresses"
    );
    let most = schemes.target(&addresses(1024)).unwrap();
    assert!(schemes.build(&most).is_ok());
}

#[cfg(unix)]
#[test]
fn a_socket_needs_a_path_and_no_authority() {
    let schemes = Schemes::new();
    let nothing = "there is no path in it";
    for (text, reason) in [
        ("unix:", nothing),
        ("unix://", nothing),
        (
            "unix://run/a.sock",
            "unix has nobody to ask: leave `//run` out, or write three slashes",
        ),
    ] {
        assert_eq!(refusal(&schemes, text), reason, "{text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_socket_needs_a_name_and_no_authority() {
    let schemes = Schemes::new();
    assert_eq!(
        refusal(&schemes, "unix-abstract:"),
        "there is no path in it"
    );
    assert_eq!(
        refusal(&schemes, "unix-abstract://a/b"),
        "unix-abstract has nobody to ask: leave `//a` out, or write three slashes"
    );
}

#[cfg(not(unix))]
#[test]
fn there_are_no_sockets_without_unix() {
    let reason = "this system has no Unix domain sockets that can be used";
    assert_eq!(refusal(&Schemes::new(), "unix:a"), reason);
}

#[cfg(not(target_os = "linux"))]
#[test]
fn there_are_no_abstract_sockets_without_linux() {
    let reason = "only Linux has abstract sockets";
    assert_eq!(refusal(&Schemes::new(), "unix-abstract:a"), reason);
}

/// Schemes that name what they are asked for.
struct Named(&'static str, Option<&'static str>);

impl Scheme for Named {
    fn name(&self) -> &str {
        self.0
    }

    fn resolver(&self, _: &Target) -> Result<Box<dyn Resolver>, String> {
        Err(format!("{} says no", self.0))
    }

    fn authority(&self, target: &Target) -> String {
        match self.1 {
            Some(authority) => authority.to_owned(),
            None => target.endpoint().to_owned(),
        }
    }
}

#[test]
fn the_host_of_calls_is_what_the_scheme_says_if_it_can_travel() {
    let schemes = Schemes::new()
        .with(Named("own", Some("greeter.internal:7")))
        .with(Named("bad", Some("a b")))
        .with(Named("user", Some("me@host")))
        .with(Manual::new("fleet"));
    for (text, expected) in [
        ("localhost:50051", "localhost:50051"),
        ("dns:host", "host"),
        ("dns:///host:50051", "host:50051"),
        ("dns://1.1.1.1/host:50051", "host:50051"),
        ("dns:127.0.0.1:50051", "127.0.0.1:50051"),
        ("dns:[::1]:50051", "[::1]:50051"),
        ("[::1]", "[::1]"),
        ("::1", "[::1]"),
        ("[fe80::1%252]:50051", "[fe80::1]:50051"),
        ("ipv4:1.2.3.4:5,6.7.8.9:10", "1.2.3.4:5"),
        ("ipv6:[::1]:5,[::2]:6", "[::1]:5"),
        ("unix:/run/a.sock", "localhost"),
        ("unix-abstract:a", "localhost"),
        ("fleet:///greeter", "greeter"),
        ("fleet:greeter:5", "greeter:5"),
        ("fleet:///a/b", "localhost"),
        ("fleet:", "localhost"),
        ("own:x", "greeter.internal:7"),
        ("bad:x", "localhost"),
        ("user:x", "localhost"),
    ] {
        let target = schemes.target(text).unwrap();
        let authority = schemes.authority(&target).unwrap();
        assert_eq!(authority, expected, "{text}");
        assert!(authority.parse::<Authority>().is_ok(), "{text}");
    }
    let unknown = "lesson:///x".parse().unwrap();
    assert!(schemes.authority(&unknown).is_err());
}

#[test]
fn a_scheme_replaces_one_of_its_name() {
    let schemes = Schemes::new().with(Named("DNS", None));
    assert_eq!(refusal(&schemes, "localhost:50051"), "DNS says no");
    assert_eq!(
        refusal(&Schemes::default().with(Named("x", None)), "x:y"),
        "x says no"
    );
    assert_eq!(
        format!("{:?}", Schemes::new()),
        r#"{"dns", "ipv4", "ipv6", "unix", "unix-abstract"}"#
    );
}

/// Ends without a word.
struct Silent;

impl Resolver for Silent {
    fn run(self: Box<Self>, _: Updates) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

#[test]
fn a_backend_has_addresses_and_attributes() {
    let [a, b] = ["127.0.0.1:1", "127.0.0.1:2"].map(|address| address.parse().unwrap());
    let _: Box<dyn Resolver> = Box::new(Silent);
    // gRFC A61, "Allow Resolvers to Return Multiple Addresses Per Endpoint".
    let backend = Backend::at(a).or(b).or(Address::Unix("/run/a".into()));
    assert_eq!(
        texts(std::slice::from_ref(&backend)),
        ["127.0.0.1:1|127.0.0.1:2|unix:/run/a"]
    );
    // "Attributes Returned by the Resolver": "on a per-endpoint basis".
    assert_eq!(backend.attribute::<Weight>(), None);
    let backend = backend.with(Weight(1)).with("zone").with(Weight(3));
    assert_eq!(backend.attribute(), Some(&Weight(3)));
    assert_eq!(backend.clone().attribute(), Some(&"zone"));
    let addresses: HashSet<_> = [Address::Tcp(a), a.into(), b.into()].into();
    assert_eq!(addresses.len(), 2);
    assert_eq!(texts(&[Backend::from(Address::Tcp(b))]), ["127.0.0.1:2"]);
}
