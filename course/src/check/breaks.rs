//! Plays the answers of *Break it*, each with its change made.

use crate::cargo::Programs;
use crate::check::sandbox::{Change, Copies};
use crate::lesson::{Course, Lesson};
use crate::page;
use crate::problem::{Problem, Result};
use crate::script::{self, Script};
use crate::session::Setting;

/// The answer to one item: what was changed, and what happens then.
pub struct Answer {
    pub change: Change,
    scripts: Vec<Script>,
}

/// The answers on a lesson's page.
pub fn answers(lesson: &Lesson, text: &str) -> Vec<Answer> {
    let Some(section) = page::section(text, "Break it") else {
        return Vec::new();
    };
    let (scripts, _) = script::scripts(&lesson.page(), text);
    let answer = |item: page::Item| {
        let scripts = script::within(&scripts, &item.lines);
        let is_test = |it: &Script| it.command.starts_with("cargo test ");
        let change = Change {
            name: format!("break-{}", item.number),
            patch: format!("breaks/{}.patch", item.number),
            programs: !scripts.iter().all(is_test),
            tests: scripts.iter().any(is_test),
        };
        Answer { change, scripts }
    };
    let items = page::items(text, &section);
    items.into_iter().map(answer).collect()
}

/// What of `answers` is not what happens in the copies.
pub fn check(
    course: &Course,
    lesson: &Lesson,
    answers: &[Answer],
    copies: &mut Copies,
) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for Answer { change, scripts } in answers {
        match copies.remove(&change.name) {
            None => {}
            Some(Err(problem)) => problems.push(problem),
            Some(Ok(copy)) => {
                let setting = Setting {
                    course,
                    page: &lesson.page(),
                    own: Some(lesson),
                    programs: Programs::from([(lesson.name.clone(), copy.built)]),
                    copy: Some(&copy.folder),
                };
                problems.extend(setting.play(scripts)?);
            }
        }
    }
    Ok(problems)
}
