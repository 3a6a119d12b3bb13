//! Checks the course: shape, transcripts, manners, solutions.

use std::io::Write;

use crate::cargo;
use crate::lesson::{Course, Lesson};
use crate::manners;
use crate::problem::{Problem, Result};
use crate::run::address_is_free;
use crate::shape;
use crate::solutions;
use crate::transcript::{self, Stock};

/// The pages that belong to no lesson.
const PAGES: [&str; 3] = ["README.md", "CONTRIBUTING.md", "wire/README.md"];

/// Checks `lessons`, and the course's own pages if these are all lessons. Returns the exit code.
pub fn check(course: &Course, lessons: &[Lesson], out: &mut impl Write) -> Result<u8> {
    if let Some(lesson) = lessons.first() {
        address_is_free(course, lesson)?;
    }
    let mut tally = Tally::default();
    if lessons.len() == course.lessons.len() {
        for page in PAGES.iter().filter(|page| course.root.join(page).is_file()) {
            let links = shape::links_of(course, page);
            tally.add(out, &format!("{page} links"), links)?;
            let transcripts = transcript::check(course, page, None, Stock::default());
            tally.add(out, &format!("{page} transcripts"), transcripts)?;
        }
    }
    for lesson in lessons {
        let number = &lesson.number;
        let shape = shape::check(course, lesson);
        tally.add(out, &format!("{number} shape"), shape)?;

        let programs = cargo::own_programs(course, &lesson.name)?;
        let page = format!("{}/README.md", lesson.folder());
        let stock = Stock::from([(lesson.name.clone(), programs.clone())]);
        let transcripts = transcript::check(course, &page, Some(lesson), stock);
        tally.add(out, &format!("{number} transcripts"), transcripts)?;
        let manners = manners::check(course, lesson, &programs);
        tally.add(out, &format!("{number} manners"), manners)?;

        let solutions = solutions::check(course, lesson);
        tally.add(out, &format!("{number} solutions"), solutions)?;
    }
    tally.sum_up(out)
}

#[derive(Default)]
struct Tally {
    passed: usize,
    problems: usize,
}

impl Tally {
    fn add(&mut self, out: &mut impl Write, name: &str, found: Result<Vec<Problem>>) -> Result<()> {
        // A check that cannot be made is a problem like any other: the others still can.
        let found = found.unwrap_or_else(|error| vec![Problem::new(name, "a check", error)]);
        if found.is_empty() {
            self.passed += 1;
            writeln!(out, "{name} ok")?;
        } else {
            self.problems += found.len();
            writeln!(out, "{name} NOT ok")?;
        }
        for problem in found {
            write!(out, "{problem}")?;
        }
        out.flush()?;
        Ok(())
    }

    fn sum_up(&self, out: &mut impl Write) -> Result<u8> {
        match self.problems {
            0 => writeln!(out, "{} checks passed", self.passed)?,
            1 => writeln!(out, "1 problem")?,
            many => writeln!(out, "{many} problems")?,
        }
        Ok(u8::from(self.problems > 0))
    }
}
