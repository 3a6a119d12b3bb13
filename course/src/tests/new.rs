//! A project of the reader's own builds, passes its test and runs.

use std::process::Command;
use std::sync::mpsc;
use std::time::Instant;

use super::*;
use crate::new::new;
use crate::processes::silent;
use crate::running;

/// The workspace that these tests belong to: its lock file has what a project needs.
pub fn course() -> Course {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut course = Course::open(root, "127.0.0.1:0", Duration::from_secs(600)).unwrap();
    course.is_watched = false;
    course
}

/// A folder with a blank in its name, gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("course {name} {}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_new_project_builds_passes_its_test_and_runs() {
    let (course, folder) = (course(), Folder::new("new"));
    let mut out = Vec::new();
    new(&course, &folder.0, "My first one", &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.contains("my-first-one") && out.contains("cd \"My first one\""),
        "{out}"
    );

    let project = folder.0.join("My first one");
    // Kept for the next time: the dependencies are compiled once.
    let target = env::current_exe().unwrap().with_file_name("course-new");
    let cargo = |words: &[&str]| {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap());
        cargo
            .args(words)
            .arg("--offline")
            .current_dir(&project)
            .env("CARGO_TARGET_DIR", &target)
            .env("CARGO_PROFILE_DEV_DEBUG", "false");
        let output = cargo.output().unwrap();
        let [said, errors] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
        assert!(output.status.success(), "{said}\n{errors}");
        said.into_owned()
    };
    let tested = cargo(&["test", "--lib"]);
    let expected = "greets_by_name_and_refuses_an_empty_one ... ok";
    assert!(tested.contains(expected), "{tested}");
    cargo(&["build", "--bins"]);

    let program = |name: &str| {
        let program = target.join("debug").join(name);
        program.with_extension(env::consts::EXE_EXTENSION)
    };
    let (sender, events) = mpsc::channel();
    let mut server = silent(program("server"));
    server.arg("127.0.0.1:0");
    let children = &course.children;
    let deadline = Instant::now() + course.limit;
    let channel = (sender, &events);
    let server = running::start(children, server, "", channel, deadline, |_| Ok(())).unwrap();
    let server = server.unwrap();
    let mut client = silent(program("client"));
    client.arg(format!("http://{}", server.address));
    let finished = children.run(&mut client, course.limit).unwrap();
    assert_eq!(finished.stdout, ["Hello, Ann!"]);
    assert!(finished.status.unwrap().success());

    drop(server);
    let finished = children.run(&mut client, course.limit).unwrap();
    assert_eq!(finished.status.unwrap().code(), Some(1));
    assert_eq!(finished.stderr.len(), 1, "{finished:?}");
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let (course, folder) = (course(), Folder::new("taken"));
    fs::create_dir(folder.0.join("empty")).unwrap();
    write(&folder.0.join("full/a"), "");
    let new = |name: &str| {
        let made = new(&course, &folder.0, name, &mut Vec::new());
        made.map_err(|error| error.to_string())
    };
    new("empty").unwrap();
    let sentence = |name: &str| new(name).unwrap_err();
    for name in ["full", "empty"] {
        let expected = format!("the folder {name} isn't empty; name a new one");
        assert_eq!(sentence(name), expected);
    }
    assert_eq!(sentence("full/a"), "full/a is a file; name a new folder");
    let inside = course.root.join("course/src/mine");
    let expected = "is inside of the course; name a folder outside, like ../greeter";
    assert!(sentence(&inside.to_string_lossy()).ends_with(expected));
    assert!(!inside.exists());
}

#[test]
fn a_package_gets_a_name_that_cargo_takes() {
    let (course, folder) = (course(), Folder::new("names"));
    for (name, package) in [
        ("greeter", "greeter"),
        ("My gRPC_server", "my-grpc-server"),
        ("2 b", "my-2-b"),
        ("Tonic", "my-tonic"),
        ("match", "my-match"),
        ("Übung", "bung"),
        ("…", "my-project"),
    ] {
        new(&course, &folder.0, name, &mut Vec::new()).unwrap();
        let manifest = fs::read_to_string(folder.0.join(name).join("Cargo.toml")).unwrap();
        let expected = format!("name = \"{package}\"\n");
        assert!(manifest.contains(&expected), "{name}: {manifest}");
    }
}
