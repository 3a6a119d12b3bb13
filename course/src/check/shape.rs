//! Checks that a lesson has the shape that all lessons have, and that its links lead somewhere.

use std::path::{Path, PathBuf};

use crate::exercises::{self, number_in};
use crate::lesson::{Course, Lesson, files_under, read};
use crate::page::{self, Head, Item};
use crate::problem::{Problem, Result};

/// The files of a lesson, and how many lines with text each may have.
const FILES: [(&str, usize); 8] = [
    ("README.md", usize::MAX),
    ("Cargo.toml", usize::MAX),
    ("build.rs", usize::MAX),
    ("src/lib.rs", 130),
    ("src/proto.rs", usize::MAX),
    ("src/tests.rs", usize::MAX),
    ("src/bin/server.rs", 40),
    ("src/bin/client.rs", 80),
];

/// How many lines with text a program may have that is neither server nor client.
const PROGRAM: usize = 120;

/// How many lines a page may have without its ladder and what is folded.
const PAGE: usize = 180;

/// How many lines with text a lesson may have in its protos and in `src` without its tests: the first three
/// lessons, and the others.
const LESSON: [usize; 2] = [300, 450];

/// The headings of a page in their order.
const HEADINGS: [&str; 9] = [
    "Run it",
    "How it works",
    "Read it",
    "On the wire",
    "Break it",
    "Exercises",
    "Harden it",
    SETTINGS,
    "Go deeper",
];

/// The heading that pages have from lesson 14 on.
const SETTINGS: &str = "Take it with you";
const HAS_SETTINGS: &str = "14";

/// How long a line may be. For code this is what rustfmt makes of it.
const COLUMNS: usize = 100;

const EXERCISES: usize = 3;

pub fn check(course: &Course, lesson: &Lesson) -> Result<Vec<Problem>> {
    let mut problems = files(course, lesson)?;
    problems.extend(registration(course, lesson)?);
    let page = lesson.page();
    let Ok(text) = read(&course.root.join(&page)) else {
        // `files` has said so.
        return Ok(problems);
    };
    problems.extend(size(course, lesson, &text)?);
    problems.extend(head(course, lesson, &text));
    problems.extend(headings(lesson, &text));
    problems.extend(long_lines(&page, &text, true));
    problems.extend(links_of(course, &page)?);
    problems.extend(breaks(course, lesson, &text)?);
    problems.extend(exercises(course, lesson, &text)?);
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
        let lines = lines_with_text(&read(&root.join(file))?);
        if lines > cap {
            let expected = format!("at most {cap} lines with text");
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
        let place = format!("{folder}/{}", slashes(&file));
        if !first.starts_with("//!") {
            let expected = "`//!` and what the file shows";
            let got = format!("`{first}`");
            problems.push(Problem::new(format!("{place}:1"), expected, got));
        }
        problems.extend(long_lines(&place, &text, false));
        let is_further =
            file.starts_with("src/bin") && !FILES.iter().any(|(it, _)| file == Path::new(it));
        if is_further && lines_with_text(&text) > PROGRAM {
            let expected = format!("at most {PROGRAM} lines with text");
            let got = format!("{} lines", lines_with_text(&text));
            problems.push(Problem::new(&place, expected, got));
        }
        if file == Path::new("src/proto.rs") {
            problems.extend(generated_code_only(&place, &text));
        }
    }
    Ok(problems)
}

/// `src/proto.rs` holds the generated code and nothing else.
fn generated_code_only(place: &str, text: &str) -> Option<Problem> {
    let is_expected = |line: &&str| {
        let line = line.trim();
        let is_module = line.starts_with("pub mod ") && line.ends_with('{');
        let is_frame = is_module || line.is_empty() || line == "}";
        is_frame
            || line.starts_with("//")
            || line.starts_with('#')
            || line.contains("include_proto!(")
    };
    let line = text.lines().find(|line| !is_expected(line))?;
    let expected = "`tonic::include_proto!`, perhaps in modules, and nothing else";
    Some(Problem::new(place, expected, format!("`{}`", line.trim())))
}

