//! Finds the exercises of a lesson, and tells which are solved in this working copy.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::cargo;
use crate::lesson::{Course, Lesson, files_under, read};
use crate::problem::Result;
use crate::processes::{Finished, silent};

/// A test that fails until the reader has solved an exercise.
#[derive(Debug, PartialEq)]
pub struct Exercise {
    pub number: String,
    /// `exercise_1_divides`
    pub name: String,
    /// `tests::exercise_1_divides`
    pub path: String,
    /// The file below the lesson's folder, and the line of the function.
    pub file: PathBuf,
    pub line: usize,
    /// Whether `#[ignore = "exercise 1: …"]` stands above it.
    pub is_ignored: bool,
}

/// Lists the exercises of `lessons`, solved or open.
pub fn list(course: &Course, lessons: &[Lesson], out: &mut impl Write) -> Result<()> {
    let built = cargo::tests(course, lessons)?;
    let mut all = Vec::new();
    for lesson in lessons {
        all.push((lesson, in_lesson(&course.path(lesson))?));
    }
    // A test that waits for what nobody has written yet takes its time. The others need not wait for it.
    let (next, solved) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || -> Result<()> {
        while let Some((lesson, exercises)) = all.get(next.fetch_add(1, Ordering::SeqCst)) {
            let tests = built.get(&lesson.name).and_then(|it| it.tests.as_ref());
            let (Some(tests), false) = (tests, exercises.is_empty()) else {
                continue;
            };
            let exercises: Vec<&Exercise> = exercises.iter().collect();
            let results = run(course, tests, &course.path(lesson), &exercises)?;
            let mut solved = solved.lock().unwrap_or_else(|it| it.into_inner());
            solved.insert(lesson.number.clone(), results.passed);
        }
        Ok(())
    };
    thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().map_err(|_| "a test could not be run")??;
        }
        Ok(())
    })?;
    let solved = solved.into_inner().unwrap_or_else(|it| it.into_inner());

    let is_solved = |lesson: &Lesson, exercise: &Exercise| {
        let results = solved.get(&lesson.number);
        results.and_then(|it| it.get(&exercise.path)) == Some(&true)
    };
    let tasks = all.iter().flat_map(|(_, exercises)| exercises);
    let width = tasks.map(|it| it.task().chars().count()).max().unwrap_or(0);
    let mut first_open = None;
    for (lesson, exercises) in &all {
        for exercise in exercises {
            let (number, task) = (&exercise.number, exercise.task());
            let state = if is_solved(lesson, exercise) {
                "solved"
            } else {
                first_open = first_open.or(Some((lesson, exercise)));
                "open"
            };
            writeln!(
                out,
                "{} · {number} · {task:<width$}  {state}",
                lesson.number
            )?;
        }
    }
    match first_open {
        None => writeln!(out, "\nNothing is open.")?,
        Some((lesson, exercise)) => writeln!(
            out,
            "\nNext: exercise {} in {folder}/README.md. Delete the #[ignore] line of\n\
             {} in {folder}/{}, run\n`cargo test -p {}`, and make it pass.",
            exercise.number,
            exercise.name,
            exercise.file.display(),
            lesson.name,
            folder = lesson.folder(),
        )?,
    }
    Ok(())
}

/// The exercises in a lesson's `src/tests.rs` and `src/tests/*.rs`, in their order.
pub fn in_lesson(folder: &Path) -> Result<Vec<Exercise>> {
    let mut exercises = Vec::new();
    let below = files_under(&folder.join("src/tests"))?;
    let files = below.iter().map(|file| Path::new("src/tests").join(file));
    for file in [PathBuf::from("src/tests.rs")].into_iter().chain(files) {
        let path = folder.join(&file);
        if path.is_file() {
            exercises.extend(in_file(&file, &read(&path)?));
        }
    }
    exercises.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(exercises)
}

pub fn in_file(file: &Path, source: &str) -> Vec<Exercise> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let mut exercises = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let Some(name) = line
            .strip_prefix("fn ")
            .and_then(|rest| rest.split('(').next())
        else {
            continue;
        };
        let Some(number) = number_in(name) else {
            continue;
        };
        let attribute = format!("#[ignore = \"exercise {number}: ");
        let attributes = lines[..index].iter().rev();
        let is_ignored = attributes
            .take_while(|line| line.starts_with("#["))
            .any(|line| line.starts_with(&attribute));
        exercises.push(Exercise {
            number: number.to_owned(),
            name: name.to_owned(),
            path: format!("{}::{name}", module(file)),
            file: file.to_path_buf(),
            line: index + 1,
            is_ignored,
        });
    }
    exercises
}

/// `1` for `exercise_1_divides`.
pub fn number_in(name: &str) -> Option<&str> {
    let (number, what) = name.strip_prefix("exercise_")?.split_once('_')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !what.is_empty()).then_some(number)
}

/// `tests::garbage` for `src/tests/garbage.rs`.
fn module(file: &Path) -> String {
    let names = file.with_extension("");
    let names = names
        .iter()
        .skip(1)
        .map(|name| name.to_string_lossy().into_owned());
    names.collect::<Vec<_>>().join("::")
}

impl Exercise {
    /// `divides` for `exercise_1_divides`.
    fn task(&self) -> String {
        let what = self.name.splitn(3, '_').nth(2);
        what.unwrap_or_default().replace('_', " ")
    }
}

/// What a run of tests has shown.
pub struct Results {
    /// By path: whether the test passed.
    pub passed: BTreeMap<String, bool>,
    pub finished: Finished,
}

/// Runs the tests of `exercises`, ignored or not, all at once.
pub fn run(
    course: &Course,
    tests: &Path,
    folder: &Path,
    exercises: &[&Exercise],
) -> Result<Results> {
    let mut words = vec!["--include-ignored", "--exact"];
    words.extend(exercises.iter().map(|it| it.path.as_str()));
    run_tests(course, tests, folder, &words)
}

/// Runs a test executable as cargo does, in the folder of its package.
pub fn run_tests(course: &Course, tests: &Path, folder: &Path, words: &[&str]) -> Result<Results> {
    let mut command = silent(tests);
    command.args(words).current_dir(folder);
    let finished = course.children.run(&mut command, course.limit)?;
    let passed = finished.stdout.iter().filter_map(|line| result_in(line));
    Ok(Results {
        passed: passed.collect(),
        finished,
    })
}

/// `test tests::exercise_1_divides ... ok`
fn result_in(line: &str) -> Option<(String, bool)> {
    let (path, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match result {
        "ok" => Some((path.to_owned(), true)),
        "FAILED" => Some((path.to_owned(), false)),
        _ => None,
    }
}
