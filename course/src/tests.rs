//! A course of one tiny lesson is accepted; with one thing broken, the complaint names it.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::*;
use crate::cargo::Built;
use crate::lesson::Lesson;
use crate::problem::{Problem, diff};

mod changes;
mod foot;
mod late_headers;
mod new;
mod page;
mod peers;
mod processes;
mod run;
mod session;
mod shape;

/// A file of the fixture that stands in `tests/tiny`.
macro_rules! tiny {
    ($file:literal) => {
        (
            concat!("01-tiny/", $file),
            include_str!(concat!("tests/tiny/", $file)),
        )
    };
}

const FILES: [(&str, &str); 25] = [
    (
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"01-tiny\", \"wire\"]\n[profile.dev]\ndebug = false\n",
    ),
    (
        ".cargo/config.toml",
        "[alias]\n01 = \"run -p tiny --bin\"\n",
    ),
    (
        "README.md",
        "# A course\n\n| 01 | [Tiny](01-tiny/README.md) | a greeting | 15 |\n\n```console\n$ cargo test\n```\n",
    ),
    ("CONTRIBUTING.md", "# Contributing\n\n[Here](README.md)\n"),
    (".gitignore", "/target\n"),
    ("01-tiny/Cargo.toml", include_str!("tests/tiny/manifest")),
    (
        "01-tiny/build.rs",
        "//! Nothing to build.\n\nfn main() {}\n",
    ),
    tiny!("README.md"),
    tiny!("breaks/1.patch"),
    tiny!("breaks/2.patch"),
    tiny!("solutions/1.patch"),
    tiny!("solutions/2.patch"),
    tiny!("solutions/3.patch"),
    tiny!("src/lib.rs"),
    tiny!("src/proto.rs"),
    tiny!("src/tests.rs"),
    tiny!("src/bin/server.rs"),
    tiny!("src/bin/client.rs"),
    tiny!("src/bin/talk.rs"),
    (
        "course/feet/server.rs",
        include_str!("tests/tiny/feet/server.rs"),
    ),
    (
        "course/feet/client.rs",
        include_str!("tests/tiny/feet/client.rs"),
    ),
    (
        "course/feet/client-without-limit.rs",
        include_str!("tests/tiny/feet/client.rs"),
    ),
    ("protos/README.md", "# Protobuf\n"),
    (
        "wire/Cargo.toml",
        "[package]\nname = \"wire\"\nedition = \"2024\"\n",
    ),
    ("wire/src/main.rs", include_str!("tests/tiny/wire.rs")),
];

/// A course in a folder of its own, with an address of its own. Gone when it is dropped.
struct Fixture {
    course: Course,
}

impl Fixture {
    fn new() -> Self {
        static COUNT: AtomicU16 = AtomicU16::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let root = env::temp_dir().join(format!("course-{}-{count}", process::id()));
        Self::at(root)
    }

    fn at(root: PathBuf) -> Self {
        let address = free_address();
        for (file, text) in FILES {
            write(&root.join(file), &text.replace("127.0.0.1:50051", &address));
        }
        write(&root.join("address"), &address);
        let mut course = Course::open(root, &address, Duration::from_secs(20)).unwrap();
        course.target = Some(course.root.join("target"));
        course.is_watched = false;
        Self { course }
    }

    fn lesson(&self) -> &Lesson {
        &self.course.lessons[0]
    }

    fn write(&self, file: &str, text: &str) {
        write(&self.course.root.join(file), text);
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.course.root.join(file)).unwrap();
    }

    fn replace(&self, file: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.course.root.join(file)).unwrap();
        assert!(text.contains(old), "{file} has no {old}");
        self.write(file, &text.replacen(old, new, 1));
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.course.root);
    }
}

