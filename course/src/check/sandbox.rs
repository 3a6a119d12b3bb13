//! Builds changed copies of a lesson: one for each patch of *Break it* and *Exercises*, all in one call of cargo.
//!
//! Each copy is a package of its own, in a workspace below `target/check`. What it depends on is the course's
//! own, and what cargo has built of a copy is kept: a second check compiles only what has changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cargo::{self, Built};
use crate::check::shape::slashes;
use crate::lesson::{Course, Lesson, files_under, read};
use crate::problem::{Problem, Result};
use crate::processes::silent;

/// A change of a lesson, and what is to be built of it.
#[derive(Clone, Debug)]
pub struct Change {
    /// `break-1`
    pub name: String,
    /// Below the lesson's folder: `breaks/1.patch`
    pub patch: String,
    pub programs: bool,
    pub tests: bool,
}

/// A changed copy, built.
pub struct Copy {
    /// The copy of the lesson's folder.
    pub folder: PathBuf,
    pub built: Built,
}

/// The copies by the name of the change, or what was wrong with it.
pub type Copies = BTreeMap<String, std::result::Result<Copy, Problem>>;

/// From the copy of a lesson's folder up to the course.
const UP: &str = "../../../../../";

pub fn build(course: &Course, lesson: &Lesson, changes: &[Change]) -> Result<Copies> {
    let sandbox = Sandbox {
        course,
        lesson,
        root: course.scratch().join(lesson.folder()),
    };
    let mut copies = Copies::new();
    let mut members = Vec::new();
    for change in changes {
        match sandbox.make(change)? {
            Ok(()) => members.push(change),
            Err(problem) => {
                copies.insert(change.name.clone(), Err(problem));
            }
        }
    }
    if members.is_empty() {
        return Ok(copies);
    }
    sandbox.make_workspace(&members)?;
    copies.extend(sandbox.build(&members)?);
    Ok(copies)
}

struct Sandbox<'a> {
    course: &'a Course,
    lesson: &'a Lesson,
    root: PathBuf,
}

