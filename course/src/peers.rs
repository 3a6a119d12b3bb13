//! Runs other software against the lessons: the scripts in `peers`, each beside the server of its lesson.

use std::io::Write;
use std::time::Instant;

use crate::lesson::{Course, Lesson, files_under, read};
use crate::peers::environment::Environment;
use crate::peers::play::Play;
use crate::peers::script::{Language, Script};
use crate::peers::tools::Tools;
use crate::problem::Result;

pub mod environment;
pub mod play;
pub mod script;
pub mod tools;

/// Runs the peers of `lessons`, and those of the whole course if these are all lessons, or none. Returns the exit code.
pub fn run(course: &Course, lessons: &[Lesson], tools: &Tools, out: &mut impl Write) -> Result<u8> {
    let scripts = scripts(course, lessons)?;
    if scripts.is_empty() {
        return Err(match lessons {
            [lesson] => format!("no script in `peers` belongs to lesson {}", lesson.number),
            _ => "there are no scripts in `peers`".to_owned(),
        }
        .into());
    }
    let missing = tools.missing(course, &scripts)?;
    if !missing.is_empty() {
        let sentences = missing.join("\n");
        return Err(format!("missing on this machine:\n{sentences}").into());
    }
    let environment = Environment::prepare(course, tools, &scripts, out)?;
    let begin = Instant::now();
    let (mut cases, mut problems) = (0, 0);
    let mut play = Play::new(course, &environment);
    for script in &scripts {
        writeln!(out, "{}", script.name)?;
        let found = play.run(script, out)?;
        cases += found.cases;
        problems += found.failed;
        for problem in &found.problems {
            problems += 1;
            write!(out, "{problem}")?;
        }
        out.flush()?;
    }
    let seconds = begin.elapsed().as_secs();
    let count = |count, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let of = format!(
        "{} in {}",
        count(cases, "case"),
        count(scripts.len(), "script")
    );
    match problems {
        0 => writeln!(out, "{of} passed in {seconds} s")?,
        1 => writeln!(out, "1 problem in {of}, found in {seconds} s")?,
        many => writeln!(out, "{many} problems in {of}, found in {seconds} s")?,
    }
    Ok(u8::from(problems > 0))
}

/// The scripts of `lessons` in their order: `16_health.py`, `16_health.mjs`. Those that begin with `00_` are for the
/// whole course.
pub fn scripts<'a>(course: &Course, lessons: &'a [Lesson]) -> Result<Vec<Script<'a>>> {
    let folder = course.root.join("peers");
    let mut scripts = Vec::new();
    for file in files_under(&folder)? {
        let name = file.to_string_lossy().into_owned();
        let (Some((number, _)), Some(language)) = (name.split_once('_'), Language::of(&file))
        else {
            continue;
        };
        let lesson = lessons.iter().find(|it| it.number == number);
        let is_for_all = number == "00" && [0, course.lessons.len()].contains(&lessons.len());
        if lesson.is_some() || is_for_all {
            let text = read(&folder.join(&file))?;
            scripts.push(Script::new(name, lesson, language, &text));
        }
    }
    Ok(scripts)
}
