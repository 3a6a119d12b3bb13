//! Proves each exercise in a copy of the course: as shipped its test fails; with the patch it passes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cargo;
use crate::exercises::{self, Exercise, Results};
use crate::lesson::{Course, Lesson, files_under, read};
use crate::problem::{Problem, Result};
use crate::processes::silent;

pub fn check(course: &Course, lesson: &Lesson) -> Result<Vec<Problem>> {
    let exercises = exercises::in_lesson(&course.path(lesson))?;
    let mut bench = Bench::new(course, lesson)?;
    bench.as_shipped(&exercises)?;
    let numbers: BTreeSet<&str> = exercises.iter().map(|it| it.number.as_str()).collect();
    for number in numbers {
        let solved: Vec<&Exercise> = exercises.iter().filter(|it| it.number == number).collect();
        bench.solved(number, &solved)?;
    }
    // Not left patched, for whoever looks into it.
    refresh(course, &bench.copy)?;
    Ok(bench.problems)
}

/// Where one lesson is patched and tested.
struct Bench<'a> {
    course: &'a Course,
    lesson: &'a Lesson,
    copy: PathBuf,
    problems: Vec<Problem>,
}

impl<'a> Bench<'a> {
    fn new(course: &'a Course, lesson: &'a Lesson) -> Result<Self> {
        let copy = course.scratch().join("copy");
        fs::create_dir_all(&copy)?;
        Ok(Self {
            course,
            lesson,
            copy,
            problems: Vec::new(),
        })
    }

    fn as_shipped(&mut self, exercises: &[Exercise]) -> Result<()> {
        refresh(self.course, &self.copy)?;
        let tests = self.build()?;
        for exercise in exercises {
            let results = self.run(&tests, exercise)?;
            if results.passed.get(&exercise.path) != Some(&false) {
                let place = format!("{} as shipped", self.place(exercise));
                self.complain(place, "a test that fails", &results);
            }
        }
        Ok(())
    }

    /// `solved`: the tests of the exercise with this number.
    fn solved(&mut self, number: &str, solved: &[&Exercise]) -> Result<()> {
        refresh(self.course, &self.copy)?;
        let patch = format!("{}/solutions/{number}.patch", self.lesson.folder());
        if let Err(complaint) = self.apply(&patch) {
            self.problems.push(complaint);
            return Ok(());
        }
        let tests = match self.build() {
            Ok(tests) => tests,
            Err(error) => {
                let complaint = Problem::new(patch, "code that compiles", error);
                self.problems.push(complaint);
                return Ok(());
            }
        };
        for exercise in solved {
            let results = self.run(&tests, exercise)?;
            if results.passed.get(&exercise.path) != Some(&true) {
                let place = format!("{} with {patch}", self.place(exercise));
                self.complain(place, "a test that passes", &results);
            }
        }
        let (children, limit) = (&self.course.children, self.course.limit);
        let results = exercises::run_tests(children, &tests, &self.folder(), &[], limit)?;
        if !results.finished.status.is_some_and(|it| it.success()) {
            self.complain(patch, "the lesson's other tests still pass", &results);
        }
        Ok(())
    }

    fn apply(&self, patch: &str) -> std::result::Result<(), Problem> {
        let wrong = |expected: &str, got: &str| Problem::new(patch, expected, got);
        let text = read(&self.copy.join(patch)).map_err(|it| wrong("a file", &it.to_string()))?;
        let targets: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("+++ b/"))
            .collect();
        let tests = format!("{}/src/tests", self.lesson.folder());
        if let Some(test) = targets.iter().find(|target| target.starts_with(&tests)) {
            return Err(wrong("a change of the lesson, not of its tests", test));
        }
        let contents = || targets.iter().map(|it| fs::read(self.copy.join(it)).ok());
        let before: Vec<_> = contents().collect();

