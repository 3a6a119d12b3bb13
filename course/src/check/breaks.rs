//! Plays the answers of *Break it*, each with its change made.

use crate::cargo::Programs;
use crate::check::sandbox::{Change, Copies};
use crate::compare::LEFT_OUT;
use crate::lesson::{Course, Lesson};
use crate::page;
use crate::problem::{Problem, Result};
use crate::script::{self, Script, Step};
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
        let mut scripts = script::within(&scripts, &item.lines);
        let is_test = |it: &Script| it.command.starts_with("cargo test ");
        if !scripts.iter().all(is_test) {
            run_both(lesson, &mut scripts);
        }
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

/// The reader runs both programs, the server first, whichever of them the answer shows. What else stands before
/// the server (`certs`) is run before it.
fn run_both(lesson: &Lesson, scripts: &mut Vec<Script>) {
    let number = &lesson.number;
    let program = |script: &Script| match &script.words[..] {
        [_, own, program, ..] if own == number => Some(program.clone()),
        _ => None,
    };
    let is = |script: &Script, name: &str| program(script).as_deref() == Some(name);
    let line = scripts.first().map_or(0, |script| script.line);
    let not_shown = |program| Script {
        steps: vec![Step::Prints(LEFT_OUT.to_owned())],
        ..Script::new(line, &format!("cargo {number} {program}"))
    };
    let server = scripts.iter().position(|it| is(it, "server"));
    if let Some(server) = server {
        scripts[..=server].sort_by_key(|it| is(it, "client"));
    } else {
        scripts.insert(0, not_shown("server"));
    }
    let mut after = scripts.iter().skip_while(|it| !is(it, "server"));
    if !after.any(|it| program(it).is_some_and(|it| it != "server")) {
        scripts.push(not_shown("client"));
    }
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
