//! Checks that a lesson has the shape that all lessons have, and that its links lead somewhere.

use std::path::{Path, PathBuf};

use crate::exercises::{self, number_in};
use crate::lesson::{Course, Lesson, files_under, read};
use crate::page::{self, Head};
use crate::problem::{Problem, Result};

/// The files of a lesson, and how many lines each may have.
const FILES: [(&str, usize); 7] = [
    ("README.md", 130),
    ("Cargo.toml", usize::MAX),
    ("build.rs", usize::MAX),
    ("src/lib.rs", 130),
    ("src/tests.rs", usize::MAX),
    ("src/bin/server.rs", 45),
    ("src/bin/client.rs", 120),
];

/// The headings of a page in their order, and whether a page must have them.
const HEADINGS: [(&str, bool); 8] = [
    ("Run it", true),
    ("Read it", true),
    ("How it works", true),
    ("On the wire", false),
    ("Where tonic differs", false),
    ("Break it", true),
    ("Exercises", true),
    ("Go deeper", true),
];

const COLUMNS: usize = 120;

pub fn check(course: &Course, lesson: &Lesson) -> Result<Vec<Problem>> {
    let mut problems = files(course, lesson)?;
    if !problems.is_empty() {
        return Ok(problems);
    }
    problems.extend(registration(course, lesson)?);
    let page = format!("{}/README.md", lesson.folder());
    let text = read(&course.root.join(&page))?;
    problems.extend(head(course, lesson, &page, &text));
    problems.extend(headings(&page, &text));
    problems.extend(long_lines(&page, &text));
    problems.extend(links_of(course, &page)?);
    problems.extend(exercises(course, lesson, &page, &text)?);
    problems.extend(names(course, lesson, &page, &text)?);
    Ok(problems)
}

/// The files are there, are not too long, and say in the first line what they show.
fn files(course: &Course, lesson: &Lesson) -> Result<Vec<Problem>> {
    let (root, folder) = (course.path(lesson), lesson.folder());
    let mut problems = Vec::new();
    for (file, cap) in FILES {
        let place = format!("{folder}/{file}");
        if !root.join(file).is_file() {
            problems.push(Problem::new(place, "a file", "none"));
            continue;
        }
        let lines = counted(&read(&root.join(file))?);
        if lines > cap {
            let expected = format!("at most {cap} lines");
            problems.push(Problem::new(place, expected, format!("{lines} lines")));
        }
    }
    if root.join("tests").exists() {
        let (place, expected) = (format!("{folder}/tests"), "tests in src/tests.rs");
        problems.push(Problem::new(place, expected, "a folder"));
    }
    for file in sources(&root)? {
        let text = read(&root.join(&file))?;
        let first = text.lines().next().unwrap_or_default();
        let place = format!("{folder}/{}:1", file.display());
        if !first.starts_with("//!") {
            let expected = "`//!` and what the file shows";
            problems.push(Problem::new(place, expected, format!("`{first}`")));
        }
    }
    Ok(problems)
}

/// How many lines a file has. A page's ladder does not count: it is as long as its calls are many.
fn counted(text: &str) -> usize {
    let mut is_ladder = false;
    let counts = |line: &&str| {
        if line.starts_with("## ") {
            is_ladder = *line == "## On the wire";
        }
        !is_ladder
    };
    text.lines().filter(counts).count()
}

/// Everything outside of the lesson's folder that has to know the lesson does.
fn registration(course: &Course, lesson: &Lesson) -> Result<Vec<Problem>> {
    let (folder, number, name) = (lesson.folder(), &lesson.number, &lesson.name);
    let wanted = [
        (format!("{folder}/Cargo.toml"), format!("name = \"{name}\"")),
        (
            ".cargo/config.toml".to_owned(),
            format!("{number} = \"run -p {name} --bin\""),
        ),
        ("Cargo.toml".to_owned(), format!("\"{folder}\"")),
        ("README.md".to_owned(), format!("]({folder}/")),
    ];
    let mut problems = Vec::new();
    for (file, text) in wanted {
        if !read(&course.root.join(&file))?.contains(&text) {
            problems.push(Problem::new(file, format!("`{text}`"), "no such text"));
        }
    }
    Ok(problems)
}