        let mut git = silent("git");
        git.args(["-c", "core.autocrlf=false", "apply", "--whitespace=nowarn"])
            .arg(patch)
            .current_dir(&self.copy)
            // No repository. Else git finds the one around the copy, takes the copy for an ignored folder
            // of it, and applies nothing, without an error.
            .env("GIT_DIR", "no-repository")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE");
        let applied = self.course.children.run(&mut git, self.course.limit);
        let applied = applied.map_err(|it| wrong("git", &it.to_string()))?;
        if !applied.status.is_some_and(|status| status.success()) {
            return Err(wrong("a patch that applies", &applied.stderr.join("; ")));
        }
        if targets.is_empty() || contents().zip(before).any(|(now, before)| now == before) {
            return Err(wrong("a patch that changes something", "no change"));
        }
        Ok(())
    }

    fn build(&self) -> Result<PathBuf> {
        // A target folder of its own: cargo gives the packages of a copy the same names there.
        let target = self.course.scratch().join("target");
        cargo::tests(self.course, self.lesson, &self.copy, Some(&target))
    }

    fn run(&self, tests: &Path, exercise: &Exercise) -> Result<Results> {
        let (children, limit) = (&self.course.children, self.course.limit);
        exercises::run(children, tests, &self.folder(), exercise, limit)
    }

    fn complain(&mut self, place: String, expected: &str, results: &Results) {
        let failed = results.passed.iter().filter(|(_, passed)| !**passed);
        let failed: Vec<&str> = failed.map(|(path, _)| path.as_str()).collect();
        let got = match (results.passed.len(), &failed[..]) {
            (0, _) => format!("no result ({})", results.finished.ending()),
            (_, []) => "it passes".to_owned(),
            (_, failed) => format!("FAILED: {}", failed.join(", ")),
        };
        self.problems.push(Problem::new(place, expected, got));
    }

    fn folder(&self) -> PathBuf {
        self.copy.join(self.lesson.folder())
    }

    fn place(&self, exercise: &Exercise) -> String {
        let file = exercise.file.display();
        format!("{}/{file}: {}", self.lesson.folder(), exercise.name)
    }
}

/// Makes `copy` the same as the working copy. Only what differs is written, so that cargo builds no more than
/// it has to; and what is written is new to cargo, so that it builds no less.
fn refresh(course: &Course, copy: &Path) -> Result<()> {
    let files = course_files(course)?;
    for file in files_under(copy)? {
        if !files.contains(&file) {
            fs::remove_file(copy.join(file))?;
        }
    }
    for file in files {
        let (from, to) = (course.root.join(&file), copy.join(&file));
        let content =
            fs::read(&from).map_err(|it| format!("cannot read {}: {it}", from.display()))?;
        if fs::read(&to).ok().as_ref() != Some(&content) {
            fs::create_dir_all(parent(&to))?;
            fs::write(&to, content)?;
        }
    }
    Ok(())
}

/// The files that belong to the course: those that git does not ignore, or all but `target/` if there is no git.
fn course_files(course: &Course) -> Result<BTreeSet<PathBuf>> {
    let mut git = silent("git");
    git.args(["-c", "core.quotePath=false", "ls-files"])
        .args(["--cached", "--others", "--exclude-standard"])
        .current_dir(&course.root);
    if let Ok(listed) = course.children.run(&mut git, course.limit) {
        let files: BTreeSet<PathBuf> = listed.stdout.iter().map(PathBuf::from).collect();
        // Not so where the course was unpacked into an ignored folder of some other repository.
        if files.contains(Path::new("Cargo.toml")) {
            let exists = |file: &PathBuf| course.root.join(file).is_file();
            return Ok(files.into_iter().filter(exists).collect());
        }
    }
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(&course.root)? {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        if !entry.file_type()?.is_dir() {
            files.insert(name);
        } else if name != Path::new("target") && name != Path::new(".git") {
            let below = files_under(&entry.path())?;
            files.extend(below.into_iter().map(|file| name.join(file)));
        }
    }
    Ok(files)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
