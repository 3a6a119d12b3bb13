//! The table of lessons.

use std::fmt::Write;

use crate::lesson::{Course, read};
use crate::page::{Head, Minutes};

/// The lessons, what each one shows and how long it takes, for a terminal of 80 columns.
pub fn table(course: &Course) -> String {
    let mut table = String::new();
    if !course.lessons.is_empty() {
        let minutes = "minutes:  learn  exercises  harden";
        let _ = writeln!(table, "{minutes:>80}");
    }
    for lesson in &course.lessons {
        // A lesson that is being written may have no page yet; it can be run all the same.
        let page = read(&course.root.join(lesson.page())).unwrap_or_default();
        let head = Head::of(&page);
        let title = match head.title() {
            "" => &lesson.name,
            title => title,
        };
        let minutes = head.minutes().map(
            |Minutes {
                 learn,
                 exercises,
                 harden,
             }| { format!("{learn:>5}  {exercises:>9}  {harden:>6}") },
        );
        let line = format!(
            "{}  {title:<52}{}",
            lesson.number,
            minutes.unwrap_or_default()
        );
        let _ = writeln!(table, "{}", line.trim_end());
        for line in wrapped(&head.sentence, 74) {
            let _ = writeln!(table, "    {line}");
        }
    }
    if let Some(first) = course.lessons.first() {
        let number = &first.number;
        let _ = write!(
            table,
            "\nRun one: `cargo course {number}`. More: `cargo course help`.\n"
        );
    }
    table
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
