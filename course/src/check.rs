//! Checks the course: shape, minutes, transcripts, failure messages, breaks and solutions.

use std::io::Write;
use std::thread;
use std::time::Instant;

use crate::cargo::{self, Built, Programs};
use crate::check::sandbox::Copies;
use crate::exercises;
use crate::lesson::{Course, Lesson, read};
use crate::page;
use crate::problem::{Problem, Result};
use crate::run::address_is_free;
use crate::script;
use crate::session::Setting;

pub mod breaks;
pub mod failure_messages;
pub mod foot;
pub mod minutes;
mod peer;
pub mod reading;
pub mod sandbox;
pub mod shape;
pub mod solutions;

/// The pages that belong to no lesson.
const PAGES: [&str; 6] = [
    "README.md",
    "CONTRIBUTING.md",
    "protos/README.md",
    "conform/README.md",
    "wire/README.md",
    "peers/README.md",
];

/// Checks `lessons`, and the course's own pages if these are all lessons. Returns the exit code.
pub fn check(course: &Course, lessons: &[Lesson], out: &mut impl Write) -> Result<u8> {
    if let Some(lesson) = lessons.first() {
        address_is_free(course, lesson)?;
    }
    let mut tally = Tally::new(out);
    if lessons.len() == course.lessons.len() {
        for page in PAGES.iter().filter(|page| course.root.join(page).is_file()) {
            let links = shape::links_of(course, page);
            tally.add(&format!("{page} links"), links)?;
            let transcripts = transcripts(course, page, None, Programs::new());
            tally.add(&format!("{page} transcripts"), transcripts)?;
        }
    }
    for lesson in lessons {
        check_lesson(course, lesson, &mut tally)?;
    }
    tally.sum_up()
}

fn check_lesson<W: Write>(course: &Course, lesson: &Lesson, tally: &mut Tally<W>) -> Result<()> {
    let number = &lesson.number;
    let Ok(text) = read(&course.root.join(lesson.page())) else {
        return tally.add(&format!("{number} shape"), form(course, lesson));
    };
    let minutes = minutes::compute(course, lesson, &text)?.rounded();
    let name = format!(
        "{number} shape (learn {}, exercises {}, harden {})",
        minutes.learn, minutes.exercises, minutes.harden
    );
    tally.add(&name, form(course, lesson))?;

    let built = match cargo::all_programs(course, &lesson.name, true) {
        Ok(built) => built,
        Err(error) => {
            let problem = Problem::new(lesson.folder(), "a lesson that compiles", error);
            return tally.add(&format!("{number} programs"), Ok(vec![problem]));
        }
    };
    let programs = Programs::from([(lesson.name.clone(), built.clone())]);
    let transcripts = transcripts(course, &lesson.page(), Some(lesson), programs);
    tally.add(&format!("{number} transcripts"), transcripts)?;
    let failures = failure_messages::check(course, lesson, &built);
    tally.add(&format!("{number} failure messages"), failures)?;
    let [breaks, solutions] = match changes(course, lesson, &built) {
        Ok(found) => found,
        Err(error) => return tally.add(&format!("{number} changes"), Err(error)),
    };
    tally.add(&format!("{number} breaks"), Ok(breaks))?;
    tally.add(&format!("{number} solutions"), Ok(solutions))
}

/// All that can be seen without running anything.
pub fn form(course: &Course, lesson: &Lesson) -> Result<Vec<Problem>> {
    let mut problems = shape::check(course, lesson)?;
    problems.extend(foot::check(course, lesson)?);
    problems.extend(reading::check(course, lesson)?);
    problems.extend(minutes::check(course, lesson)?);
    Ok(problems)
}

/// Plays the scripts of a page. What stands under *Break it* is for a changed lesson.
pub fn transcripts(
    course: &Course,
    page: &str,
    own: Option<&Lesson>,
    programs: Programs,
) -> Result<Vec<Problem>> {
    let text = read(&course.root.join(page))?;
    let (mut scripts, mut problems) = script::scripts(page, &text);
    let answers = own.and_then(|_| page::section(&text, "Break it"));
    scripts.retain(|script| !answers.as_ref().is_some_and(|it| it.contains(&script.line)));
    let setting = Setting {
        course,
        page,
        own,
        programs,
        copy: None,
    };
    problems.extend(setting.play(&scripts)?);
    Ok(problems)
}

/// What happens when the lesson is changed: by *Break it*, and by the solutions.
pub fn changes(course: &Course, lesson: &Lesson, built: &Built) -> Result<[Vec<Problem>; 2]> {
    let answers = breaks::answers(lesson, &read(&course.root.join(lesson.page()))?);
    let exercises = exercises::in_lesson(&course.path(lesson))?;
    let mut changes = solutions::changes(&exercises);
    changes.extend(answers.iter().map(|answer| answer.change.clone()));
    // What is missing is a matter of shape.
    changes.retain(|change| course.path(lesson).join(&change.patch).is_file());
    let copies = sandbox::build(course, lesson, &changes)?;
    let is_solution = |(name, _): &(String, _)| name.starts_with(solutions::PREFIX);
    let (mut solved, mut broken): (Copies, Copies) = copies.into_iter().partition(is_solution);
    let tests = built.tests.as_ref();
    let tests = tests.ok_or_else(|| format!("{} has no tests", lesson.folder()))?;
    // Tests need no address of the lessons' own, so they run while the breaks are played.
    let (breaks, solutions) = thread::scope(|scope| {
        let solving =
            scope.spawn(|| solutions::check(course, lesson, &exercises, tests, &mut solved));
        let breaks = breaks::check(course, lesson, &answers, &mut broken);
        (breaks, solving.join())
    });
    let (breaks, solutions) = (
        breaks?,
        solutions.map_err(|_| "a solution's check broke off")??,
    );
    Ok([breaks, solutions])
}

struct Tally<'a, W> {
    out: &'a mut W,
    begin: Instant,
    passed: usize,
    problems: usize,
}

impl<'a, W: Write> Tally<'a, W> {
    fn new(out: &'a mut W) -> Self {
        Self {
            out,
            begin: Instant::now(),
            passed: 0,
            problems: 0,
        }
    }

    fn add(&mut self, name: &str, found: Result<Vec<Problem>>) -> Result<()> {
        // A check that cannot be made is a problem like any other: the others still can.
        let found = found.unwrap_or_else(|error| vec![Problem::new(name, "a check", error)]);
        if found.is_empty() {
            self.passed += 1;
            writeln!(self.out, "{name} ok")?;
        } else {
            self.problems += found.len();
            writeln!(self.out, "{name} NOT ok")?;
        }
        for problem in found {
            write!(self.out, "{problem}")?;
        }
        self.out.flush()?;
        Ok(())
    }

    fn sum_up(self) -> Result<u8> {
        let seconds = self.begin.elapsed().as_secs();
        match self.problems {
            0 => writeln!(self.out, "{} checks passed in {seconds} s", self.passed)?,
            1 => writeln!(self.out, "1 problem, found in {seconds} s")?,
            many => writeln!(self.out, "{many} problems, found in {seconds} s")?,
        }
        Ok(u8::from(self.problems > 0))
    }
}
