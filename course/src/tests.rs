//! A course of one tiny lesson is accepted; with one thing broken, the complaint names it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::*;
use crate::cargo::Programs;
use crate::problem::{Problem, diff};

mod processes;
mod run;
mod shape;
mod solutions;
mod transcript;

const FILES: [(&str, &str); 16] = [
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
        "# A course\n\n[Tiny](01-tiny/README.md)\n\n```console\n$ cargo test\n```\n",
    ),
    ("CONTRIBUTING.md", "# Contributing\n\n[Here](README.md)\n"),
    (".gitignore", "/target\n"),
    ("01-tiny/Cargo.toml", include_str!("tests/tiny/manifest")),
    ("01-tiny/README.md", include_str!("tests/tiny/README.md")),
    (
        "01-tiny/build.rs",
        "//! Nothing to build.\n\nfn main() {}\n",
    ),
    (
        "01-tiny/solutions/1.patch",
        include_str!("tests/tiny/1.patch"),
    ),
    ("01-tiny/src/lib.rs", include_str!("tests/tiny/src/lib.rs")),
    (
        "01-tiny/src/tests.rs",
        include_str!("tests/tiny/src/tests.rs"),
    ),
    (
        "01-tiny/src/bin/server.rs",
        include_str!("tests/tiny/src/bin/server.rs"),
    ),
    (
        "01-tiny/src/bin/client.rs",
        include_str!("tests/tiny/src/bin/client.rs"),
    ),
    (
        "01-tiny/src/bin/talk.rs",
        include_str!("tests/tiny/src/bin/talk.rs"),
    ),
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
fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let tests = env::current_exe().unwrap();
        let fixture = Fixture::at(tests.with_file_name("course-fixture"));
        let programs = cargo::own_programs(&fixture.course, "tiny").unwrap();
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

#[test]
fn a_course_in_order_is_accepted() {
    let fixture = Fixture::new();
    let mut out = Vec::new();
    let code = check::check(&fixture.course, &fixture.course.lessons, &mut out).unwrap();
    let expected = "README.md links ok\nREADME.md transcripts ok\nCONTRIBUTING.md links ok\n\
                    CONTRIBUTING.md transcripts ok\n01 shape ok\n01 transcripts ok\n01 manners ok\n\
                    01 solutions ok\n8 checks passed\n";
    assert_eq!(
        (code, String::from_utf8(out).unwrap().as_str()),
        (0, expected)
    );
}

#[test]
fn a_check_with_problems_counts_them_and_fails() {
    let fixture = Fixture::new();
    fixture.replace("01-tiny/README.md", "hello, Ann", "hello, Bob");
    fixture.replace("01-tiny/src/bin/client.rs", "{url} cannot", "it cannot");
    fixture.remove("01-tiny/build.rs");
    let mut out = Vec::new();
    let code = check::check(&fixture.course, &fixture.course.lessons, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert_eq!(code, 1, "{out}");
    for complaint in [
        "01 shape NOT ok\n01-tiny/build.rs\n  expected: a file\n  got:      none\n",
        "  - hello, Bob\n  + hello, Ann\n",
        "01-tiny: client http://127.0.0.1:1\n  expected: a line that names http://127.0.0.1:1\n",
        "01 solutions ok\n4 problems\n",
    ] {
        assert!(out.contains(complaint), "{complaint} is missing in\n{out}");
    }
}

#[test]
fn the_table_lists_title_sentence_and_minutes() {
    let fixture = Fixture::new();
    let table = table::table(&fixture.course);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("01  Tiny  ") && lines[0].ends_with("  5 minutes"));
    assert_eq!(lines[1], "    You will see a client greet a server.");
    assert!(lines[3].contains("`cargo course 01`"));
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
        (&["help", "me"], "`me` is one argument too many"),
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
    assert!(
        open.starts_with("01 · exercise 1 · doubles  ") && open.contains("  open\n"),
        "{open}"
    );
    assert!(open.contains("Delete the #[ignore] line") && open.contains("`cargo test -p tiny`"));
    fixture.replace("01-tiny/src/lib.rs", "    number\n", "    2 * number\n");
    let solved = list();
    assert!(solved.contains("  solved\n\nNothing is open."), "{solved}");
}

#[test]
fn paths_are_taken_out_of_json() {
    let json = r#"{"executable":"C:\\target\\\"debug\"\\\u00e9.exe","fresh":true}"#;
    let path = cargo::string_field(json, "executable").unwrap();
    assert_eq!(path, "C:\\target\\\"debug\"\\é.exe");
    assert_eq!(
        cargo::string_field(r#"{"executable":null}"#, "executable"),
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
