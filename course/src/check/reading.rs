//! Checks what *Read it* asks for: each item's files and names exist, and its number of lines is right.

use std::collections::BTreeSet;

use crate::check::shape::lines_with_text;
use crate::lesson::{Course, Lesson, read};
use crate::page::{self, Item};
use crate::problem::{Problem, Result};

/// How many lines *Read it* may ask for in all.
const CAP: usize = 250;

pub fn check(course: &Course, lesson: &Lesson) -> Result<Vec<Problem>> {
    let page = lesson.page();
    let Ok(text) = read(&course.root.join(&page)) else {
        return Ok(Vec::new());
    };
    let mut problems = Vec::new();
    let items = items(&text);
    if items.is_empty() {
        let expected = "a numbered list of files under *Read it*";
        problems.push(Problem::new(&page, expected, "none"));
    }
    let mut sum = 0;
    for item in items {
        let place = format!("{page}:{}", item.lines.start);
        match lines_asked_for(course, lesson, &item)? {
            Ok(lines) => {
                sum += lines;
                let stated = stated(&item);
                if stated.is_none_or(|stated| !is_close(stated, lines)) {
                    let got = stated.map_or("no number".to_owned(), |it| it.to_string());
                    let expected = format!("`({lines} lines)` or about that, at the item's end");
                    problems.push(Problem::new(place, expected, got));
                }
            }
            Err((expected, got)) => problems.push(Problem::new(place, expected, got)),
        }
    }
    if sum > CAP {
        let expected = format!("at most {CAP} lines to read in all");
        let place = format!("{page}: Read it");
        problems.push(Problem::new(place, expected, format!("{sum} lines")));
    }
    Ok(problems)
}

/// How many lines a lesson's page asks the reader to read.
pub fn lines(course: &Course, lesson: &Lesson, text: &str) -> Result<usize> {
    let mut sum = 0;
    for item in items(text) {
        sum += lines_asked_for(course, lesson, &item)?.unwrap_or(0);
    }
    Ok(sum)
}

fn items(text: &str) -> Vec<Item<'_>> {
    let section = page::section(text, "Read it");
    section.map_or(Vec::new(), |it| page::items(text, &it))
}

/// The lines that an item asks for, or what was expected of it and what came instead.
fn lines_asked_for(
    course: &Course,
    lesson: &Lesson,
    item: &Item,
) -> Result<std::result::Result<usize, (String, String)>> {
    let Some(link) = page::links(&item.text).first().copied() else {
        let expected = "a link to the file that is to be read".to_owned();
        return Ok(Err((expected, item.text.trim().to_owned())));
    };
    let file = link.split('#').next().unwrap_or_default();
    let path = course.path(lesson).join(file);
    if !path.is_file() {
        let expected = "a link to a file that exists".to_owned();
        return Ok(Err((expected, link.to_owned())));
    }
    let source = read(&path)?;
    // The link's own text is code too; the names follow it.
    let after = item.text.split_once(&format!("]({link})"));
    let names: Vec<&str> = page::code(after.map_or("", |(_, after)| after)).collect();
    if names.is_empty() {
        return Ok(Ok(lines_with_text(&source)));
    }
    let mut lines = BTreeSet::new();
    for name in names {
        let found = lines_of(&source, name);
        if found.is_empty() {
            let expected = format!("an item `{name}` in {link}");
            return Ok(Err((expected, "no such item".to_owned())));
        }
        lines.extend(found);
    }
    Ok(Ok(lines.len()))
}

/// `45` in `… (45 lines)`
fn stated(item: &Item) -> Option<usize> {
    let (before, _) = item.text.rsplit_once(" lines)")?;
    let (_, number) = before.rsplit_once('(')?;
    number.parse().ok()
}

/// Right within a fifth, or within three lines.
fn is_close(stated: usize, counted: usize) -> bool {
    stated.abs_diff(counted) <= (counted / 5).max(3)
}

/// What begins an item, before its name.
const KEYWORDS: [&str; 13] = [
    "fn ",
    "struct ",
    "enum ",
    "trait ",
    "type ",
    "const ",
    "static ",
    "mod ",
    "macro_rules! ",
    "rpc ",
    "message ",
    "service ",
    "oneof ",
];

/// The numbers of the non-blank lines of the items called `name`, with the comments and attributes above them:
/// `send_factors`, `Abacus::factorize`, `impl Abacus`. A type without a definition in the file means its `impl`.
pub fn lines_of(source: &str, name: &str) -> BTreeSet<usize> {
    let name = name.trim_end_matches("()");
    let lines: Vec<&str> = source.lines().collect();
    if let Some(name) = name.strip_prefix("impl ") {
        return implementations(&lines, name);
    }
    let name = name.rsplit("::").next().unwrap_or(name);
    let defined: BTreeSet<usize> = all(&lines, |line| defines(line, name));
    if defined.is_empty() {
        return implementations(&lines, name);
    }
    defined
}

fn implementations(lines: &[&str], name: &str) -> BTreeSet<usize> {
    all(lines, |line| {
        line.starts_with("impl") && identifiers(line).any(|it| it == name)
    })
}

fn defines(line: &str, name: &str) -> bool {
    let is_it = |keyword: &&str| {
        let Some(at) = line.find(*keyword) else {
            return false;
        };
        // `pub async fn`, `pub(crate) const fn`: only words stand before.
        let before = &line[..at];
        let are_words = before
            .chars()
            .all(|it| it.is_ascii_alphabetic() || " ()".contains(it));
        let is_word = before.is_empty() || before.ends_with(' ');
        are_words && is_word && identifiers(&line[at + keyword.len()..]).next() == Some(name)
    };
    KEYWORDS.iter().any(is_it)
}

fn all(lines: &[&str], begins: impl Fn(&str) -> bool) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for (at, line) in lines.iter().enumerate() {
        if is_comment(line.trim_start()) || !begins(line.trim_start()) {
            continue;
        }
        let above = lines[..at]
            .iter()
            .rposition(|line| !is_comment(line.trim_start()));
        let first = above.map_or(0, |above| above + 1);
        let range = first..=end(lines, at);
        found.extend(range.filter(|&at| !lines[at].trim().is_empty()));
    }
    found
}

/// A comment or an attribute.
fn is_comment(line: &str) -> bool {
    (line.starts_with("//") && !line.starts_with("//!")) || line.starts_with("#[")
}

/// The last line of the item that begins at `begin`, by the indentation that rustfmt gives it.
fn end(lines: &[&str], begin: usize) -> usize {
    let indent = indentation(lines[begin]);
    let is_last = |(at, line): (usize, &&str)| {
        let closes = at > begin && line.trim_start().starts_with('}');
        let line = line.trim_end();
        let is_whole = line.ends_with(';') || (line.ends_with('}') && at == begin);
        indentation(line) == indent && (is_whole || (closes && !line.ends_with('{')))
    };
    let rest = lines.iter().enumerate().skip(begin);
    let mut rest = rest.filter(|(_, line)| !line.trim().is_empty());
    rest.find(|&it| is_last(it)).map_or(begin, |(at, _)| at)
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !(it.is_alphanumeric() || it == '_'))
        .filter(|word| !word.is_empty())
}
