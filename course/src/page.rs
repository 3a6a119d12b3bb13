//! Reads a README: its head, its headings, its links, its code blocks.

/// The first three paragraphs of a lesson's page.
#[derive(Debug, Default, PartialEq)]
pub struct Head {
    /// `01 · Unary calls`
    pub heading: String,
    /// What the reader will see.
    pub sentence: String,
    /// `15 minutes`, `before: 01`, `next: 03`
    pub facts: Vec<String>,
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

/// The targets of a line's links: `there` in `[text](there)`. Code is not looked at.
pub fn links(line: &str) -> Vec<&str> {
    let mut links = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("](") {
        // A backtick left open before the link means that the link stands inside of code.
        let in_code = line[..line.len() - rest.len() + at].matches('`').count() % 2 == 1;
        rest = &rest[at + 2..];
        if let Some(end) = rest.find(')')
            && !in_code
        {
            links.push(&rest[..end]);
        }
    }
    links
}

/// What stands between backticks in a line.
pub fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}
