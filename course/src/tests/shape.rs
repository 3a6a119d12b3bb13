//! Each rule of a lesson's shape, broken.

use super::*;
use crate::exercises::in_file;

const PAGE: &str = "01-tiny/README.md";

type Break = fn(&Fixture);

#[test]
fn each_rule_of_shape_can_be_broken() {
    let cases: [(Break, &str); 26] = [
        (
            |it| it.remove("01-tiny/src/tests.rs"),
            "01-tiny/src/tests.rs\n  expected: a file",
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
                    &format!("//! Long.{}", "\n".repeat(131)),
                )
            },
            "01-tiny/src/lib.rs\n  expected: at most 130 lines\n  got:      131 lines",
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
            |it| it.replace("Cargo.toml", "01-", "02-"),
            "Cargo.toml\n  expected: `\"01-tiny\"`",
        ),
        (
            |it| it.replace("README.md", "](01-", "](1-"),
            "README.md\n  expected: `](01-tiny/`",
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
            |it| it.replace(PAGE, "minutes*", "hours*"),
            "README.md:5\n  expected: `*15 minutes",
        ),
        (
            |it| it.replace(PAGE, "5 minutes*", "5 minutes"),
            "README.md:5\n  expected: `*15 minutes",
        ),
        (
            |it| it.replace(PAGE, "s*", "s · next: 02*"),
            "got:      `5 minutes · next: 02`",
        ),
        (
            |it| it.replace(PAGE, "s*", "s · next: 01 · before: 01*"),
            "got:      `5 minutes · next: 01 · before: 01`",
        ),
        (
            |it| it.replace(PAGE, "## Break it", "## Broken"),
            "  - Break it\n  + Broken\n",
        ),
        (
            |it| it.replace(PAGE, "## Go", "## More\n\n## Go"),
            "  + More\n",
        ),
        (
            |it| it.replace(PAGE, "Teaching", "Telling"),
            "expected: `<summary>Teaching this lesson",
        ),
        (
            |it| it.replace(PAGE, "Change it.", &"long ".repeat(25)),
            "README.md:42\n  expected: at most 120 columns\n  got:      125 columns",
        ),
        (
            |it| it.replace(PAGE, "lib.rs#L1", "lob.rs#L1"),
            "README.md:22\n  expected: a link",
        ),
        (
            |it| it.replace(PAGE, "`doubles_zero_", "`doubled_zero_"),
            "README.md:22\n  expected: `doubled_zero_to_zero` in the lesson's code",
        ),
        (
            |it| it.replace(PAGE, "exercise_1_doubles", "exercise_1_triples"),
            "the test `exercise_1_triples`, which the page names",
        ),
        (
            |it| it.replace(PAGE, "`exercise_1_doubles`", "none"),
            "README.md\n  expected: the task of `exercise_1_doubles`",
        ),
        (
            |it| {
                it.replace(
                    "01-tiny/src/tests.rs",
                    "#[ignore = \"exercise 1: double\"]\n",
                    "",
                )
            },
            "01-tiny/src/tests.rs:11\n  expected: `#[ignore = \"exercise 1: …\"]`",
        ),
        (
            |it| it.replace("01-tiny/src/tests.rs", "exercise 1", "exercise 2"),
            "01-tiny/src/tests.rs:12\n  expected: `#[ignore = \"exercise 1: …\"]`",
        ),
        (
            |it| it.remove("01-tiny/solutions/1.patch"),
            "1.patch\n  expected: a solution for `exercise_1_doubles`",
        ),
        (
            |it| it.write("01-tiny/solutions/2.patch", ""),
            "2.patch\n  expected: an exercise that it solves",
        ),
    ];
    for (break_it, complaint) in cases {
        let fixture = Fixture::new();
        break_it(&fixture);
        let found = crate::shape::check(&fixture.course, fixture.lesson()).unwrap();
        let found = text(&found);
        assert!(
            found.contains(complaint),
            "{complaint}\nis missing in\n{found}"
        );
    }
}

#[test]
fn links_inside_of_code_are_no_links() {
    assert_eq!(page::links("[a](b) `[c](d)` [`e`](f)"), ["b", "f"]);
    let (blocks, prose) =
        page::split("[a](b)\n```rust\n[c](d)\n```\n  ```console\n  $ e\n    f\n  ```\n");
    assert_eq!(prose.len(), 1);
    assert_eq!(blocks[0].language, "rust");
    let lines = blocks[1].lines.iter().map(|line| (line.number, line.text));
    assert_eq!(lines.collect::<Vec<_>>(), [(6, "$ e"), (7, "  f")]);
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