impl Sandbox<'_> {
    /// Makes the copy of a change, with the lesson's own protos beside it.
    fn make(&self, change: &Change) -> Result<std::result::Result<(), Problem>> {
        let stage = self.root.join("stage");
        if stage.exists() {
            fs::remove_dir_all(&stage)?;
        }
        for folder in [&self.lesson.folder(), "protos"] {
            let from = self.course.root.join(folder);
            for file in files_under(&from)? {
                let to = stage.join(folder).join(&file);
                fs::create_dir_all(parent(&to))?;
                fs::copy(from.join(&file), &to)?;
            }
        }
        if let Err(problem) = self.apply(change, &stage)? {
            return Ok(Err(problem));
        }
        let manifest = stage.join(self.lesson.folder()).join("Cargo.toml");
        let text = self.manifest(change, &stage)?;
        fs::write(manifest, text)?;
        mirror(&stage, &self.root.join(&change.name))?;
        fs::remove_dir_all(&stage)?;
        Ok(Ok(()))
    }

    fn apply(&self, change: &Change, stage: &Path) -> Result<std::result::Result<(), Problem>> {
        let folder = self.lesson.folder();
        let patch = format!("{folder}/{}", change.patch);
        let wrong = |expected: &str, got: &str| Ok(Err(Problem::new(&patch, expected, got)));
        let Ok(text) = read(&stage.join(&patch)) else {
            return wrong("a file", "none");
        };
        let targets: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("+++ b/"))
            .collect();
        let tests = format!("{folder}/src/tests");
        if let Some(test) = targets.iter().find(|it| it.starts_with(&tests)) {
            return wrong("a change of the lesson, not of its tests", test);
        }
        let [own, protos] = [format!("{folder}/"), "protos/".to_owned()];
        let is_own = |it: &&&str| it.starts_with(&own) || it.starts_with(&protos);
        if let Some(other) = targets.iter().find(|it| !is_own(it)) {
            return wrong("a change of the lesson or of its protos", other);
        }
        let contents = || targets.iter().map(|it| fs::read(stage.join(it)).ok());
        let before: Vec<_> = contents().collect();
        let mut git = silent("git");
        git.args(["-c", "core.autocrlf=false", "apply", "--whitespace=nowarn"])
            .arg(&patch)
            .current_dir(stage)
            // No repository. Else git finds the one around the copy, takes the copy for an ignored folder
            // of it, and applies nothing, without an error.
            .env("GIT_DIR", "no-repository")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE");
        let applied = self.course.children.run(&mut git, self.course.limit)?;
        if !applied.status.is_some_and(|status| status.success()) {
            return wrong("a patch that applies", &applied.stderr.join("; "));
        }
        if targets.is_empty() || contents().zip(before).any(|(now, before)| now == before) {
            return wrong("a patch that changes something", "no change");
        }
        Ok(Ok(()))
    }

    /// The lesson's manifest for a package with a name of its own, whose programs have names of their own, and
    /// whose library has the name that the lesson's has.
    fn manifest(&self, change: &Change, stage: &Path) -> Result<String> {
        let folder = stage.join(self.lesson.folder());
        let package = self.package(change);
        let library = self.lesson.name.replace('-', "_");
        let mut manifest = format!("[lib]\nname = \"{library}\"\ndoctest = false\n");
        manifest += &format!("test = {}\n", change.tests);
        let mut section = String::new();
        for line in read(&folder.join("Cargo.toml"))?.lines() {
            if line.starts_with('[') {
                section = line.trim().to_owned();
            }
            match section.as_str() {
                "[lib]" | "[[bin]]" => {}
                "[package]" if line.starts_with("name") => {
                    manifest += &format!("name = \"{package}\"\nautobins = false\n");
                }
                _ => {
                    manifest += &line.replace("path = \"../", &format!("path = \"{UP}"));
                    manifest.push('\n');
                }
            }
        }
        if change.programs {
            for file in files_under(&folder.join("src/bin"))? {
                let name = file.with_extension("");
                manifest += &format!(
                    "\n[[bin]]\nname = \"{package}-{}\"\npath = \"src/bin/{}\"\ntest = false\n",
                    slashes(&name),
                    slashes(&file)
                );
            }
        }
        Ok(manifest)
    }

    /// `bidi-streaming-break-1`
    fn package(&self, change: &Change) -> String {
        format!("{}-{}", self.lesson.name, change.name)
    }

    /// The course's manifest with other members, and its lock file.
    fn make_workspace(&self, members: &[&Change]) -> Result<()> {
        let mut manifest = String::new();
        let mut is_list = false;
        for line in read(&self.course.root.join("Cargo.toml"))?.lines() {
            let key = line.split('=').next().unwrap_or_default().trim();
            if matches!(key, "members" | "default-members" | "exclude") {
                is_list = true;
            }
            if !is_list {
                manifest += &line.replace("path = \"", "path = \"../../../");
                manifest.push('\n');
            }
            if is_list && line.contains(']') && !line.trim_end().ends_with('[') {
                is_list = false;
            }
            if line.trim() == "[workspace]" {
                let member = |change: &&Change| {
                    let (name, folder) = (&change.name, self.lesson.folder());
                    format!("\"{name}/{folder}\"")
                };
                let members: Vec<String> = members.iter().map(member).collect();
                manifest += &format!("members = [{}]\n", members.join(", "));
            }
        }
        write_if_new(&self.root.join("Cargo.toml"), manifest.as_bytes())?;
        // Cargo leaves out of it what these packages do not need, so it is not compared with the course's own.
        let lock = self.course.root.join("Cargo.lock");
        if let Ok(lock) = fs::read(lock)
            && write_if_new(&self.root.join("Cargo.lock.course"), &lock)?
        {
            fs::write(self.root.join("Cargo.lock"), lock)?;
        }
        Ok(())
    }

    fn build(&self, members: &[&Change]) -> Result<Copies> {
        let target = cargo::target(self.course)?;
        let target = target.to_string_lossy();
        let variables = [
            ("CARGO_TARGET_DIR", &*target),
            // These are built once and run once. Dependencies are not concerned.
            ("CARGO_INCREMENTAL", "0"),
            ("CARGO_PROFILE_DEV_DEBUG", "false"),
        ];
        let words = ["build", "--workspace", "--bins", "--tests", "--keep-going"];
        let mut outcome = cargo::run(self.course, &words, &self.root, &variables)?;
        let mut copies = Copies::new();
        for change in members {
            let package = self.package(change);
            let built = outcome.built.remove(&package).unwrap_or_default();
            let folder = self.root.join(&change.name).join(self.lesson.folder());
            let built = self.with_own_names(change, built);
            let is_complete = outcome.has_succeeded || self.is_complete(change, &built);
            let copy = if is_complete {
                Ok(Copy { folder, built })
            } else {
                // Once more alone, for its errors.
                let words = ["build", "-p", &package, "--bins", "--tests"];
                let outcome = cargo::run(self.course, &words, &self.root, &variables)?;
                let errors = match outcome.errors.as_str() {
                    "" => "errors, see above",
                    errors => errors,
                };
                let place = format!("{}/{}", self.lesson.folder(), change.patch);
                Err(Problem::new(place, "code that compiles", errors))
            };
            copies.insert(change.name.clone(), copy);
        }
        Ok(copies)
    }

    /// With programs called `server` and `client` again.
    fn with_own_names(&self, change: &Change, built: Built) -> Built {
        let prefix = format!("{}-", self.package(change));
        let own =
            |(name, path): (String, PathBuf)| Some((name.strip_prefix(&prefix)?.to_owned(), path));
        Built {
            programs: built.programs.into_iter().filter_map(own).collect(),
            tests: built.tests,
        }
    }

    fn is_complete(&self, change: &Change, built: &Built) -> bool {
        let folder = self.root.join(&change.name).join(self.lesson.folder());
        let programs = files_under(&folder.join("src/bin")).unwrap_or_default();
        let has_programs = !change.programs || built.programs.len() == programs.len();
        has_programs && (!change.tests || built.tests.is_some())
    }
}

/// Makes `to` the same as `from`. Only what differs is written, so that cargo builds no more than it has to.
fn mirror(from: &Path, to: &Path) -> Result<()> {
    let files = files_under(from)?;
    for file in files_under(to)? {
        if !files.contains(&file) {
            fs::remove_file(to.join(file))?;
        }
    }
    for file in files {
        write_if_new(&to.join(&file), &fs::read(from.join(&file))?)?;
    }
    Ok(())
}

/// Whether it was new.
fn write_if_new(path: &Path, content: &[u8]) -> Result<bool> {
    let is_new = fs::read(path).ok().as_deref() != Some(content);
    if is_new {
        fs::create_dir_all(parent(path))?;
        fs::write(path, content)?;
    }
    Ok(is_new)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
