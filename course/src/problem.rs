//! What a check says when it fails: where, what was expected, and what was there instead.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// One thing that is not as it should be.
#[derive(Debug, PartialEq)]
pub struct Problem(String);

impl Problem {
    pub fn new(place: impl Display, expected: impl Display, got: impl Display) -> Self {
        Self(format!(
            "{place}\n  expected: {expected}\n  got:      {got}\n"
        ))
    }

    /// How many lines of a diff are changes.
    pub fn changes(&self) -> usize {
        let is_change = |line: &&str| line.starts_with("  - ") || line.starts_with("  + ");
        self.0.lines().filter(is_change).count()
    }

    /// Two texts that should be the same, as a diff.
    pub fn diff(place: impl Display, expected: &[String], got: &[String]) -> Self {
        let lines: String = diff(expected, got)
            .into_iter()
            .map(|(sign, line)| format!("  {sign} {line}\n"))
            .collect();
        Self(format!("{place}\n  expected (-), got (+):\n{lines}"))
    }
}

impl Display for Problem {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The shortest way from `old` to `new`: lines kept (` `), dropped (`-`) and added (`+`).
pub fn diff<'a>(old: &'a [String], new: &'a [String]) -> Vec<(char, &'a str)> {
    // common[i][j]: how many lines old[i..] and new[j..] have in common, in order.
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }

    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((' ', old[i].as_str()));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            lines.push(('-', old[i].as_str()));
            i += 1;
        } else {
            lines.push(('+', new[j].as_str()));
            j += 1;
        }
    }
    lines
}