/// The page, and the code that a reader has before them.
fn size(course: &Course, lesson: &Lesson, text: &str) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let mut left_out = page::folded(text);
    left_out.extend(page::section(text, "On the wire"));
    let counts = |at: &usize| !left_out.iter().any(|part| part.contains(at));
    let lines = (1..=text.lines().count()).filter(counts).count();
    if lines > PAGE {
        let expected = format!("at most {PAGE} lines without *On the wire* and folded parts");
        problems.push(Problem::new(
            lesson.page(),
            expected,
            format!("{lines} lines"),
        ));
    }

    let root = course.path(lesson);
    let mut code = 0;
    for file in sources(&root)? {
        let is_test = file.starts_with("src/tests") || file == Path::new("src/tests.rs");
        if file.starts_with("src") && !is_test {
            code += lines_with_text(&read(&root.join(file))?);
        }
    }
    let build = read(&root.join("build.rs")).unwrap_or_default();
    for proto in files_under(&course.root.join("protos"))? {
        let name = slashes(&proto);
        if name.ends_with(".proto") && build.contains(&format!("\"{name}\"")) {
            let text = read(&course.root.join("protos").join(&proto))?;
            code += lines_with_text(&text);
            problems.extend(long_lines(&format!("protos/{name}"), &text, false));
        }
    }
    let cap = LESSON[usize::from(lesson.number.as_str() > "03")];
    if code > cap {
        let expected = format!("at most {cap} lines with text in protos and src without tests");
        problems.push(Problem::new(
            lesson.folder(),
            expected,
            format!("{code} lines"),
        ));
    }
    Ok(problems)
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
    ];
    let mut problems = Vec::from_iter(row(course, lesson)?);
    for (file, text) in wanted {
        let is_there = read(&course.root.join(&file)).is_ok_and(|it| it.contains(&text));
        if !is_there {
            problems.push(Problem::new(file, format!("`{text}`"), "no such text"));
        }
    }
    Ok(problems)
}

/// The lesson's row in the table of the course's own page: `| 04 | [Title](04-…/README.md) | … | 40 |`.
fn row(course: &Course, lesson: &Lesson) -> Result<Option<Problem>> {
    let head = Head::of(&read(&course.root.join(lesson.page())).unwrap_or_default());
    let begin = format!(
        "| {} | [{}]({}) | ",
        lesson.number,
        head.title(),
        lesson.page()
    );
    let end = head.minutes().map(|it| format!(" | {} |", it.learn));
    let end = end.unwrap_or_default();
    let text = read(&course.root.join("README.md"))?;
    if text
        .lines()
        .any(|it| it.starts_with(&begin) && it.ends_with(&end))
    {
        return Ok(None);
    }
    let link = format!("]({}", lesson.page());
    let got = text.lines().find(|it| it.contains(&link));
    let expected = format!("`{begin}…{end}`");
    Ok(Some(Problem::new(
        "README.md",
        expected,
        got.unwrap_or("no such row"),
    )))
}

/// `# 04 · Bidirectional streaming`, a sentence, and the line of minutes.
fn head(course: &Course, lesson: &Lesson, text: &str) -> Vec<Problem> {
    let (page, head) = (lesson.page(), Head::of(text));
    let mut problems = Vec::new();
    let mut expect = |holds: bool, line: usize, expected: &str, got: &str| {
        if !holds {
            let place = format!("{page}:{line}");
            problems.push(Problem::new(place, expected, format!("`{got}`")));
        }
    };
    let start = format!("{} · ", lesson.number);
    let is_heading = head.heading.starts_with(&start) && !head.title().is_empty();
    expect(
        is_heading,
        1,
        &format!("`# {start}` and a title"),
        &head.heading,
    );
    let sentence = &head.sentence;
    let is_sentence = sentence.ends_with('.') && !sentence.starts_with(['#', '*', '`']);
    expect(
        is_sentence,
        3,
        "what the reader will see, in one sentence",
        sentence,
    );

    let is_lesson = |number: &str| course.lessons.iter().any(|it| it.number == number);
    let mut labels = Vec::new();
    let mut are_lessons = true;
    for fact in head.facts.iter().skip(1) {
        let (label, numbers) = fact.split_once(": ").unwrap_or((fact, ""));
        labels.push(label);
        are_lessons &= numbers.split(", ").all(is_lesson);
    }
    let is_in_order = matches!(labels[..], [] | ["before"] | ["next"] | ["before", "next"]);
    expect(
        head.minutes().is_some() && are_lessons && is_in_order,
        5,
        "`*learn 40 minutes, exercises 30, harden 20 · before: 03 · next: 05*`, with lessons that exist",
        &head.facts.join(" · "),
    );
    let following = course.lessons.iter().skip_while(|it| *it != lesson).nth(1);
    if let Some(following) = following {
        let next = head.facts.iter().find_map(|it| it.strip_prefix("next: "));
        let mut numbers = next.unwrap_or_default().split(", ");
        let is_named = numbers.any(|it| it == following.number);
        let expected = format!("`next: {}`", following.number);
        expect(is_named, 5, &expected, next.unwrap_or("no next lesson"));
    }
    problems
}

