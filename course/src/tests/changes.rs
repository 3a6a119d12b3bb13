//! Changes of a lesson that do not do what its page says: breaks and solutions.

use super::*;

const PAGE: &str = "01-tiny/README.md";
const TESTS: &str = "01-tiny/src/tests.rs";
const BREAKS: [&str; 2] = ["01-tiny/breaks/1.patch", "01-tiny/breaks/2.patch"];
const SOLUTIONS: [&str; 3] = [
    "01-tiny/solutions/1.patch",
    "01-tiny/solutions/2.patch",
    "01-tiny/solutions/3.patch",
];

/// A fixture with many things wrong takes as long as one with a single one.
fn assert_found(break_it: fn(&Fixture), complaints: &[&str]) {
    let mut fixture = Fixture::new();
    break_it(&fixture);
    fixture.course.limit = Duration::from_secs(20);
    let found = changed(&fixture);
    for complaint in complaints {
        assert!(
            found.contains(complaint),
            "{complaint}\nis missing in\n{found}"
        );
    }
    let count = found.matches("\n  expected").count();
    assert_eq!(count, complaints.len(), "{found}");
}

#[test]
fn what_a_change_does_must_be_what_the_page_says() {
    assert_found(
        |it| {
            it.replace(SOLUTIONS[0], "2 * number", "3 * number");
            it.replace(SOLUTIONS[1], "number / 2", "nothing / 2");
            it.replace(BREAKS[0], "good day", "good night");
            it.replace(BREAKS[1], "number + 1", "number * 1");
        },
        &[
            "solutions/1.patch\n  expected: a test that passes\n  got:      it fails:\n",
            "solutions/2.patch\n  expected: code that compiles\n  got:      error",
            "cargo 01 client\n  expected (-), got (+):\n  - good day, Ann\n  + good night, Ann\n",
            "\n  + test tests::doubles_zero_to_zero ... ok\n",
        ],
    );
}

#[test]
fn a_patch_changes_the_lesson_and_nothing_else() {
    assert_found(
        |it| {
            it.replace(
                SOLUTIONS[0],
                "+++ b/01-tiny/src/lib",
                "+++ b/01-tiny/src/tests",
            );
            it.replace(SOLUTIONS[1], "+++ b/01-tiny/src/lib", "+++ b/wire/src/main");
            it.write(SOLUTIONS[2], "");
            it.replace(BREAKS[0], "good day, {name}", "good day, {nobody}");
        },
        &[
            "solutions/1.patch\n  expected: a change of the lesson, not of its tests",
            "solutions/2.patch\n  expected: a change of the lesson or of its protos",
            "solutions/3.patch\n  expected: a patch that",
            "breaks/1.patch\n  expected: code that compiles",
        ],
    );
}

#[test]
fn an_exercise_fails_as_shipped_and_its_solution_breaks_nothing() {
    assert_found(
        |it| {
            it.replace(SOLUTIONS[0], "2 * number", "number.max(1) * 2");
            it.replace(SOLUTIONS[1], "/// Half of", "/// One half of");
            it.replace(TESTS, "negate(2), -2", "negate(2), 2");
            it.replace(PAGE, "heard: Ann\n   ```", "heard: Bob\n   ```");
        },
        &[
            "the lesson's other tests still pass\n  got:      FAILED: tests::doubles_zero_to_zero",
            "solutions/2.patch\n  expected: a patch that applies",
            "exercise_3_negates as shipped\n  expected: a test that fails\n  got:      it passes",
            "solutions/3.patch\n  expected: a test that passes",
            "cargo 01 server\n  expected (-), got (+):\n  - ⋮\n  - heard: Bob\n",
        ],
    );
}

/// What is wrong with the changes.
fn changed(fixture: &Fixture) -> String {
    let built = cargo::all_programs(&fixture.course, "tiny", true).unwrap();
    let found = check::changes(&fixture.course, fixture.lesson(), &built).unwrap();
    found.iter().map(|it| text(it)).collect()
}

/// The other one runs too.
#[test]
fn an_answer_may_show_one_program_of_two() {
    let mut fixture = Fixture::new();
    let page = "01-tiny/README.md";
    let server = "   ```console\n   $ cargo 01 server\n   ⋮\n   heard: Ann\n   ```\n";
    let client = "   ```console\n   $ cargo 01 client\n   good day, Ann\n   ```\n";
    fixture.replace(page, server, "");
    assert_eq!(changed(&fixture), "");
    fixture.replace(page, client, server);
    assert_eq!(changed(&fixture), "");
    fixture.replace(page, "heard: Ann\n   ```", "heard: Bob\n   ```");
    fixture.course.limit = Duration::from_secs(5);
    assert!(changed(&fixture).contains("\n  - heard: Bob\n"));
}

/// What stands before the server is run before it, and is not taken for the client.
#[test]
fn an_answer_may_show_a_third_program() {
    let fixture = Fixture::new();
    let page = "01-tiny/README.md";
    let client = "   $ cargo 01 client\n";
    let third =
        "   $ cargo 01 talk Ann\n   Ann is here\n   > a\n   Ann: a\n   ```\n\n   ```console\n";
    fixture.replace(page, client, &format!("{third}{client}"));
    assert_eq!(changed(&fixture), "");
    fixture.replace(page, "Ann: a\n", "Ann: b\n");
    assert!(changed(&fixture).contains("\n  - Ann: b\n  + Ann: a\n"));
}

#[test]
fn the_working_copy_stays_as_it_is_and_its_changes_are_seen() {
    let fixture = Fixture::new();
    let before: Vec<String> = contents(&fixture);
    assert_eq!(changed(&fixture), "");
    assert_eq!(contents(&fixture), before);
    // The second time the copies are there already, built from what was there before.
    fixture.replace(SOLUTIONS[0], "2 * number", "3 * number");
    fixture.replace(BREAKS[0], "good day", "good night");
    let (_, found) = checked(&fixture);
    assert!(
        found.contains("01 breaks NOT ok") && found.contains("01 solutions NOT ok"),
        "{found}"
    );
}

/// The repository around the copies ignores them, and git would leave them alone.
#[test]
fn patches_apply_inside_of_a_repository() {
    let fixture = Fixture::new();
    let git = |words: &[&str]| {
        let mut git = process::Command::new("git");
        git.args(words).current_dir(&fixture.course.root);
        assert!(git.output().unwrap().status.success());
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    assert_eq!(changed(&fixture), "");
}

fn contents(fixture: &Fixture) -> Vec<String> {
    let read = |(file, _): &(&str, &str)| fs::read_to_string(fixture.course.root.join(file));
    FILES.iter().map(|it| read(it).unwrap()).collect()
}