/// `# 04 · Bidirectional streaming`, a sentence, and `*15 minutes · before: 03 · next: 05*`.
fn head(course: &Course, lesson: &Lesson, page: &str, text: &str) -> Vec<Problem> {
    let Head {
        heading,
        sentence,
        facts,
    } = Head::of(text);
    let mut problems = Vec::new();
    let mut expect = |holds: bool, line: usize, expected: &str, got: &str| {
        if !holds {
            let place = format!("{page}:{line}");
            problems.push(Problem::new(place, expected, format!("`{got}`")));
        }
    };
    let start = format!("{} · ", lesson.number);
    let is_heading = heading.len() > start.len() && heading.starts_with(&start);
    expect(is_heading, 1, &format!("`# {start}` and a title"), &heading);
    let is_sentence = sentence.ends_with('.') && !sentence.starts_with(['#', '*', '`']);
    expect(
        is_sentence,
        3,
        "what the reader will see, in one sentence",
        &sentence,
    );

    let is_lesson = |number: &str| course.lessons.iter().any(|it| it.number == number);
    let mut labels = vec!["minutes"];
    let mut are_facts = true;
    for (index, fact) in facts.iter().enumerate() {
        are_facts &= match fact.split_once(": ") {
            _ if index == 0 => fact
                .strip_suffix(" minutes")
                .is_some_and(|minutes| minutes.parse::<u32>().is_ok()),
            Some((label @ ("before" | "next"), numbers)) => {
                labels.push(label);
                numbers.split(", ").all(is_lesson)
            }
            _ => false,
        };
    }
    let is_in_order = matches!(
        labels[..],
        ["minutes"] | ["minutes", "before"] | ["minutes", "next"] | ["minutes", "before", "next"]
    );
    expect(
        !facts.is_empty() && are_facts && is_in_order,
        5,
        "`*15 minutes · before: 01 · next: 03*`, with lessons that exist",
        &facts.join(" · "),
    );
    problems
}

/// The headings, and the notes for whoever teaches at the end.
fn headings(page: &str, text: &str) -> Option<Problem> {
    let (_, prose) = page::split(text);
    let mut headings = prose.iter().filter(|line| line.text.starts_with("## "));
    let got: Vec<String> = headings
        .clone()
        .map(|line| line.text["## ".len()..].to_owned())
        .collect();
    let expected = HEADINGS
        .iter()
        .filter(|(heading, must)| *must || got.iter().any(|it| it == heading));
    let expected: Vec<String> = expected.map(|(it, _)| (*it).to_owned()).collect();
    if got != expected {
        return Some(Problem::diff(format!("{page}: headings"), &expected, &got));
    }
    let last = headings.next_back().map_or(0, |line| line.number);
    let notes = [
        "<details>",
        "<summary>Teaching this lesson</summary>",
        "</details>",
    ];
    let mut after = prose.iter().filter(|line| line.number > last);
    let missing = notes
        .iter()
        .find(|note| !after.any(|line| line.text == **note))?;
    Some(Problem::new(
        page,
        format!("`{missing}` after `## Go deeper`"),
        "none",
    ))
}

fn long_lines(page: &str, text: &str) -> Vec<Problem> {
    let (_, prose) = page::split(text);
    let mut problems = Vec::new();
    for line in prose {
        let columns = line.text.chars().count();
        let may_be_long = line.text.starts_with('|') || line.text.contains("](");
        if columns > COLUMNS && !may_be_long {
            let place = format!("{page}:{}", line.number);
            let expected = format!("at most {COLUMNS} columns");
            problems.push(Problem::new(place, expected, format!("{columns} columns")));
        }
    }
    problems
}

