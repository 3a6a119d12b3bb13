//! Has cargo build, and learns from it where the executables are.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lesson::{Course, Lesson};
use crate::problem::Result;

/// What was built of one package.
#[derive(Clone, Debug, Default)]
pub struct Built {
    /// Executables by name.
    pub programs: BTreeMap<String, PathBuf>,
    /// The tests of the library.
    pub tests: Option<PathBuf>,
}

/// What was built, by package.
pub type Programs = BTreeMap<String, Built>;

/// What one call of cargo came to.
pub struct Outcome {
    pub has_succeeded: bool,
    pub built: Programs,
    /// What cargo said, unless somebody has watched it say so.
    pub errors: String,
}

/// Builds some of a package's programs.
pub fn some_programs(course: &Course, package: &str, names: &[&str]) -> Result<Built> {
    let mut words = vec!["build", "-p", package];
    words.extend(names.iter().flat_map(|name| ["--bin", name]));
    let mut outcome = run(course, &words, &course.root, &[])?.or_fail(course, &words)?;
    Ok(outcome.remove(package).unwrap_or_default())
}

/// Builds the programs of a package, and its tests if it is a lesson, and puts the programs where no other
/// package's programs replace them.
pub fn all_programs(course: &Course, package: &str, has_tests: bool) -> Result<Built> {
    let mut words = vec!["build", "-p", package, "--bins"];
    words.extend(has_tests.then_some("--tests"));
    let mut outcome = run(course, &words, &course.root, &[])?.or_fail(course, &words)?;
    let mut built = outcome.remove(package).unwrap_or_default();
    let folder = folder_of_programs(course, package);
    fs::create_dir_all(&folder)?;
    for program in built.programs.values_mut() {
        let copy = folder.join(program.file_name().unwrap_or_default());
        if copy.exists() {
            fs::remove_file(&copy)?;
        }
        // A link where it can be: what was never opened for writing is never "busy" when it is run.
        if fs::hard_link(&*program, &copy).is_err() {
            fs::copy(&*program, &copy)?;
        }
        *program = copy;
    }
    Ok(built)
}

/// Where [`all_programs`] puts the programs of a package.
pub fn folder_of_programs(course: &Course, package: &str) -> PathBuf {
    course.scratch().join("programs").join(package)
}

/// Builds the tests of lessons in one call.
pub fn tests(course: &Course, lessons: &[Lesson]) -> Result<Programs> {
    let mut words = vec!["test", "--lib", "--no-run"];
    words.extend(lessons.iter().flat_map(|it| ["-p", &it.name]));
    run(course, &words, &course.root, &[])?.or_fail(course, &words)
}

/// Where cargo builds what belongs to the course.
pub fn target(course: &Course) -> Result<PathBuf> {
    if let Some(target) = &course.target {
        return Ok(target.clone());
    }
    let mut command = cargo();
    command
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(&course.root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let finished = course.children.run(&mut command, AN_HOUR)?;
    let target = string_field(&finished.stdout.join("\n"), "target_directory");
    target.map(PathBuf::from).ok_or_else(|| {
        let errors = finished.stderr.join("\n");
        format!("`cargo metadata` failed:\n{errors}").into()
    })
}

const AN_HOUR: Duration = Duration::from_secs(3600);

/// Runs cargo in the workspace at `root`, in view of whoever watches, and collects what it has built.
pub fn run(
    course: &Course,
    words: &[&str],
    root: &Path,
    variables: &[(&str, &str)],
) -> Result<Outcome> {
    let mut command = cargo();
    command
        .args(words)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if let Some(target) = &course.target {
        command.env("CARGO_TARGET_DIR", target);
    }
    command.envs(variables.iter().copied());
    if !course.is_watched {
        command.arg("--quiet").stderr(Stdio::piped());
    }
    let finished = course.children.run(&mut command, AN_HOUR)?;
    let mut built = Programs::new();
    for artifact in finished.stdout.iter().filter_map(|line| artifact(line)) {
        let package = built.entry(artifact.package).or_default();
        if artifact.is_test {
            package.tests = Some(artifact.executable);
        } else {
            package.programs.insert(artifact.name, artifact.executable);
        }
    }
    Ok(Outcome {
        has_succeeded: finished.status.is_some_and(|status| status.success()),
        built,
        errors: finished.stderr.join("\n"),
    })
}

impl Outcome {
    fn or_fail(self, course: &Course, words: &[&str]) -> Result<Programs> {
        if self.has_succeeded {
            return Ok(self.built);
        }
        let (words, errors) = (words.join(" "), self.errors);
        Err(if course.is_watched {
            format!("`cargo {words}` failed; its errors stand above").into()
        } else {
            format!("`cargo {words}` failed:\n{errors}").into()
        })
    }
}

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// An executable that cargo has built.
#[derive(Debug, PartialEq)]
pub struct Artifact {
    pub package: String,
    pub name: String,
    pub is_test: bool,
    pub executable: PathBuf,
}

/// What one of cargo's messages says of an executable, if it does.
pub fn artifact(line: &str) -> Option<Artifact> {
    if !line.starts_with(r#"{"reason":"compiler-artifact""#) {
        return None;
    }
    let executable = PathBuf::from(string_field(line, "executable")?);
    // `path+file:///course/01-unary#unary@0.1.0`, or `…/wire#0.1.0` where the folder has the package's name.
    let id = string_field(line, "package_id")?;
    let (path, name) = id.rsplit_once('#')?;
    let package = match name.split_once('@') {
        Some((name, _)) => name,
        None => path.rsplit('/').next()?,
    };
    // The target has a field `test` too: whether it can be tested.
    let profile = &line[line.find(r#""profile":{"#)?..];
    let profile = &profile[..profile.find('}')?];
    let is_test = profile.contains(r#""test":true"#);
    let target = &line[line.find(r#""target":{"#)?..];
    if is_test && !target.contains(r#""kind":["lib"]"#) {
        // A lesson's programs have none.
        return None;
    }
    Some(Artifact {
        package: package.to_owned(),
        name: string_field(target, "name")?,
        is_test,
        executable,
    })
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