/// An address that nobody else takes: no system hands out ports below 32768 by itself.
fn free_address() -> String {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU16::new(10_000 + (process::id() % 200 * 100) as u16));
    loop {
        let address = format!("127.0.0.1:{}", next.fetch_add(1, Ordering::SeqCst));
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// The tiny lesson's programs, built once for all tests, and kept for the next time.
fn programs() -> &'static Built {
    static PROGRAMS: OnceLock<Built> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let tests = env::current_exe().unwrap();
        let fixture = Fixture::at(tests.with_file_name("course-fixture"));
        let programs = cargo::all_programs(&fixture.course, "tiny", true).unwrap();
        std::mem::forget(fixture);
        programs
    })
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text).unwrap();
    }
}

fn text(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// All that a check says, without how long it took, and its exit code.
fn checked(fixture: &Fixture) -> (u8, String) {
    let mut out = Vec::new();
    let code = check::check(&fixture.course, &fixture.course.lessons, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let end = out.rfind(" in ").unwrap();
    (code, out[..end].to_owned())
}

#[test]
fn a_course_in_order_is_accepted() {
    let fixture = Fixture::new();
    let expected = "README.md links ok\nREADME.md transcripts ok\nCONTRIBUTING.md links ok\n\
                    CONTRIBUTING.md transcripts ok\nprotos/README.md links ok\n\
                    protos/README.md transcripts ok\n\
                    01 shape (learn 15, exercises 30, harden 10) ok\n01 transcripts ok\n\
                    01 failure messages ok\n01 breaks ok\n01 solutions ok\n11 checks passed";
    assert_eq!(checked(&fixture), (0, expected.to_owned()));
}

#[test]
fn a_check_with_problems_counts_them_and_fails() {
    let fixture = Fixture::new();
    fixture.replace("01-tiny/README.md", "hello, Ann", "hello, Bob");
    for file in ["01-tiny/src/bin/client.rs", "course/feet/client.rs"] {
        fixture.replace(file, "{url} cannot", "it cannot");
    }
    fixture.remove("01-tiny/build.rs");
    let (code, out) = checked(&fixture);
    assert_eq!(code, 1, "{out}");
    for complaint in [
        "  - hello, Bob\n  + hello, Ann\n",
        "01-tiny: client http://127.0.0.1:1\n  expected: a first line that names http://127.0.0.1:1\n",
        "harden 10) NOT ok\n01-tiny/build.rs\n  expected: a file\n  got:      none\n",
        "01 solutions ok\n5 problems, found",
    ] {
        assert!(out.contains(complaint), "{complaint} is missing in\n{out}");
    }
}

#[test]
fn the_table_lists_title_minutes_and_sentence() {
    let fixture = Fixture::new();
    let table = table::table(&fixture.course);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].ends_with("  learn  exercises  harden"));
    assert!(lines[1].starts_with("01  Tiny  ") && lines[1].ends_with("  15         30      10"));
    assert_eq!(lines[2], "    You'll see a client greet a server.");
    assert!(lines[4].contains("`cargo course 01`"));
    assert!(lines.iter().all(|line| line.chars().count() <= 80));
}

#[test]
fn a_lesson_has_four_names() {
    let fixture = Fixture::new();
    for name in ["01", "1", "tiny", "01-tiny"] {
        assert_eq!(fixture.course.select(name).unwrap()[0].name, "tiny");
    }
    for name in ["", "0", "02", "001", "tin", "02-tiny"] {
        let sentence = fixture.course.select(name).unwrap_err();
        assert!(sentence.starts_with(&format!("there is no lesson `{name}`")));
    }
}

