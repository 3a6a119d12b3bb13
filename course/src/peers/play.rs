//! Runs one script beside the servers that it asks for.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::cargo::{self, Built, Programs};
use crate::lesson::Course;
use crate::peers::environment::Environment;
use crate::peers::script::Script;
use crate::problem::{Problem, Result};
use crate::processes::{Event, Stream, next, silent};
use crate::running::{self, Running};

/// How long a script may take.
const LIMIT: Duration = Duration::from_secs(180);

pub struct Play<'a> {
    course: &'a Course,
    environment: &'a Environment,
    programs: Programs,
}

/// What came of a script.
#[derive(Debug, Default)]
pub struct Found {
    pub cases: usize,
    /// How many of the cases did not hold. The script has said which.
    pub failed: usize,
    /// What else went wrong.
    pub problems: Vec<Problem>,
}

impl<'a> Play<'a> {
    pub fn new(course: &'a Course, environment: &'a Environment) -> Self {
        Self {
            course,
            environment,
            programs: Programs::new(),
        }
    }

    /// Runs `script`, and shows what it says.
    pub fn run(&mut self, script: &Script, out: &mut impl Write) -> Result<Found> {
        let mut found = Found::default();
        let built = self.built(script)?;
        let mut servers = Vec::new();
        match self.prepare(script, &built, &mut servers) {
            Ok(None) => self.run_script(script, &servers, out, &mut found)?,
            Ok(Some(problem)) => found.problems.push(problem),
            Err(error) => found
                .problems
                .push(Problem::new(&script.name, "a server", error)),
        }
        for server in servers {
            if let Some(status) = server.process.ended()? {
                let expected = "a server that runs until it is stopped";
                let got = format!("it ended by itself: {status}");
                found
                    .problems
                    .push(Problem::new(&script.name, expected, got));
            }
        }
        Ok(found)
    }

    fn built(&mut self, script: &Script) -> Result<Built> {
        let Some(lesson) = script.lesson else {
            return Ok(Built::default());
        };
        if !self.programs.contains_key(&lesson.name) {
            let built = cargo::all_programs(self.course, &lesson.name, false)?;
            self.programs.insert(lesson.name.clone(), built);
        }
        Ok(self.programs.get(&lesson.name).cloned().unwrap_or_default())
    }

    /// Runs what comes before the script, and starts its servers.
    fn prepare(
        &self,
        script: &Script,
        built: &Built,
        servers: &mut Vec<Running>,
    ) -> Result<Option<Problem>> {
        let problem =
            |expected: &str, got: String| Ok(Some(Problem::new(&script.name, expected, got)));
        for words in &script.before {
            let (name, words) = words.split_first().ok_or("`before:` names no program")?;
            let mut command = self.program(built, name, words)?;
            let ended = self.course.children.run(&mut command, self.course.limit)?;
            if !ended.status.is_some_and(|status| status.success()) {
                let got = format!("{}: {}", ended.ending(), ended.stderr.join("; "));
                return problem(&format!("`{name}` that succeeds"), got);
            }
        }
        let log = File::create(self.log())?;
        for words in &script.servers {
            let words: Vec<String> = words
                .iter()
                .map(|word| with_addresses(word, servers))
                .collect();
            let command = self.program(built, "server", &words)?;
            let (sender, events) = mpsc::channel();
            let mut file = log.try_clone()?;
            let mut said = Vec::new();
            let take = |event: Event| {
                said.extend(event.line);
                Ok(())
            };
            let deadline = Instant::now() + self.course.limit;
            let channel = (sender, &events);
            let children = &self.course.children;
            let Some(running) =
                running::start(children, command, "server", channel, deadline, take)?
            else {
                let expected = "a server that says `listening on …`";
                return problem(expected, said.join("; "));
            };
            servers.push(running);
            // The script reads there what the server says, and has said.
            for line in said {
                file.write_all(format!("{line}\n").as_bytes())?;
            }
            thread::spawn(move || {
                for line in events.into_iter().filter_map(|event| event.line) {
                    let _ = file.write_all(format!("{line}\n").as_bytes());
                }
            });
        }
        Ok(None)
    }

    fn run_script(
        &self,
        script: &Script,
        servers: &[Running],
        out: &mut impl Write,
        found: &mut Found,
    ) -> Result<()> {
        let mut command = self.environment.interpreter(self.course, script.language);
        command
            .arg(self.course.root.join("peers").join(&script.name))
            .args(servers.iter().map(|server| &server.address))
            .env("SERVER_LOG", self.log());
        if let Some(lesson) = script.lesson {
            let programs = cargo::folder_of_programs(self.course, &lesson.name);
            command.env("LESSON_PROGRAMS", programs);
        }
        let (sender, events) = mpsc::channel();
        let process = self.course.children.spawn(&mut command, "", &sender)?;
        drop(sender);
        let deadline = Instant::now() + LIMIT;
        let mut errors = Vec::new();
        while let Some(event) = next(&events, deadline) {
            match (event.stream, event.line) {
                (Stream::Out, Some(line)) => {
                    found.cases += 1;
                    found.failed += usize::from(!line.starts_with("ok: "));
                    writeln!(out, "  {line}")?;
                    out.flush()?;
                }
                (Stream::Err, Some(line)) => errors.push(line),
                (_, None) => {}
            }
        }
        let status = process.wait(deadline)?;
        let has_succeeded = status.is_some_and(|status| status.success());
        if found.cases == 0 || has_succeeded != (found.failed == 0) {
            let ending = match status {
                Some(status) => format!("{} cases, {status}", found.cases),
                None => format!("no end within {} s", LIMIT.as_secs()),
            };
            let got = [vec![ending], errors].concat().join("\n    ");
            let expected = "cases, and an exit code that says whether all of them hold";
            found
                .problems
                .push(Problem::new(&script.name, expected, got));
        }
        Ok(())
    }

    fn program(&self, built: &Built, name: &str, words: &[String]) -> Result<Command> {
        let program = built.programs.get(name);
        let program = program.ok_or_else(|| format!("there is no program `{name}`"))?;
        let mut command = silent(program);
        command.args(words).current_dir(&self.course.root);
        Ok(command)
    }

    fn log(&self) -> PathBuf {
        self.environment.folder.join("server.log")
    }
}

/// `{address}` is a free one, `{1}` that of the first server.
fn with_addresses(word: &str, servers: &[Running]) -> String {
    let mut word = word.replace("{address}", "127.0.0.1:0");
    for (number, server) in (1..).zip(servers) {
        word = word.replace(&format!("{{{number}}}"), &server.address);
    }
    word
}