/// The headings, and the notes for whoever teaches at the end.
fn headings(lesson: &Lesson, text: &str) -> Option<Problem> {
    let (_, prose) = page::split(text);
    let mut headings = prose.iter().filter(|line| line.text.starts_with("## "));
    let got: Vec<String> = headings
        .clone()
        .map(|line| line.text["## ".len()..].to_owned())
        .collect();
    let has_settings = lesson.number.as_str() >= HAS_SETTINGS;
    let expected = HEADINGS
        .iter()
        .filter(|it| **it != SETTINGS || has_settings);
    let expected: Vec<String> = expected.map(|it| (*it).to_owned()).collect();
    let page = lesson.page();
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
    let expected = format!("`{missing}` after `## Go deeper`");
    Some(Problem::new(page, expected, "none"))
}

fn long_lines(place: &str, text: &str, is_page: bool) -> Option<Problem> {
    let fenced: Vec<usize> = if is_page {
        // What a program prints is as long as it is.
        let blocks = page::split(text).0;
        let printed = blocks.iter().filter(|block| block.language == "console");
        printed
            .flat_map(|it| &it.lines)
            .map(|it| it.number)
            .collect()
    } else {
        Vec::new()
    };
    let mut long = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        let is_table = is_page && line.starts_with('|');
        let may_be_long = is_table || line.contains("](") || line.contains("://");
        if columns > COLUMNS && !may_be_long && !fenced.contains(&(index + 1)) {
            long.push(format!("{} ({columns})", index + 1));
        }
    }
    let expected = format!("at most {COLUMNS} columns");
    let got = format!("more in line {}", long.join(", "));
    (!long.is_empty()).then(|| Problem::new(place, expected, got))
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

/// Each *Break it* is an item with a folded answer that holds a `console` block, and a patch.
fn breaks(course: &Course, lesson: &Lesson, text: &str) -> Result<Vec<Problem>> {
    let Some(section) = page::section(text, "Break it") else {
        return Ok(Vec::new());
    };
    let items = page::items(text, &section);
    let mut problems = Vec::from_iter(numbered(lesson, &items, section.start));
    let blocks = page::split(text).0;
    for item in &items {
        let has_block = blocks
            .iter()
            .any(|block| block.language == "console" && item.lines.contains(&block.begin));
        let place = format!("{}:{}", lesson.page(), item.lines.start);
        if !has_block || !is_folded(text, item) {
            let expected = "a folded answer (`<details>`) with a `console` block";
            problems.push(Problem::new(place, expected, "none"));
        }
    }
    let how = format!("git apply {}/breaks/1.patch", lesson.folder());
    if !text.contains(&how) {
        problems.push(Problem::new(
            lesson.page(),
            format!("`{how}`"),
            "no such text",
        ));
    }
    problems.extend(patches(course, lesson, "breaks", "*Break it*", &items)?);
    Ok(problems)
}

