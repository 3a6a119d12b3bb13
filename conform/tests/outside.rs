//! From outside of the workspace: a project that depends on `conform` by path, and each feature alone.
//!
//! Both share the workspace's target folder, where most of it is built already.

#![allow(clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MAIN: &str = r#"//! Somebody's client.

use std::time::Duration;

use conform::deadline::{ClientDeadlineLayer, Deadline};
use conform::status::ClientStatusLayer;
use tonic::transport::Endpoint;
use tower::ServiceBuilder;

fn main() {
    let endpoint = Endpoint::from_static("http://127.0.0.1:50051");
    let _channel = ServiceBuilder::new()
        .layer(ClientDeadlineLayer::new().default_timeout(Duration::from_secs(1)))
        .layer(ClientStatusLayer::new())
        .service(endpoint.connect_lazy());
    let _deadline = Deadline::after(Duration::from_secs(1));
}
"#;

/// The workspace's root, its `Cargo.lock` among other things.
fn root() -> PathBuf {
    let parent = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    parent.expect("conform stands in a folder").to_owned()
}

/// Runs `cargo check` without a network; panics with what it says if it fails.
fn check(directory: &Path, arguments: &[&str]) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let output = Command::new(env!("CARGO"))
        .current_dir(directory)
        .args(["check", "--offline", "--quiet", "--target-dir"])
        .arg(target.expect("it stands in the target folder"))
        .args(arguments)
        .output()
        .expect("cargo can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}:\n{said}");
    assert_eq!(said, "", "{arguments:?} gives warnings");
}

#[test]
fn a_project_outside_of_the_workspace_builds_with_two_features() {
    let project = std::env::temp_dir().join(format!("conform outside {}", std::process::id()));
    fs::create_dir_all(project.join("src")).expect("a folder for the project");
    // A literal string: a path of Windows has backslashes. The profile is the workspace's, so that
    // what is built there needn't be built again.
    let manifest = format!(
        "[package]\nname = \"somebody\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         conform = {{ path = '{}', features = [\"deadline\", \"status\"] }}\n\
         tonic = {{ version = \"0.14.9\", default-features = false, features = [\"channel\"] }}\n\
         tower = \"0.5\"\n\n\
         [profile.dev]\ndebug = \"line-tables-only\"\n\n\
         [profile.dev.package.\"*\"]\ndebug = false\n",
        env!("CARGO_MANIFEST_DIR")
    );
    fs::write(project.join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(project.join("src/main.rs"), MAIN).expect("a program");
    // The same versions as here, which are on this machine already.
    fs::copy(root().join("Cargo.lock"), project.join("Cargo.lock")).expect("a lock file");
    check(&project, &[]);
    fs::remove_dir_all(&project).expect("the folder goes");
}

#[test]
fn each_feature_builds_alone() {
    let manifest = fs::read_to_string(root().join("conform/Cargo.toml")).expect("a manifest");
    let (_, features) = manifest
        .split_once("[features]\n")
        .expect("a list of features");
    let (features, _) = features.split_once("\n\n").expect("its end");
    // A list of several lines goes on indented.
    let names = features
        .lines()
        .filter(|line| !line.starts_with([' ', ']', '#']));
    let names = names.filter_map(|line| Some(line.split_once(" = ")?.0));
    for feature in names {
        let arguments = [
            "-p",
            "conform",
            "--lib",
            "--no-default-features",
            "--features",
        ];
        check(&root(), &[&arguments[..], &[feature]].concat());
    }
}
