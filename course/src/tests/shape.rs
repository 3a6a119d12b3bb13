//! Each rule of a lesson's shape, broken.

use super::*;
use crate::exercises::in_file;

const PAGE: &str = "01-tiny/README.md";
const TESTS: &str = "01-tiny/src/tests.rs";
const CLIENT: &str = "01-tiny/src/bin/client.rs";

type Break = fn(&Fixture);

#[test]
fn each_rule_of_shape_can_be_broken() {
    let cases: &[(Break, &str)] = &[
        (
            |it| it.remove("01-tiny/src/tests.rs"),
            "01-tiny/src/tests.rs\n  expected: a file",
        ),
        (
            |it| it.remove("01-tiny/src/proto.rs"),
            "01-tiny/src/proto.rs\n  expected: a file",
        ),
        (
            |it| it.write("01-tiny/src/proto.rs", "//! Proto.\n\nstruct A;\n"),
            "01-tiny/src/proto.rs\n  expected: `tonic::include_proto!`, perhaps in modules, and nothing else\n  \
             got:      `struct A;`",
        ),
        (
            |it| it.write("01-tiny/tests/a.rs", ""),
            "01-tiny/tests\n  expected: tests in src/tests.rs",
        ),
        (
            |it| it.replace("01-tiny/src/bin/talk.rs", "//! ", "// "),
            "01-tiny/src/bin/talk.rs:1\n  expected: `//!`",
        ),
        (
            |it| {
                it.write(
                    "01-tiny/src/lib.rs",
                    &format!("//! Long.{}", "\n\nmod a;".repeat(130)),
                )
            },
            "01-tiny/src/lib.rs\n  expected: at most 130 lines with text\n  got:      131 lines",
        ),
        (
            |it| {
                it.write(
                    "01-tiny/src/bin/ask.rs",
                    &format!("//! Asks.{}", "\nmod a;".repeat(120)),
                )
            },
            "01-tiny/src/bin/ask.rs\n  expected: at most 120 lines with text\n  got:      121 lines",
        ),
        (
            |it| {
                it.write(
                    "01-tiny/src/a.rs",
                    &format!("//! Long.{}", "\nmod a;".repeat(200)),
                );
                it.write("protos/a/b.proto", &"message A {}\n".repeat(100));
                it.write("01-tiny/build.rs", "//! \"a/b.proto\"\n\nfn main() {}\n");
            },
            "01-tiny\n  expected: at most 300 lines with text in protos and src without tests",
        ),
        (
            |it| it.replace("01-tiny/Cargo.toml", "tiny", "small"),
            "01-tiny/Cargo.toml\n  expected: `name = \"tiny\"`",
        ),
        (
            |it| it.replace(".cargo/config.toml", "01 =", "1 ="),
            ".cargo/config.toml\n  expected: `01 = \"run -p tiny --bin\"`",
        ),
        (
            |it| it.replace("README.md", "](01-", "](1-"),
            "README.md\n  expected: `| 01 | [Tiny](01-tiny/README.md) | … | 15 |`\n  got:      no such row",
        ),
        (
            |it| it.replace("README.md", "| 15 |", "| 10 |"),
            "| … | 15 |`\n  got:      | 01 | [Tiny](01-tiny/README.md) | a greeting | 10 |",
        ),
        (
            |it| it.replace(PAGE, "# 01", "# 1"),
            "README.md:1\n  expected: `# 01 · ` and a title",
        ),
        (
            |it| it.replace(PAGE, "server.\n", "server\n"),
            "README.md:3\n  expected: what the reader",
        ),
        (
            |it| it.replace(PAGE, "minutes, ", "hours, "),
            "README.md:5\n  expected: `*learn 40 minutes",
        ),
        (
            |it| it.replace(PAGE, "harden 10*", "harden 10"),
            "README.md:5\n  expected: `*learn 40 minutes",
        ),
        (
            |it| it.replace(PAGE, "10*", "10 · next: 02*"),
            "harden 10 · next: 02`",
        ),
        (
            |it| it.replace(PAGE, "10*", "10 · next: 01 · before: 01*"),
            "· next: 01 · before: 01`",
        ),
        (
            |it| it.replace(PAGE, "## Break it", "## Broken"),
            "  - Break it\n  + Broken\n",
        ),
        (
            |it| it.replace(PAGE, "## Go", "## Take it with you\n\n## Go"),
            "  + Take it with you\n",
        ),
        (
            |it| it.replace(PAGE, "Teaching", "Telling"),
            "expected: `<summary>Teaching this lesson",
        ),
        (
            |it| it.replace(PAGE, "A line each way.", &"long ".repeat(25)),
            "README.md\n  expected: at most 100 columns\n  got:      more in line 44 (125)",
        ),
        (
            |it| it.replace(PAGE, "There is nothing", &"a\n".repeat(130)),
            "README.md\n  expected: at most 180 lines without *On the wire* and folded parts",
        ),
        (
            |it| it.replace(PAGE, "lib.rs#L1", "lob.rs#L1"),
            "README.md:38\n  expected: a link",
        ),
        (
            |it| it.replace(PAGE, "2. Halve", "4. Halve"),
            "README.md:90\n  expected: `2.`\n  got:      4",
        ),
        (
            |it| it.replace(PAGE, "3. Negate.", "Negate."),
            "expected: 3 exercises: server,",
        ),
        (
            |it| {
                it.replace(
                    PAGE,
                    "<details><summary>Hint</summary>Twice.</details>",
                    "Twice.",
                )
            },
            "README.md:86\n  expected: a folded hint (`<details>`)",
        ),
        (
            |it| it.replace(PAGE, "exercise_1_doubles", "exercise_1_triples"),
            "the test `exercise_1_triples`, which the page names",
        ),
        (
            |it| it.replace(PAGE, "`exercise_1_doubles`", "none"),
            "README.md:86\n  expected: the name of its test, `exercise_1_…`",
        ),
        (
            |it| it.replace(TESTS, "#[ignore = \"exercise 1: double\"]\n", ""),
            "01-tiny/src/tests.rs:11\n  expected: `#[ignore = \"exercise 1: …\"]`",
        ),
        (
            |it| it.replace(TESTS, "exercise 1", "exercise 2"),
            "01-tiny/src/tests.rs:12\n  expected: `#[ignore = \"exercise 1: …\"]`",
        ),
        (
            |it| it.remove("01-tiny/solutions/1.patch"),
            "solutions/1.patch\n  expected: a patch for item 1 of *Exercises*",
        ),
        (
            |it| it.write("01-tiny/solutions/4.patch", ""),
            "solutions/4.patch\n  expected: an item of *Exercises* that it belongs to",
        ),
        (
            |it| it.remove("01-tiny/breaks/2.patch"),
            "breaks/2.patch\n  expected: a patch for item 2 of *Break it*",
        ),
        (
            |it| it.replace(PAGE, "git apply 01-tiny", "git apply 1-tiny"),
            "README.md\n  expected: `git apply 01-tiny/breaks/1.patch`",
        ),
        (
            |it| {
                it.replace(
                    PAGE,
                    "   ```console\n   $ cargo test",
                    "   ```text\n   cargo test",
                )
            },
            "README.md:68\n  expected: a folded answer (`<details>`) with a `console` block",
        ),
        (|it| it.replace(CLIENT, "cargo 01", "cargo 02"), "  + "),
        (
            |it| it.replace(CLIENT, "// The rest", "// All"),
            "client.rs\n  expected: `// The rest is the same in every client.`, and",
        ),
        (
            |it| it.replace(PAGE, "(8 lines)", "(20 lines)"),
            "README.md:38\n  expected: `(8 lines)`",
        ),
        (
            |it| it.replace(PAGE, " (8 lines)", ""),
            "or about that, at the item's end\n  got:      no number",
        ),
        (
            |it| it.replace(PAGE, "`halve`", "`third`"),
            "README.md:38\n  expected: an item `third` in src/lib.rs#L1",
        ),
        (
            |it| it.replace("01-tiny/src/proto.rs", "\n", &"\n// long".repeat(300)),
            "README.md: Read it\n  expected: at most 250 lines to read in all",
        ),
        (
            |it| it.replace(PAGE, "learn 15", "learn 20"),
            "README.md:5\n  expected: learn 15 (",
        ),
        (
            |it| it.replace(PAGE, "harden 10", "harden 15"),
            "README.md:5\n  expected: harden 10\n  got:      harden 15",
        ),
        (
            |it| it.replace(PAGE, "learn 15", "learn 13"),
            "got:      learn 13",
        ),
        (
            |it| it.replace(PAGE, "A line each way.", &"A line\n".repeat(2600)),
            "README.md:5\n  expected: at most 45 minutes to learn",
        ),
    ];
    assert_eq!(
        text(&check::form(&Fixture::new().course, Fixture::new().lesson()).unwrap()),
        ""
    );
    for (break_it, complaint) in cases {
        let fixture = Fixture::new();
        break_it(&fixture);
        let found = check::form(&fixture.course, fixture.lesson()).unwrap();
        let found = text(&found);
        assert!(
            found.contains(complaint),
            "{complaint}\nis missing in\n{found}"
        );
    }
}

