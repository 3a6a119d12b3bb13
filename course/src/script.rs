//! Reads the `console` blocks of a page: commands, what they print, and what is typed.

use std::ops::Range;

use crate::compare::LEFT_OUT;
use crate::page;
use crate::problem::Problem;

/// A command on a page, and what the page says happens then.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub line: usize,
    /// `cargo 04 client Ann`
    pub command: String,
    /// What is set for this command alone: `RUST_LOG=debug cargo 17 server`.
    pub variables: Vec<(String, String)>,
    /// The words of the command without its variables: `cargo`, `15`, `ask`, `{"value": 16}`.
    pub words: Vec<String>,
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
                scripts.push(Script::new(line.number, &line.text[2..]));
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
    pub fn new(line: usize, command: &str) -> Self {
        let mut words = words(command);
        let variables: Vec<_> = words.iter().map_while(|word| variable(word)).collect();
        words.drain(..variables.len());
        Self {
            line,
            command: command.trim().to_owned(),
            variables,
            words,
            steps: Vec::new(),
        }
    }

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

    /// Whether the page shows, or may leave out, that the program says where it listens. If not, it ends by itself.
    pub fn listens(&self) -> bool {
        let mut printed = self.steps.iter();
        self.steps.is_empty()
            || printed.any(|step| {
                matches!(step, Step::Prints(line)
                    if line.starts_with("listening on ") || line.trim() == LEFT_OUT)
            })
    }
}

fn variable(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|it| it.is_ascii_uppercase() || it == b'_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

/// The words of a command as a shell takes them: what stands in quotation marks is one.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (None::<String>, None);
    for letter in command.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}
