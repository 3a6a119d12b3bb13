//! Runs the lessons and checks the course. `cargo course help` says how.

use std::env;
use std::io::{self, Write};
use std::process::{self, ExitCode};
use std::time::Duration;

use self::lesson::{Course, Lesson};
use self::problem::Result;
use self::run::View;

mod cargo;
mod check;
mod exercises;
mod lesson;
mod manners;
mod page;
mod problem;
mod processes;
mod run;
mod shape;
mod solutions;
mod table;
mod transcript;

#[cfg(test)]
mod tests;

/// Where every lesson's server listens, and where its client looks for it.
const ADDRESS: &str = "127.0.0.1:50051";

/// How long a program may take in a check. The slowest lesson so far takes nine seconds.
const LIMIT: Duration = Duration::from_secs(60);

const USAGE: &str = "\
cargo course                  the table of lessons
cargo course 04               run lesson 04: its server and its client
cargo course 04 --wire        the same with the wire view between the two
cargo course exercises [04]   which exercises are solved, in all lessons or in one
cargo course check [04]       check all lessons, or one
";

fn main() -> ExitCode {
    let course = match Course::find(ADDRESS, LIMIT) {
        Ok(course) => course,
        Err(error) => return fail(&error.to_string(), 1),
    };
    let words: Vec<String> = env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let command = match Command::parse(&course, &words) {
        Ok(command) => command,
        Err(sentence) => return fail(&sentence, 2),
    };

    let children = course.children.clone();
    let handler = ctrlc::set_handler(move || {
        // Held to the end of the process, so that nothing new is started and nothing more is said.
        let _stopped = children.stop_all();
        process::exit(130);
    });
    match handler
        .map_err(Into::into)
        .and_then(|()| command.execute(&course))
    {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&error.to_string(), 1),
    }
}

fn fail(sentence: &str, code: u8) -> ExitCode {
    eprintln!("{sentence}");
    ExitCode::from(code)
}

#[derive(Debug)]
enum Command<'a> {
    Table,
    Help,
    Run(&'a Lesson, View),
    Exercises(&'a [Lesson]),
    Check(&'a [Lesson]),
}

impl<'a> Command<'a> {
    /// # Errors
    ///
    /// One sentence for whoever typed `words`.
    fn parse(course: &'a Course, words: &[String]) -> std::result::Result<Self, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            [] => Ok(Self::Table),
            ["help" | "--help" | "-h"] => Ok(Self::Help),
            ["exercises", ref which @ ..] => Ok(Self::Exercises(one_or_all(course, which)?)),
            ["check", ref which @ ..] => Ok(Self::Check(one_or_all(course, which)?)),
            [which] => Ok(Self::Run(&course.select(which)?[0], View::Programs)),
            [which, "--wire"] | ["--wire", which] => {
                Ok(Self::Run(&course.select(which)?[0], View::Wire))
            }
            [_, surplus, ..] => Err(too_many(surplus)),
        }
    }

    /// Does what was asked and returns the exit code.
    fn execute(&self, course: &Course) -> Result<u8> {
        let mut out = io::stdout();
        match self {
            Self::Table => out.write_all(table::table(course).as_bytes())?,
            Self::Help => out.write_all(USAGE.as_bytes())?,
            Self::Run(lesson, view) => {
                return run::run(course, lesson, *view, run::Input::Terminal, &mut out);
            }
            Self::Exercises(lessons) => exercises::list(course, lessons, &mut out)?,
            Self::Check(lessons) => return check::check(course, lessons, &mut out),
        }
        Ok(0)
    }
}

fn one_or_all<'a>(course: &'a Course, which: &[&str]) -> std::result::Result<&'a [Lesson], String> {
    match which {
        [] => Ok(&course.lessons),
        [which] => course.select(which),
        [_, surplus, ..] => Err(too_many(surplus)),
    }
}

fn too_many(surplus: &str) -> String {
    format!("`{surplus}` is one argument too many; `cargo course help` lists what can be asked")
}
