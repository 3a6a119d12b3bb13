//! Reads a page: its head, sections, lists, folded parts, links and blocks of code.

use std::ops::Range;

/// The first three paragraphs of a lesson's page.
#[derive(Debug, Default, PartialEq)]
pub struct Head {
    /// `01 · Unary calls`
    pub heading: String,
    /// What the reader will see.
    pub sentence: String,
    /// `learn 40 minutes, exercises 30, harden 20`, `before: 01`, `next: 03`
    pub facts: Vec<String>,
}

/// How long a lesson takes, by its page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Minutes {
    pub learn: u32,
    pub exercises: u32,
    pub harden: u32,
}

impl Head {
    pub fn of(page: &str) -> Self {
        let mut paragraphs = page.split("\n\n").map(|paragraph| {
            let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
            lines.join(" ")
        });
        let mut next = || paragraphs.next().unwrap_or_default();
        let (heading, sentence, facts) = (next(), next(), next());
        let facts = facts
            .strip_prefix('*')
            .and_then(|facts| facts.strip_suffix('*'));
        Self {
            heading: heading.strip_prefix("# ").unwrap_or_default().to_owned(),
            sentence,
            facts: facts
                .map(|facts| facts.split(" · ").map(str::to_owned).collect())
                .unwrap_or_default(),
        }
    }

    /// `Unary calls`, or nothing where there is no such heading.
    pub fn title(&self) -> &str {
        let parts = self.heading.split_once(" · ");
        parts.map_or("", |(_, title)| title)
    }

    /// The numbers in `learn 40 minutes, exercises 30, harden 20`.
    pub fn minutes(&self) -> Option<Minutes> {
        let rest = self.facts.first()?.strip_prefix("learn ")?;
        let (learn, rest) = rest.split_once(" minutes, exercises ")?;
        let (exercises, harden) = rest.split_once(", harden ")?;
        Some(Minutes {
            learn: learn.parse().ok()?,
            exercises: exercises.parse().ok()?,
            harden: harden.parse().ok()?,
        })
    }
}

/// A line of a page. Lines count from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line<'a> {
    pub number: usize,
    pub text: &'a str,
}

/// A fenced block of code.
#[derive(Debug, PartialEq)]
pub struct Block<'a> {
    /// What follows the opening fence: `console`, `rust`, …
    pub language: &'a str,
    /// The line of the opening fence.
    pub begin: usize,
    pub lines: Vec<Line<'a>>,
}

/// The blocks of code, and the lines outside of them.
pub fn split(page: &str) -> (Vec<Block<'_>>, Vec<Line<'_>>) {
    let (mut blocks, mut prose) = (Vec::new(), Vec::new());
    // A block inside of a list is indented; its lines are taken without that.
    let mut open: Option<(usize, Block)> = None;
    for (index, text) in page.lines().enumerate() {
        let trimmed = text.trim_start();
        let number = index + 1;
        match (open.take(), trimmed.strip_prefix("```")) {
            (Some((_, block)), Some(_)) => blocks.push(block),
            (None, Some(language)) => {
                let block = Block {
                    language: language.trim(),
                    begin: number,
                    lines: Vec::new(),
                };
                open = Some((text.len() - trimmed.len(), block));
            }
            (Some((indent, mut block)), None) => {
                let text = &text[indent.min(text.len() - trimmed.len())..];
                block.lines.push(Line { number, text });
                open = Some((indent, block));
            }
            (None, None) => prose.push(Line { number, text }),
        }
    }
    blocks.extend(open.map(|(_, block)| block));
    (blocks, prose)
}

/// The numbers of the lines from a heading to the next one, the heading included.
pub fn section(page: &str, heading: &str) -> Option<Range<usize>> {
    let (_, prose) = split(page);
    let headings: Vec<Line> = prose
        .into_iter()
        .filter(|line| line.text.starts_with("## "))
        .collect();
    let at = headings
        .iter()
        .position(|line| line.text["## ".len()..] == *heading)?;
    let end = headings.get(at + 1).map(|line| line.number);
    Some(headings[at].number..end.unwrap_or(page.lines().count() + 1))
}

/// One item of a numbered list at the left margin.
#[derive(Debug, PartialEq)]
pub struct Item<'a> {
    /// As written: `2` in `2. Replace …`
    pub number: &'a str,
    /// The numbers of its lines, folded parts and blocks included.
    pub lines: Range<usize>,
    /// Its prose without folded parts.
    pub text: String,
}

/// The items of the numbered lists in a part of a page.
pub fn items<'a>(page: &'a str, part: &Range<usize>) -> Vec<Item<'a>> {
    let folded = folded(page);
    let mut items: Vec<Item> = Vec::new();
    let mut is_open = false;
    for line in split(page).1 {
        if !part.contains(&line.number) {
            continue;
        }
        if let Some(number) = list_number(line.text) {
            is_open = true;
            items.push(Item {
                number,
                lines: line.number..line.number,
                text: String::new(),
            });
        } else if !line.text.is_empty() && !line.text.starts_with(' ') {
            is_open = false;
        }
        if let Some(item) = items.last_mut().filter(|_| is_open) {
            item.lines.end = line.number + 1;
            if !folded.iter().any(|part| part.contains(&line.number)) {
                item.text.push_str(line.text.trim());
                item.text.push('\n');
            }
        }
    }
    items
}

/// `2` for `2. Replace …`
fn list_number(line: &str) -> Option<&str> {
    let (number, _) = line.split_once(". ")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(number)
}

/// The numbers of the lines of each folded part, from `<details>` to `</details>`.
pub fn folded(page: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut begin = None;
    for line in split(page).1 {
        if line.text.contains("<details>") {
            begin = Some(line.number);
        }
        if line.text.contains("</details>") {
            parts.extend(begin.take().map(|begin| begin..line.number + 1));
        }
    }
    parts
}

/// How many words of prose stand in a part of a page. Code, in blocks, is not prose.
pub fn words(page: &str, part: &Range<usize>) -> usize {
    let prose = split(page).1;
    let lines = prose.iter().filter(|line| part.contains(&line.number));
    lines
        .flat_map(|line| {
            let text = TAGS
                .iter()
                .fold(line.text.to_owned(), |text, tag| text.replace(tag, " "));
            text.split_whitespace()
                .filter(|word| word.chars().any(char::is_alphanumeric))
                .map(|_| ())
                .collect::<Vec<_>>()
        })
        .count()
}

const TAGS: [&str; 4] = ["<details>", "</details>", "<summary>", "</summary>"];

/// The targets of a line's links: `there` in `[text](there)`. Code is not looked at.
pub fn links(line: &str) -> Vec<&str> {
    let mut links = Vec::new();
    let mut from = 0;
    while let Some(at) = line[from..].find("](") {
        let begin = from + at + 2;
        if let Some(end) = line[begin..].find(')')
            && !ends_in_code(&line[..from + at])
        {
            links.push(&line[begin..begin + end]);
        }
        from = begin;
    }
    links
}

/// Whether code is still open at the end of `text`: only as many backticks as began it end it.
fn ends_in_code(text: &str) -> bool {
    let mut open = None;
    let mut rest = text;
    while let Some(at) = rest.find('`') {
        let after = rest[at..].trim_start_matches('`');
        let run = rest.len() - at - after.len();
        open = match open {
            None => Some(run),
            Some(begun) if begun == run => None,
            begun => begun,
        };
        rest = after;
    }
    open.is_some()
}

/// What stands between backticks in a text.
pub fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
