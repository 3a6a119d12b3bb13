//! Exercises that are none, and solutions that are none.

use super::*;
use crate::solutions::check;

const PATCH: &str = "01-tiny/solutions/1.patch";

type Break = fn(&Fixture);

#[test]
fn exercises_and_solutions_are_put_to_the_test() {
    let cases: [(Break, &str); 7] = [
        (
            |it| it.replace("01-tiny/src/tests.rs", "double(2), 4", "double(2), 2"),
            "exercise_1_doubles as shipped\n  expected: a test that fails\n  got:      it passes",
        ),
        (
            |it| it.replace(PATCH, "2 * number", "3 * number"),
            "1.patch\n  expected: a test that passes\n  got:      FAILED: tests::exercise_1_doubles",
        ),
        (
            |it| it.replace(PATCH, "2 * number", "number.max(1) * 2"),
            "the lesson's other tests still pass\n  got:      FAILED: tests::doubles_zero_to_zero",
        ),
        (
            |it| it.replace(PATCH, "2 * number", "2 * nothing"),
            "1.patch\n  expected: code that compiles",
        ),
        (
            |it| it.replace("01-tiny/src/lib.rs", "/// Twice", "/// Two times"),
            "1.patch\n  expected: a patch that applies",
        ),
        (
            |it| {
                it.replace(
                    PATCH,
                    "+++ b/01-tiny/src/lib.rs",
                    "+++ b/01-tiny/src/tests.rs",
                )
            },
            "1.patch\n  expected: a change of the lesson, not of its tests",
        ),
        (|it| it.remove(PATCH), "1.patch\n  expected: a file"),
    ];
    for (break_it, complaint) in cases {
        let fixture = Fixture::new();
        break_it(&fixture);
        let found = text(&check(&fixture.course, fixture.lesson()).unwrap());
        assert!(
            found.contains(complaint),
            "{complaint}\nis missing in\n{found}"
        );
    }
}

#[test]
fn the_working_copy_stays_as_it_is_and_its_changes_are_seen() {
    let fixture = Fixture::new();
    let before: Vec<String> = contents(&fixture);
    assert_eq!(check(&fixture.course, fixture.lesson()).unwrap(), []);
    assert_eq!(contents(&fixture), before);
    // The second time the copy is there already, built from what was there before.
    fixture.replace("01-tiny/src/tests.rs", "double(2), 4", "double(2), 2");
    let found = text(&check(&fixture.course, fixture.lesson()).unwrap());
    assert!(found.contains("as shipped"), "{found}");
}

/// The repository around the copy ignores it, and git would leave it alone.
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
    assert_eq!(check(&fixture.course, fixture.lesson()).unwrap(), []);
}

fn contents(fixture: &Fixture) -> Vec<String> {
    let read = |(file, _): &(&str, &str)| fs::read_to_string(fixture.course.root.join(file));
    FILES.iter().map(|it| read(it).unwrap()).collect()
}
