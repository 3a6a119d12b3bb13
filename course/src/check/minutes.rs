//! Checks the minutes on a lesson's page. They are computed, not felt.

use crate::check::reading;
use crate::lesson::{Course, Lesson, read};
use crate::page::{self, Head, Minutes};
use crate::problem::{Problem, Result};

/// How many words of a page are read in a minute, and how many lines of code.
const WORDS: f64 = 130.0;
const LINES: f64 = 15.0;

/// The minutes that *Run it*, a *Break it*, an exercise and the reading of what `conform` does take.
const RUN: f64 = 3.0;
const BREAK: f64 = 4.0;
const EXERCISE: f64 = 10.0;
const HARDEN: f64 = 10.0;

const LEARN_AT_MOST: u32 = 45;

/// What a page's parts amount to.
pub struct Computed {
    words: usize,
    lines: usize,
    breaks: usize,
    pub learn: f64,
    pub exercises: f64,
    pub harden: f64,
}

pub fn compute(course: &Course, lesson: &Lesson, text: &str) -> Result<Computed> {
    let lines = reading::lines(course, lesson, text)?;
    let parts = |heading: &str| page::section(text, heading);
    let items = |heading: &str| parts(heading).map_or(0, |part| page::items(text, &part).len());
    let end = parts("Break it").map_or(usize::MAX, |part| part.end);
    let (words, breaks) = (page::words(text, &(1..end)), items("Break it"));
    let hardening = parts("Harden it").map_or(0, |part| page::words(text, &part));
    Ok(Computed {
        words,
        lines,
        breaks,
        learn: words as f64 / WORDS + lines as f64 / LINES + RUN + BREAK * breaks as f64,
        exercises: EXERCISE * items("Exercises") as f64,
        harden: hardening as f64 / WORDS + HARDEN,
    })
}

impl Computed {
    /// To five minutes.
    pub fn rounded(&self) -> Minutes {
        let round = |minutes: f64| (minutes / 5.0).round() as u32 * 5;
        Minutes {
            learn: round(self.learn),
            exercises: round(self.exercises),
            harden: round(self.harden),
        }
    }
}

pub fn check(course: &Course, lesson: &Lesson) -> Result<Vec<Problem>> {
    let page = lesson.page();
    let mut problems = Vec::new();
    let text = read(&course.root.join(&page)).unwrap_or_default();
    // What is no number is a matter of shape.
    let Some(stated) = Head::of(&text).minutes() else {
        return Ok(problems);
    };
    let computed = compute(course, lesson, &text)?;
    let rounded = computed.rounded();
    let (words, lines, breaks) = (computed.words, computed.lines, computed.breaks);
    let of = format!(" ({words} words, {lines} lines to read, {breaks} times Break it)");
    for (what, stated, exactly, rounded, of) in [
        ("learn", stated.learn, computed.learn, rounded.learn, &*of),
        (
            "exercises",
            stated.exercises,
            computed.exercises,
            rounded.exercises,
            "",
        ),
        ("harden", stated.harden, computed.harden, rounded.harden, ""),
    ] {
        let is_close = (f64::from(stated) - exactly).abs() <= (exactly / 5.0).max(3.0);
        if !is_close || stated % 5 != 0 {
            let expected = format!("{what} {rounded}{of}");
            let got = format!("{what} {stated}");
            problems.push(Problem::new(format!("{page}:5"), expected, got));
        }
    }
    if rounded.learn > LEARN_AT_MOST || stated.learn > LEARN_AT_MOST {
        let expected = format!("at most {LEARN_AT_MOST} minutes to learn");
        let got = format!("{:.0} minutes{of}", computed.learn);
        problems.push(Problem::new(format!("{page}:5"), expected, got));
    }
    Ok(problems)
}
