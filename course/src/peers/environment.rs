//! The packages that the peers are made of, in the versions that `peers` names, below `target/peers`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::lesson::{Course, files_under, read};
use crate::peers::script::{Language, Script};
use crate::peers::tools::Tools;
use crate::problem::Result;
use crate::processes::silent;

/// How long an installation may take, on a slow line.
const LIMIT: Duration = Duration::from_secs(600);

/// How much is shown of what a failed installation has said.
const LINES: usize = 12;

pub struct Environment {
    /// `target/peers`
    pub folder: PathBuf,
    node: String,
}

impl Environment {
    /// Installs what `scripts` need and is not installed yet.
    pub fn prepare(
        course: &Course,
        tools: &Tools,
        scripts: &[Script],
        out: &mut impl Write,
    ) -> Result<Self> {
        let environment = Self {
            folder: course.root.join("target").join("peers"),
            node: tools.node.clone(),
        };
        let needs = |language| scripts.iter().any(|script| script.needs(language));
        if needs(Language::Python) {
            environment.prepare_python(course, tools, out)?;
            environment.generate_stubs(course)?;
        }
        if needs(Language::Node) {
            environment.prepare_node(course, tools, out)?;
        }
        Ok(environment)
    }

    /// The interpreter of a language, where it finds its packages.
    pub fn interpreter(&self, course: &Course, language: Language) -> Command {
        let mut command = match language {
            Language::Python => silent(self.python()),
            Language::Node => silent(&self.node),
        };
        let modules = self.folder.join("node").join("node_modules");
        let buf = if cfg!(windows) { "buf.cmd" } else { "buf" };
        command
            .env("PYTHONPATH", self.stubs())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUTF8", "1")
            .env("BUF", modules.join(".bin").join(buf))
            .env("NODE_PATH", modules)
            .env("COURSE", &course.root)
            .current_dir(&course.root);
        command
    }

    fn python(&self) -> PathBuf {
        let venv = self.folder.join("python");
        if cfg!(windows) {
            venv.join("Scripts").join("python.exe")
        } else {
            venv.join("bin").join("python")
        }
    }

    fn stubs(&self) -> PathBuf {
        self.folder.join("stubs")
    }

    fn prepare_python(&self, course: &Course, tools: &Tools, out: &mut impl Write) -> Result<()> {
        let list = course.root.join("peers").join("requirements.txt");
        let folder = self.folder.join("python");
        let Some(stamp) = Stamp::of(&list, &folder)? else {
            return Ok(());
        };
        writeln!(
            out,
            "installing the packages of peers/requirements.txt into target/peers/python"
        )?;
        let mut venv = silent(&tools.python);
        succeed(course, venv.args(["-m", "venv"]).arg(&folder))?;
        let mut pip = silent(self.python());
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ]);
        succeed(course, pip.arg(&list))?;
        stamp.write()
    }

    fn prepare_node(&self, course: &Course, tools: &Tools, out: &mut impl Write) -> Result<()> {
        let from = course.root.join("peers");
        let folder = self.folder.join("node");
        let Some(stamp) = Stamp::of(&from.join("package-lock.json"), &folder)? else {
            return Ok(());
        };
        writeln!(
            out,
            "installing the packages of peers/package-lock.json into target/peers/node"
        )?;
        fs::create_dir_all(&folder)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(from.join(file), folder.join(file))?;
        }
        let mut npm = silent(&tools.npm);
        // Not `ci`: it refuses a list without those packages that another system needs in place of this one's.
        npm.args(["install", "--no-audit", "--no-fund"])
            .current_dir(&folder);
        succeed(course, &mut npm)?;
        stamp.write()
    }

    /// Turns the course's protos into modules, as `protoc` for Python does it.
    fn generate_stubs(&self, course: &Course) -> Result<()> {
        let protos = course.root.join("protos");
        let stubs = self.stubs();
        fs::create_dir_all(&stubs)?;
        let mut protoc = silent(self.python());
        protoc
            .args(["-m", "grpc_tools.protoc", "--proto_path"])
            .arg(&protos)
            .arg("--python_out")
            .arg(&stubs)
            .arg("--grpc_python_out")
            .arg(&stubs);
        for file in files_under(&protos)? {
            if file.extension().is_some_and(|it| it == "proto") {
                protoc.arg(file);
            }
        }
        succeed(course, &mut protoc)
    }
}

/// What was installed is as the list has it if a copy of the list lies beside it.
struct Stamp {
    file: PathBuf,
    text: String,
}

impl Stamp {
    /// None: there is nothing to do. Else the folder is gone.
    fn of(list: &Path, folder: &Path) -> Result<Option<Self>> {
        let (file, text) = (folder.join("installed"), read(list)?);
        if read(&file).is_ok_and(|it| it == text) {
            return Ok(None);
        }
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        Ok(Some(Self { file, text }))
    }

    fn write(self) -> Result<()> {
        Ok(fs::write(self.file, self.text)?)
    }
}

fn succeed(course: &Course, command: &mut Command) -> Result<()> {
    let ended = course.children.run(command, LIMIT)?;
    if ended.status.is_some_and(|status| status.success()) {
        return Ok(());
    }
    let program = command.get_program().to_string_lossy();
    let words: Vec<_> = command.get_args().map(|it| it.to_string_lossy()).collect();
    let (words, ending) = (words.join(" "), ended.ending());
    let mut said = [ended.stdout, ended.stderr].concat();
    said.truncate(LINES);
    let said = said.join("\n");
    Err(format!("`{program} {words}` failed: {ending}\n{said}").into())
}