/// Each exercise is a task on the page with a folded hint, an ignored test and a patch.
fn exercises(course: &Course, lesson: &Lesson, text: &str) -> Result<Vec<Problem>> {
    let (folder, page) = (lesson.folder(), lesson.page());
    let Some(section) = page::section(text, "Exercises") else {
        return Ok(Vec::new());
    };
    let items = page::items(text, &section);
    let mut problems = Vec::from_iter(numbered(lesson, &items, section.start));
    if items.len() != EXERCISES {
        let expected =
            format!("{EXERCISES} exercises: server, client, proto or something of one's own");
        let place = format!("{page}:{}", section.start);
        problems.push(Problem::new(place, expected, items.len()));
    }
    let exercises = exercises::in_lesson(&course.path(lesson))?;
    for item in &items {
        let place = format!("{page}:{}", item.lines.start);
        if !is_folded(text, item) {
            problems.push(Problem::new(&place, "a folded hint (`<details>`)", "none"));
        }
        let mut own = exercises.iter().filter(|it| it.number == item.number);
        if !own.any(|it| words(&item.text).any(|word| word == it.name)) {
            let expected = format!("the name of its test, `exercise_{}_…`", item.number);
            problems.push(Problem::new(&place, expected, "none"));
        }
    }
    for exercise in &exercises {
        let (name, number) = (&exercise.name, &exercise.number);
        let place = format!("{folder}/{}:{}", slashes(&exercise.file), exercise.line);
        if !exercise.is_ignored {
            let expected = format!("`#[ignore = \"exercise {number}: …\"]` above {name}");
            problems.push(Problem::new(place, expected, "none"));
        }
        if !words(text).any(|word| word == name) {
            problems.push(Problem::new(&page, format!("the task of `{name}`"), "none"));
        }
    }
    for word in words(text).filter(|word| number_in(word).is_some()) {
        if !exercises.iter().any(|exercise| exercise.name == word) {
            let place = format!("{folder}/src/tests.rs");
            let expected = format!("the test `{word}`, which the page names");
            problems.push(Problem::new(place, expected, "none"));
        }
    }
    problems.extend(patches(course, lesson, "solutions", "*Exercises*", &items)?);
    Ok(problems)
}

/// The items of a list count from 1.
fn numbered(lesson: &Lesson, items: &[Item], line: usize) -> Option<Problem> {
    let wrong = (1..)
        .zip(items)
        .find(|(number, item)| number.to_string() != item.number);
    let (place, expected, got) = match (items, wrong) {
        ([], _) => (line, "a numbered list".to_owned(), "none"),
        (_, Some((number, item))) => (item.lines.start, format!("`{number}.`"), item.number),
        _ => return None,
    };
    let place = format!("{}:{place}", lesson.page());
    Some(Problem::new(place, expected, got))
}

fn is_folded(text: &str, item: &Item) -> bool {
    let parts = page::folded(text);
    parts.iter().any(|part| item.lines.contains(&part.start))
}

/// Each item of a list has a patch, and there are no others.
fn patches(
    course: &Course,
    lesson: &Lesson,
    name: &str,
    heading: &str,
    items: &[Item],
) -> Result<Vec<Problem>> {
    let patches = files_under(&course.path(lesson).join(name))?;
    let is_for = |patch: &PathBuf, item: &Item| *patch == format!("{}.patch", item.number);
    let mut problems = Vec::new();
    for item in items {
        if !patches.iter().any(|patch| is_for(patch, item)) {
            let place = format!("{}/{name}/{}.patch", lesson.folder(), item.number);
            let expected = format!("a patch for item {} of {heading}", item.number);
            problems.push(Problem::new(place, expected, "none"));
        }
    }
    for patch in &patches {
        if !items.iter().any(|item| is_for(patch, item)) {
            let place = format!("{}/{name}/{}", lesson.folder(), slashes(patch));
            let expected = format!("an item of {heading} that it belongs to");
            problems.push(Problem::new(place, expected, "none"));
        }
    }
    Ok(problems)
}

pub fn lines_with_text(text: &str) -> usize {
    text.lines().filter(|line| !line.trim().is_empty()).count()
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

/// A path as it is written on pages and in patches, on Windows too.
pub fn slashes(path: &Path) -> String {
    let names = path.iter().map(|name| name.to_string_lossy());
    names.collect::<Vec<_>>().join("/")
}

/// The identifiers of a text in lower case.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !(it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_'))
        .filter(|word| !word.is_empty())
}
