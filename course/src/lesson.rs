//! Finds the course and its lessons: folders named `NN-name`, each with a `Cargo.toml`.

use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::problem::Result;
use crate::processes::Children;

/// A course, and how to run it.
pub struct Course {
    pub root: PathBuf,
    /// In the order of their numbers.
    pub lessons: Vec<Lesson>,
    /// The default address of the lessons' servers.
    pub address: String,
    /// How long a program may take in a check.
    pub limit: Duration,
    /// Where cargo builds; `None` leaves that to cargo.
    pub target: Option<PathBuf>,
    /// Whether somebody watches cargo's progress.
    pub is_watched: bool,
    pub children: Children,
}

/// A lesson: `04-bidi-streaming` has the number `04` and is the package `bidi-streaming`.
#[derive(Debug, PartialEq)]
pub struct Lesson {
    pub number: String,
    pub name: String,
}

impl Course {
    /// The course around the current folder, or else the one that this program was built in.
    pub fn find(address: &str, limit: Duration) -> Result<Self> {
        let here = env::current_dir()?;
        let around = here.ancestors().find(|folder| is_workspace(folder));
        let built_in = || Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let root = around.map_or_else(built_in, Path::to_path_buf);
        Self::open(root, address, limit)
    }

    pub fn open(root: PathBuf, address: &str, limit: Duration) -> Result<Self> {
        let entries = fs::read_dir(&root)
            .map_err(|error| format!("cannot read the folder {}: {error}", root.display()))?;
        let mut lessons = Vec::new();
        for entry in entries {
            let entry = entry?;
            if let Some(lesson) = Lesson::from_folder(&entry.file_name().to_string_lossy())
                && entry.path().join("Cargo.toml").is_file()
            {
                lessons.push(lesson);
            }
        }
        lessons.sort_by_key(Lesson::folder);
        Ok(Self {
            root,
            lessons,
            address: address.to_owned(),
            limit,
            target: None,
            is_watched: io::stderr().is_terminal(),
            children: Children::default(),
        })
    }

    /// The lesson called `04`, `4`, `bidi-streaming` or `04-bidi-streaming`, as a slice of one.
    ///
    /// # Errors
    ///
    /// A sentence that says that there is none.
    pub fn select(&self, which: &str) -> std::result::Result<&[Lesson], String> {
        let number = format!("{which:0>2}");
        let is_it = |lesson: &Lesson| {
            lesson.number == number || lesson.name == which || lesson.folder() == which
        };
        match self.lessons.iter().position(is_it) {
            Some(at) => Ok(&self.lessons[at..=at]),
            None => Err(format!(
                "there is no lesson `{which}`; `cargo course` lists the lessons, `cargo course help` \
                 what else can be asked"
            )),
        }
    }

    pub fn path(&self, lesson: &Lesson) -> PathBuf {
        self.root.join(lesson.folder())
    }

    /// Where checks may write. Git ignores it and `cargo clean` removes it.
    pub fn scratch(&self) -> PathBuf {
        self.root.join("target").join("check")
    }
}

impl Lesson {
    fn from_folder(folder: &str) -> Option<Self> {
        let (number, name) = folder.split_once('-')?;
        let is_number = number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| Self {
            number: number.to_owned(),
            name: name.to_owned(),
        })
    }

    /// `04-bidi-streaming/README.md`
    pub fn page(&self) -> String {
        format!("{}/README.md", self.folder())
    }

    pub fn folder(&self) -> String {
        format!("{}-{}", self.number, self.name)
    }
}

/// Reads a text file. Its lines end in LF here, whatever git has made of them.
pub fn read(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.replace("\r\n", "\n")),
        Err(error) => Err(format!("cannot read {}: {error}", path.display()).into()),
    }
}

/// Every file under `folder`, in order, as paths relative to it. Without a folder there are none.
pub fn files_under(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(files);
    };
    for entry in entries {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        if entry.file_type()?.is_dir() {
            let below = files_under(&entry.path())?;
            files.extend(below.into_iter().map(|file| name.join(file)));
        } else {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

fn is_workspace(folder: &Path) -> bool {
    fs::read_to_string(folder.join("Cargo.toml"))
        .is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "[workspace]"))
}
