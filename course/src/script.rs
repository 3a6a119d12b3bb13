//! Reads the `console` blocks of a page: commands, what they print, and what is typed.

use std::ops::Range;

use crate::page;
use crate::problem::Problem;

/// A command on a page, and what the page says happens then.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub line: usize,
    /// `cargo 04 client Ann`
    pub command: String,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The program prints this line.
    Prints(String),
    /// The reader types this line.
    Types(String),
}

/// The scripts of a page, and what in its blocks is none.
pub fn scripts(page: &str, text: &str) -> (Vec<Script>, Vec<Problem>) {
    let (mut scripts, mut problems) = (Vec::new(), Vec::new());
    let mut wrong = |line: usize, expected: &str, got: &str| {
        problems.push(Problem::new(format!("{page}:{line}"), expected, got));
    };
    for block in page::split(text).0 {
        let first = scripts.len();
        for line in &block.lines {
            let is_command = line.text.starts_with("$ ");
            if block.language != "console" {
                if is_command {
                    wrong(line.number, "commands in a `console` block", line.text);
                }
            } else if is_command {
                scripts.push(Script {
                    line: line.number,
                    command: line.text[2..].trim().to_owned(),
                    steps: Vec::new(),
                });
            } else if scripts.len() == first {
                let expected = "a `console` block that begins with `$ `";
                wrong(line.number, expected, line.text);
            } else if let Some(script) = scripts.last_mut() {
                script.steps.push(match line.text.strip_prefix("> ") {
                    Some(typed) => Step::Types(typed.to_owned()),
                    None => Step::Prints(line.text.to_owned()),
                });
            }
        }
    }
    (scripts, problems)
}

/// Those of the scripts that stand in a part of the page.
pub fn within(scripts: &[Script], part: &Range<usize>) -> Vec<Script> {
    let stands_there = |script: &&Script| part.contains(&script.line);
    scripts.iter().filter(stands_there).cloned().collect()
}

impl Script {
    pub fn printed(&self) -> Vec<String> {
        let printed = self.steps.iter().filter_map(|step| match step {
            Step::Prints(line) => Some(line.clone()),
            Step::Types(_) => None,
        });
        printed.collect()
    }

    pub fn is_typed(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Types(_)))
    }
}
