//! Proves each exercise: as shipped its tests fail; with its solution they pass, and all others still do.

use std::collections::BTreeSet;
use std::path::Path;

use crate::check::sandbox::{Change, Copies};
use crate::exercises::{self, Exercise, Results};
use crate::lesson::{Course, Lesson};
use crate::problem::{Problem, Result};

/// How the names of these changes begin.
pub const PREFIX: &str = "solution-";

/// The changes that the solutions of `exercises` make.
pub fn changes(exercises: &[Exercise]) -> Vec<Change> {
    let change = |number: &&str| Change {
        name: format!("{PREFIX}{number}"),
        patch: format!("solutions/{number}.patch"),
        programs: false,
        tests: true,
    };
    numbers(exercises).iter().map(change).collect()
}

fn numbers(exercises: &[Exercise]) -> BTreeSet<&str> {
    exercises.iter().map(|it| it.number.as_str()).collect()
}

/// `tests`: the lesson's own as shipped.
pub fn check(
    course: &Course,
    lesson: &Lesson,
    exercises: &[Exercise],
    tests: &Path,
    copies: &mut Copies,
) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let place = |exercise: &Exercise| {
        let file = crate::check::shape::slashes(&exercise.file);
        format!("{}/{file}: {}", lesson.folder(), exercise.name)
    };
    let all: Vec<&Exercise> = exercises.iter().collect();
    let results = exercises::run(course, tests, &course.path(lesson), &all)?;
    for exercise in exercises {
        if results.passed.get(&exercise.path) != Some(&false) {
            let place = format!("{} as shipped", place(exercise));
            let got = results.got(&exercise.path);
            problems.push(Problem::new(place, "a test that fails", got));
        }
    }
    for number in numbers(exercises) {
        let copy = match copies.remove(&format!("{PREFIX}{number}")) {
            Some(Ok(copy)) => copy,
            Some(Err(problem)) => {
                problems.push(problem);
                continue;
            }
            None => continue,
        };
        let Some(tests) = &copy.built.tests else {
            continue;
        };
        let patch = format!("{}/solutions/{number}.patch", lesson.folder());
        let solved: Vec<&Exercise> = exercises.iter().filter(|it| it.number == number).collect();
        let results = exercises::run(course, tests, &copy.folder, &solved)?;
        for exercise in solved {
            if results.passed.get(&exercise.path) != Some(&true) {
                let place = format!("{} with {patch}", place(exercise));
                let got = results.got(&exercise.path);
                problems.push(Problem::new(place, "a test that passes", got));
            }
        }
        let results = exercises::run_tests(course, tests, &copy.folder, &[])?;
        if !results.finished.status.is_some_and(|it| it.success()) {
            let expected = "the lesson's other tests still pass";
            problems.push(Problem::new(patch, expected, results.failures()));
        }
    }
    Ok(problems)
}

impl Results {
    /// What became of one test.
    fn got(&self, path: &str) -> String {
        match self.passed.get(path) {
            Some(true) => "it passes".to_owned(),
            Some(false) => format!("it fails:\n{}", self.output()),
            None => format!("no result ({}):\n{}", self.finished.ending(), self.output()),
        }
    }

    fn failures(&self) -> String {
        let failed = self.passed.iter().filter(|(_, passed)| !**passed);
        let failed: Vec<&str> = failed.map(|(path, _)| path.as_str()).collect();
        match &failed[..] {
            [] => format!("{}:\n{}", self.finished.ending(), self.output()),
            _ => format!("FAILED: {}:\n{}", failed.join(", "), self.output()),
        }
    }

    /// What the tests that failed have said.
    fn output(&self) -> String {
        let lines = self.finished.stdout.iter().chain(&self.finished.stderr);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("test "));
        lines.map(|line| format!("    {line}\n")).collect()
    }
}
