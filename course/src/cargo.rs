//! Has cargo build, and learns from it where the executables are.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lesson::{Course, Lesson};
use crate::problem::Result;

/// Executables by name.
pub type Programs = BTreeMap<String, PathBuf>;

/// Builds some of a package's programs.
pub fn some_programs(course: &Course, package: &str, names: &[&str]) -> Result<Programs> {
    let mut words = vec!["build", "-p", package];
    words.extend(names.iter().flat_map(|name| ["--bin", name]));
    let built = executables(course, &course.root, course.target.as_deref(), &words)?;
    Ok(by_name(built))
}

/// Builds all programs of a package, and puts them where no other package's programs replace them.
pub fn own_programs(course: &Course, package: &str) -> Result<Programs> {
    let words = ["build", "-p", package, "--bins"];
    let built = executables(course, &course.root, course.target.as_deref(), &words)?;
    let folder = course.scratch().join("programs").join(package);
    fs::create_dir_all(&folder)?;
    let mut copies = Vec::new();
    for program in built {
        let copy = folder.join(program.file_name().unwrap_or_default());
        if copy.exists() {
            fs::remove_file(&copy)?;
        }
        // A link where it can be: what was never opened for writing is never "busy" when it is run.
        if fs::hard_link(&program, &copy).is_err() {
            fs::copy(&program, &copy)?;
        }
        copies.push(copy);
    }
    Ok(by_name(copies))
}

/// Builds the tests of a lesson's library in the workspace at `root`.
pub fn tests(
    course: &Course,
    lesson: &Lesson,
    root: &Path,
    target: Option<&Path>,
) -> Result<PathBuf> {
    let words = ["test", "-p", &lesson.name, "--lib", "--no-run"];
    let mut built = executables(course, root, target, &words)?;
    built
        .pop()
        .ok_or_else(|| format!("cargo built no tests for {}", lesson.folder()).into())
}

/// Runs cargo, in view of whoever watches, and collects the executables that it has built.
fn executables(
    course: &Course,
    root: &Path,
    target: Option<&Path>,
    words: &[&str],
) -> Result<Vec<PathBuf>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(words)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if let Some(target) = target {
        command.env("CARGO_TARGET_DIR", target);
    }
    if !course.is_watched {
        command.arg("--quiet").stderr(Stdio::piped());
    }
    let an_hour = Duration::from_secs(3600);
    let finished = course.children.run(&mut command, an_hour)?;
    if !finished.status.is_some_and(|status| status.success()) {
        let (words, errors) = (words.join(" "), finished.stderr.join("\n"));
        return Err(if course.is_watched {
            format!("`cargo {words}` failed; its errors stand above").into()
        } else {
            format!("`cargo {words}` failed:\n{errors}").into()
        });
    }
    Ok(finished
        .stdout
        .iter()
        .filter(|line| line.starts_with(r#"{"reason":"compiler-artifact""#))
        .filter_map(|line| string_field(line, "executable"))
        .map(PathBuf::from)
        .collect())
}

fn by_name(executables: Vec<PathBuf>) -> Programs {
    let name = |path: &PathBuf| Some(path.file_stem()?.to_string_lossy().into_owned());
    executables
        .into_iter()
        .filter_map(|path| Some((name(&path)?, path)))
        .collect()
}

/// The value of a field in one line of JSON, if it is a string. A parser would be the course's largest crate.
pub fn string_field(json: &str, field: &str) -> Option<String> {
    let start = format!("\"{field}\":\"");
    let mut rest = json[json.find(&start)? + start.len()..].chars();
    let mut value = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(value),
            '\\' => match rest.next()? {
                'u' => {
                    let digits: String = rest.by_ref().take(4).collect();
                    value.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                }
                // cargo escapes nothing else in a path.
                escaped => value.push(escaped),
            },
            plain => value.push(plain),
        }
    }
}