/// The links of a page that lead nowhere. Links to other sites are not followed.
pub fn links_of(course: &Course, page: &str) -> Result<Vec<Problem>> {
    let path = course.root.join(page);
    let text = read(&path)?;
    let folder = path.parent().unwrap_or(&course.root);
    let mut problems = Vec::new();
    for line in page::split(&text).1 {
        for link in page::links(line.text) {
            let file = link.split('#').next().unwrap_or_default();
            let is_elsewhere = link.contains("://") || link.starts_with("mailto:");
            if !is_elsewhere && !folder.join(file).exists() {
                let place = format!("{page}:{}", line.number);
                problems.push(Problem::new(place, "a link to a file that exists", link));
            }
        }
    }
    Ok(problems)
}

/// Each exercise is a task on the page, an ignored test and a patch.
fn exercises(course: &Course, lesson: &Lesson, page: &str, text: &str) -> Result<Vec<Problem>> {
    let folder = lesson.folder();
    let exercises = exercises::in_lesson(&course.path(lesson))?;
    let patches = files_under(&course.path(lesson).join("solutions"))?;
    let mut problems = Vec::new();
    for exercise in &exercises {
        let (name, number) = (&exercise.name, &exercise.number);
        let place = format!("{folder}/{}:{}", exercise.file.display(), exercise.line);
        if !exercise.is_ignored {
            let expected = format!("`#[ignore = \"exercise {number}: …\"]` above {name}");
            problems.push(Problem::new(place, expected, "none"));
        }
        if !words(text).any(|word| word == name) {
            problems.push(Problem::new(page, format!("the task of `{name}`"), "none"));
        }
        let patch = PathBuf::from(format!("{number}.patch"));
        if !patches.contains(&patch) {
            let place = format!("{folder}/solutions/{number}.patch");
            problems.push(Problem::new(
                place,
                format!("a solution for `{name}`"),
                "none",
            ));
        }
    }
    for word in words(text).filter(|word| number_in(word).is_some()) {
        if !exercises.iter().any(|exercise| exercise.name == word) {
            let expected = format!("the test `{word}`, which the page names");
            problems.push(Problem::new(
                format!("{folder}/src/tests.rs"),
                expected,
                "none",
            ));
        }
    }
    for patch in patches {
        let is_for = |number: &str| patch == Path::new(&format!("{number}.patch"));
        if !exercises.iter().any(|exercise| is_for(&exercise.number)) {
            let place = format!("{folder}/solutions/{}", patch.display());
            problems.push(Problem::new(place, "an exercise that it solves", "none"));
        }
    }
    Ok(problems)
}

/// What the page calls by a name like `say_hello_again` is in the lesson's code or in a proto.
fn names(course: &Course, lesson: &Lesson, page: &str, text: &str) -> Result<Vec<Problem>> {
    let folder = course.path(lesson);
    let mut code = String::new();
    for file in sources(&folder)? {
        code.push_str(&read(&folder.join(file))?);
    }
    for file in files_under(&course.root.join("protos"))? {
        code.push_str(&read(&course.root.join("protos").join(file))?);
    }
    let mut problems = Vec::new();
    for line in page::split(text).1 {
        for name in page::code(line.text).map(|name| name.trim_end_matches("()")) {
            // Exercises are looked for in the tests alone. Names of fewer words are often not code.
            let is_name = name.matches('_').count() >= 2 && words(name).eq([name]);
            if is_name && number_in(name).is_none() && !words(&code).any(|word| word == name) {
                let place = format!("{page}:{}", line.number);
                let expected = format!("`{name}` in the lesson's code");
                problems.push(Problem::new(place, expected, "no such name"));
            }
        }
    }
    Ok(problems)
}

/// The Rust files of a lesson.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let below = files_under(&folder.join("src"))?;
    let mut files = vec![PathBuf::from("build.rs")];
    files.extend(below.into_iter().map(|file| Path::new("src").join(file)));
    files.retain(|file| {
        file.extension().is_some_and(|it| it == "rs") && folder.join(file).is_file()
    });
    Ok(files)
}

/// The identifiers of a text in lower case.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !(it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_'))
        .filter(|word| !word.is_empty())
}