#[test]
fn commands_that_make_no_sense_are_refused_in_a_sentence() {
    let fixture = Fixture::new();
    for (words, complaint) in [
        (&["nonsense"][..], "there is no lesson `nonsense`"),
        (&["01", "02"], "`02` is one argument too many"),
        (&["check", "07"], "there is no lesson `07`"),
        (&["check", "01", "more"], "`more` is one argument too many"),
        (&["exercises", "--all"], "there is no lesson `--all`"),
        (&["01", "--wires"], "`--wires` is one argument too many"),
        (&["peers", "07"], "there is no lesson `07`"),
        (
            &["peer"],
            "there is no lesson `peer`; did you mean `cargo course peers`?",
        ),
        (&["new"], "`cargo course new` needs the name of a folder"),
        (
            &["new", "a", "b"],
            "`b` is one argument too many; put a name with blanks",
        ),
        (&["help", "me"], "`me` is one argument too many"),
        (
            &["exercise", "01"],
            "there is no lesson `exercise`; did you mean `cargo course exercises 01`?",
        ),
        (
            &["chekc"],
            "there is no lesson `chekc`; did you mean `cargo course check`?",
        ),
        (
            &["run", "01"],
            "there is no lesson `run`; `cargo course` lists the lessons",
        ),
    ] {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let sentence = Command::parse(&fixture.course, &words).unwrap_err();
        assert!(sentence.starts_with(complaint), "{sentence}");
    }
}

#[test]
fn exercises_are_open_until_their_test_passes() {
    let fixture = Fixture::new();
    let list = || {
        let mut out = Vec::new();
        exercises::list(&fixture.course, &fixture.course.lessons, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let open = list();
    let expected = "01 · 1 · doubles  open\n01 · 2 · halves   open\n01 · 3 · negates  open\n\nNext: exercise 1";
    assert!(open.starts_with(expected), "{open}");
    assert!(open.contains("Delete the #[ignore] line") && open.contains("`cargo test -p tiny`"));
    for (old, new) in [
        ("number\n", "2 * number\n"),
        ("  number\n", "  number / 2\n"),
    ] {
        fixture.replace("01-tiny/src/lib.rs", old, new);
    }
    let solved = list();
    let expected = "01 · 1 · doubles  solved\n01 · 2 · halves   solved\n01 · 3 · negates  open\n\nNext: exercise 3";
    assert!(solved.starts_with(expected), "{solved}");
    fixture.replace("01-tiny/src/lib.rs", "  number\n", "  -number\n");
    let solved = list();
    assert!(
        solved.ends_with("  solved\n\nNothing is open.\n"),
        "{solved}"
    );
}

#[test]
fn executables_are_taken_out_of_what_cargo_says() {
    let json = r#"{"reason":"compiler-artifact","package_id":"path+file:///a/01-tiny#tiny@0.1.0","target":{"kind":["bin"],"name":"server","test":true},"profile":{"test":false},"executable":"C:\\target\\\"debug\"\\\u00e9.exe","fresh":true}"#;
    let artifact = cargo::artifact(json).unwrap();
    assert_eq!(
        artifact.executable,
        Path::new("C:\\target\\\"debug\"\\é.exe")
    );
    assert_eq!(
        (artifact.package.as_str(), artifact.is_test),
        ("tiny", false)
    );
    assert_eq!(artifact.name, "server");
    let of_a_folder = json.replace("01-tiny#tiny@0.1.0", "wire#0.1.0");
    let of_a_folder = of_a_folder.replace("\"bin\"", "\"lib\"");
    let of_a_folder = of_a_folder.replace("{\"test\":false}", "{\"test\":true}");
    let artifact = cargo::artifact(&of_a_folder).unwrap();
    assert_eq!(
        (artifact.package.as_str(), artifact.is_test),
        ("wire", true)
    );
    assert_eq!(
        cargo::artifact(&json.replace("\"executable\":\"", "\"executable\":null,\"")),
        None
    );
    assert_eq!(
        cargo::string_field(r#"{"executable":"cut"#, "executable"),
        None
    );
}

#[test]
fn a_diff_keeps_what_is_common() {
    let (old, new) = (lines("a\nb\nc\nd"), lines("b\nx\nd\ne"));
    let diff: String = diff(&old, &new)
        .into_iter()
        .map(|(sign, line)| format!("{sign}{line}"))
        .collect();
    assert_eq!(diff, "-a b-c+x d+e");
}
