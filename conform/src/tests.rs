//! The two front pages, `README.md` and the one of `cargo doc`.

use std::collections::BTreeSet;

mod generated;

const README: &str = include_str!("../README.md");
const FRONT_PAGE: &str = include_str!("lib.rs");
const MANIFEST: &str = include_str!("../Cargo.toml");

/// The rows of the table of promises, without their links.
fn rows<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let rows = lines.filter(|line| line.starts_with("| "));
    rows.map(|row| {
        let mut plain = String::new();
        let mut rest = row;
        while let Some((before, after)) = rest.split_once("](") {
            plain += before;
            let end = after.find(')').unwrap();
            rest = &after[end + 1..];
        }
        plain += rest;
        plain.replace(['[', ']'], "")
    })
    .collect()
}

#[test]
fn both_front_pages_have_the_same_table() {
    let front_page = FRONT_PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("//! "));
    let rows_here = rows(front_page);
    assert!(rows_here.len() > 10, "{rows_here:#?}");
    assert_eq!(rows(README.lines()), rows_here);
}

/// What a feature of `Cargo.toml` turns on.
fn feature(name: &str) -> BTreeSet<&'static str> {
    let list = MANIFEST.split_once(&format!("\n{name} = [")).unwrap().1;
    let list = list.split_once(']').unwrap().0;
    list.split(',')
        .map(|feature| feature.trim().trim_matches('"'))
        .filter(|feature| !feature.is_empty())
        .collect()
}

#[test]
fn each_module_is_a_feature_and_a_row() {
    let modules: BTreeSet<_> = FRONT_PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let mut features = feature("full");
    for group in ["client", "light"] {
        assert!(features.remove(group), "{group}");
        features.extend(feature(group));
    }
    // A part of `resolver` that needs many crates.
    assert!(features.remove("dns"));
    assert_eq!(features, modules);
    for module in modules {
        let guard = format!("#[cfg(feature = \"{module}\")]\npub mod {module};");
        assert!(FRONT_PAGE.replace('\r', "").contains(&guard), "{guard}");
        assert!(
            README.contains(&format!("| [`{module}`](src/{module}.rs) |")),
            "{module}"
        );
    }
}

#[test]
fn each_module_shows_what_tonic_does_alone() {
    fn shows(directory: &std::path::Path) -> bool {
        std::fs::read_dir(directory).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                return shows(&path);
            }
            let text = std::fs::read_to_string(&path).unwrap();
            text.contains("fn tonic_alone_")
        })
    }
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let modules = FRONT_PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let without: Vec<_> = modules
        .filter(|module| !shows(&source.join(module)))
        .collect();
    assert_eq!(without, ["framing"]);
}

/// One service in all layers, and out again.
#[test]
fn the_inner_service_can_be_reached_changed_and_taken_out() {
    use tower::Layer;

    let key = crate::credentials::JwtKey::Hs256(vec![0; 32]);
    let meter = crate::metrics::meter(&opentelemetry::metrics::noop::NoopMeterProvider::new());
    let jwt = crate::credentials::Jwt::new(key, "", "").unwrap();

    macro_rules! check {
        ($($layer:expr),* $(,)?) => {$({
            let mut service = $layer.layer(7);
            assert_eq!(service.get_ref(), &7);
            *service.get_mut() = 8;
            assert_eq!(service.into_inner(), 8);
        })*};
    }
    check!(
        crate::cancel::CancelOnDropLayer::new(),
        crate::cancel::CancellationLayer::new(),
        crate::cancel::DetectAbortedUploadLayer::new(),
        crate::credentials::AuthenticationLayer::new(jwt, |_| {}),
        crate::credentials::CallCredentialsLayer::new(
            &tonic::transport::Endpoint::from_static("https://localhost"),
            crate::credentials::Composite::new(),
        ),
        crate::deadline::ClientDeadlineLayer::new(),
        crate::deadline::ServerDeadlineLayer::new(),
        crate::error_details::SanitizeDetailsLayer::new(),
        crate::hedging::HedgingLayer::new(),
        crate::message_limit::ClientMessageLimitLayer::new(1),
        crate::message_limit::ServerMessageLimitLayer::new(1),
        crate::metadata::HeaderLimitLayer::new(1),
        crate::metadata::SplitMetadataLayer::new(),
        crate::metadata::TrailersLayer::new(),
        crate::method_policy::MethodPolicyLayer::<()>::new(Default::default()),
        crate::metrics::ClientMetricsLayer::new(&meter, "localhost"),
        crate::metrics::ServerMetricsLayer::new(&meter),
        crate::orca::ClientOrcaLayer::on_report(drop),
        crate::orca::ServerOrcaLayer::new(),
        crate::panic::CatchPanicLayer::new(),
        crate::retry::RetryLayer::new(),
        crate::service_config::ServiceConfigLayer::new(Default::default()),
        crate::status::ClientStatusLayer::new(),
        crate::wait_for_ready::WaitForReadyLayer::new(),
        crate::channelz::Channelz::new().server("server").layer(),
    );
    let (mut observed, _states) = crate::connectivity::observe(7);
    assert_eq!(observed.get_ref(), &7);
    *observed.get_mut() = 8;
    assert_eq!(observed.into_inner(), 8);
}
