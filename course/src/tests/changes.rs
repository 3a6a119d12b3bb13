//! Changes of a lesson that do not do what its page says: breaks and solutions.

use super::*;

type Break = fn(&Fixture);

const TESTS: &str = "01-tiny/src/tests.rs";
const LIB: &str = "01-tiny/src/lib.rs";
const SOLUTION: &str = "01-tiny/solutions/1.patch";
const BREAK: &str = "01-tiny/breaks/1.patch";

#[test]
fn breaks_and_solutions_are_put_to_the_test() {
    let cases: [(Break, &str); 12] = [
        (
            |it| it.replace(TESTS, "double(2), 4", "double(2), 2"),
            "exercise_1_doubles as shipped\n  expected: a test that fails\n  got:      it passes",
        ),
        (
            |it| it.replace(SOLUTION, "2 * number", "3 * number"),
            "solutions/1.patch\n  expected: a test that passes\n  got:      it fails:\n",
        ),
        (
            |it| it.replace(SOLUTION, "2 * number", "number.max(1) * 2"),
            "the lesson's other tests still pass\n  got:      FAILED: tests::doubles_zero_to_zero",
        ),
        (
            |it| it.replace(SOLUTION, "2 * number", "2 * nothing"),
            "solutions/1.patch\n  expected: code that compiles\n  got:      error",
        ),
        (
            |it| it.replace(LIB, "/// Twice", "/// Two times"),
            "solutions/1.patch\n  expected: a patch that applies",
        ),
        (
            |it| it.replace(SOLUTION, "+++ b/01-tiny/src/lib", "+++ b/01-tiny/src/tests"),
            "solutions/1.patch\n  expected: a change of the lesson, not of its tests",
        ),
        (
            |it| it.replace(SOLUTION, "+++ b/01-tiny/src/lib", "+++ b/wire/src/main"),
            "solutions/1.patch\n  expected: a change of the lesson or of its protos",
        ),
        (
            |it| it.write(SOLUTION, ""),
            "solutions/1.patch\n  expected: a patch that",
        ),
        (
            |it| it.replace(BREAK, "good day", "good night"),
            "cargo 01 client\n  expected (-), got (+):\n  - good day, Ann\n  + good night, Ann\n",
        ),
        (
            |it| it.replace(BREAK, "good day, {name}", "good day, {nobody}"),
            "breaks/1.patch\n  expected: code that compiles",
        ),
        (
            |it| it.replace("01-tiny/breaks/2.patch", "number + 1", "number * 1"),
            "\n  + test tests::doubles_zero_to_zero ... ok\n",
        ),
        (
            |it| {
                it.replace(
                    "01-tiny/README.md",
                    "heard: Ann\n   ```",
                    "heard: Bob\n   ```",
                )
            },
            "cargo 01 server\n  expected (-), got (+):\n  - ⋮\n  - heard: Bob\n",
        ),
    ];
    for (break_it, complaint) in cases {
        let mut fixture = Fixture::new();
        break_it(&fixture);
        fixture.course.limit = Duration::from_secs(5);
        let found = changed(&fixture);
        assert!(
            found.contains(complaint),
            "{complaint}\nis missing in\n{found}"
        );
    }
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

#[test]
fn the_working_copy_stays_as_it_is_and_its_changes_are_seen() {
    let fixture = Fixture::new();
    let before: Vec<String> = contents(&fixture);
    assert_eq!(changed(&fixture), "");
    assert_eq!(contents(&fixture), before);
    // The second time the copies are there already, built from what was there before.
    fixture.replace(SOLUTION, "2 * number", "3 * number");
    fixture.replace(BREAK, "good day", "good night");
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