#[test]
fn from_lesson_14_on_a_page_says_what_to_take_along() {
    let mut fixture = Fixture::new();
    let page = fs::read_to_string(fixture.course.root.join(PAGE)).unwrap();
    fixture.write("14-tiny/Cargo.toml", "");
    fixture.write("14-tiny/README.md", &page);
    fixture.course = Course::open(fixture.course.root.clone(), "", Duration::ZERO).unwrap();
    let found = |fixture: &Fixture| {
        let problems = check::shape::check(&fixture.course, &fixture.course.lessons[1]);
        text(&problems.unwrap())
    };
    assert!(found(&fixture).contains("\n  - Take it with you\n"));
    fixture.replace("14-tiny/README.md", "## Go", "## Take it with you\n\n## Go");
    assert!(!found(&fixture).contains("Take it with you"));
}

#[test]
fn each_page_leads_to_the_next_lesson() {
    let mut fixture = Fixture::new();
    fixture.write("14-tiny/Cargo.toml", "");
    fixture.course = Course::open(fixture.course.root.clone(), "", Duration::ZERO).unwrap();
    let found = |fixture: &Fixture| {
        let problems = check::shape::check(&fixture.course, &fixture.course.lessons[0]);
        text(&problems.unwrap())
    };
    let complaint = "README.md:5\n  expected: `next: 14`\n  got:      `no next lesson`\n";
    assert!(found(&fixture).ends_with(complaint), "{}", found(&fixture));
    fixture.replace(PAGE, "harden 10*", "harden 10 · next: 14*");
    assert_eq!(found(&fixture), "");
}

#[test]
fn exercises_are_found_with_their_module() {
    let source = "#[tokio::test]\n#[ignore = \"exercise 2: late\"]\nasync fn exercise_2_is_late() {}\n\
                  fn exercise_of_patience() {}\n";
    let found = in_file(Path::new("src/tests/late.rs"), source);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, "tests::late::exercise_2_is_late");
    assert!(found[0].is_ignored);
}
