//! What can be asked of `cargo course`.

use std::env;
use std::io::{self, Write};

use crate::check;
use crate::exercises;
use crate::lesson::{Course, Lesson};
use crate::new;
use crate::peers;
use crate::peers::tools::Tools;
use crate::problem::Result;
use crate::run::{self, View};
use crate::table;

const USAGE: &str = "\
cargo course                  the table of lessons
cargo course 04               run lesson 04: its server and its client
cargo course 04 --wire        the same with the wire view between the two
cargo course exercises [04]   which exercises are solved, in all lessons or in one
cargo course check [04]       check all lessons, or one
cargo course peers [04]       run other software against all lessons, or one
cargo course new FOLDER       begin a project of your own, outside of the course
";

#[derive(Debug)]
pub enum Command<'a> {
    Table,
    Help,
    Run(&'a Lesson, View),
    Exercises(&'a [Lesson]),
    Check(&'a [Lesson]),
    Peers(&'a [Lesson]),
    New(String),
}

impl<'a> Command<'a> {
    /// # Errors
    ///
    /// One sentence for whoever typed `words`.
    pub fn parse(course: &'a Course, words: &[String]) -> std::result::Result<Self, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            [] => Ok(Self::Table),
            ["help" | "--help" | "-h"] => Ok(Self::Help),
            ["exercises", ref which @ ..] => Ok(Self::Exercises(one_or_all(course, which)?)),
            ["check", ref which @ ..] => Ok(Self::Check(one_or_all(course, which)?)),
            // What belongs to no lesson.
            ["peers", "00"] => Ok(Self::Peers(&[])),
            ["peers", ref which @ ..] => Ok(Self::Peers(one_or_all(course, which)?)),
            ["new"] => Err("`cargo course new` needs the name of a folder, like ../greeter".into()),
            ["new", folder] => Ok(Self::New(folder.to_owned())),
            ["new", _, surplus, ..] => Err(format!(
                "`{surplus}` is one argument too many; put a name with blanks in quotation marks"
            )),
            [which] => match course.select(which) {
                Ok(lesson) => Ok(Self::Run(&lesson[0], View::Programs)),
                Err(sentence) => Err(meant(&words).unwrap_or(sentence)),
            },
            [which, "--wire"] | ["--wire", which] => {
                Ok(Self::Run(&course.select(which)?[0], View::Wire))
            }
            ["help" | "--help" | "-h", surplus, ..] => Err(too_many(surplus)),
            [which, surplus, ..] => {
                course
                    .select(which)
                    .map_err(|sentence| meant(&words).unwrap_or(sentence))?;
                Err(too_many(surplus))
            }
        }
    }

    /// Does what was asked and returns the exit code.
    pub fn execute(&self, course: &Course) -> Result<u8> {
        let mut out = io::stdout();
        match self {
            Self::Table => out.write_all(table::table(course).as_bytes())?,
            Self::Help => out.write_all(USAGE.as_bytes())?,
            Self::Run(lesson, view) => return run::run(course, lesson, *view, &mut out),
            Self::Exercises(lessons) => exercises::list(course, lessons, &mut out)?,
            Self::New(folder) => new::new(course, &env::current_dir()?, folder, &mut out)?,
            Self::Check(lessons) => return check::check(course, lessons, &mut out),
            Self::Peers(lessons) => {
                return peers::run(course, lessons, &Tools::default(), &mut out);
            }
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

/// What was probably meant, if the first word is nearly one that exists.
fn meant(words: &[&str]) -> Option<String> {
    let (first, rest) = words.split_first()?;
    let word = ["exercises", "check", "help", "new", "peers"]
        .into_iter()
        .find(|word| distance(word, first) <= 2)?;
    let command = [&["cargo", "course", word], rest].concat().join(" ");
    Some(format!(
        "there is no lesson `{first}`; did you mean `{command}`?"
    ))
}

/// How many letters must be put in, taken out or replaced to get from one word to another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn too_many(surplus: &str) -> String {
    format!("`{surplus}` is one argument too many; `cargo course help` lists what can be asked")
}
