//! Begins a project of the reader's own: a proto, a server, a client and a test, outside of the course.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::lesson::Course;
use crate::problem::Result;

macro_rules! template {
    ($($file:literal),* $(,)?) => {
        [$(($file, include_str!(concat!("../template/", $file)))),*]
    };
}

/// The files of a project. Cargo would take a `Cargo.toml` in there for one of the course's.
const FILES: [(&str, &str); 9] = template![
    "README.md",
    "build.rs",
    "manifest",
    "proto/greeter.proto",
    "src/bin/client.rs",
    "src/bin/server.rs",
    "src/lib.rs",
    "src/proto.rs",
    "src/tests.rs",
];

/// The package in the templates, and its library.
const PACKAGE: &str = "my-project";
const LIBRARY: &str = "my_project";

/// Names that a package of these dependencies cannot have.
const TAKEN: [&str; 9] = [
    "alloc",
    "core",
    "proc-macro",
    "prost",
    "protox",
    "std",
    "test",
    "tokio",
    "tonic",
];

/// Makes the project in `folder`, as seen from the folder `here`.
pub fn new(course: &Course, here: &Path, folder: &str, out: &mut impl Write) -> Result<()> {
    let path = here.join(folder);
    refuse_if_taken(course, &path, folder)?;
    let package = package(&path);
    let library = package.replace('-', "_");
    for (file, text) in FILES {
        let file = if file == "manifest" {
            "Cargo.toml"
        } else {
            file
        };
        let text = text.replace(PACKAGE, &package).replace(LIBRARY, &library);
        write(&path.join(file), &text)?;
    }
    write(&path.join(".gitignore"), "/target\n")?;
    // The versions that the course was tried with, which are on this machine already.
    let lock = course.root.join("Cargo.lock");
    if lock.is_file() {
        fs::copy(lock, path.join("Cargo.lock"))?;
    }
    writeln!(
        out,
        "{package} stands in {folder}: a proto, a server, a client and a test.\n\n  \
         cd \"{folder}\"\n  \
         cargo test\n  \
         cargo run --bin server\n  \
         cargo run --bin client      in a second terminal"
    )?;
    Ok(())
}

/// # Errors
///
/// A sentence that says what is in the way.
fn refuse_if_taken(course: &Course, path: &Path, folder: &str) -> Result<()> {
    if path.is_dir() {
        if fs::read_dir(path)?.next().is_some() {
            let sentence = format!("the folder {folder} isn't empty; name a new one");
            return Err(sentence.into());
        }
    } else if path.exists() {
        return Err(format!("{folder} is a file; name a new folder").into());
    }
    // The folder need not exist yet, and may be written with `..`.
    let existing = path.ancestors().find(|it| it.exists());
    let existing = existing.unwrap_or(path).canonicalize()?;
    if existing.starts_with(course.root.canonicalize()?) {
        let sentence =
            format!("{folder} is inside of the course; name a folder outside, like ../greeter");
        return Err(sentence.into());
    }
    Ok(())
}

/// A name that cargo takes, made of the folder's.
fn package(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let name = name.to_lowercase();
    let words: Vec<&str> = name
        .split(|letter| !is_plain(letter))
        .filter(|word| !word.is_empty())
        .collect();
    let name = words.join("-");
    let begins_well = name.starts_with(|it: char| it.is_ascii_lowercase());
    let is_keyword = KEYWORDS.contains(&name.as_str());
    if name.is_empty() {
        PACKAGE.to_owned()
    } else if begins_well && !is_keyword && !TAKEN.contains(&name.as_str()) {
        name
    } else {
        format!("my-{name}")
    }
}

/// Rust's keywords, those that are kept for later included.
const KEYWORDS: [&str; 52] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "union", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
        .map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}
