//! Plays the `console` blocks of a page and compares what is printed with what the page says.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::cargo::{self, Programs};
use crate::lesson::{Course, Lesson, read};
use crate::page;
use crate::problem::{Problem, Result};
use crate::processes::{Event, Finished, Process, Stream, next, next_or_why, silent};
use crate::run::{self, QUIET, View, listening_on};
use crate::table;

/// On a page, a line that stands for any lines, or for none.
const LEFT_OUT: &str = "⋮";

/// How long a server may take for its last line after the programs that called it have ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// A command on a page, and what the page says happens then.
#[derive(Debug, PartialEq)]
pub struct Script {
    pub line: usize,
    /// `cargo 04 client Ann`
    pub command: String,
    pub steps: Vec<Step>,
}

#[derive(Debug, PartialEq)]
pub enum Step {
    /// The program prints this line.
    Prints(String),
    /// The reader types this line.
    Types(String),
}

/// The programs that are built already, by package.
pub type Stock = BTreeMap<String, Programs>;

/// Plays a page. `lesson` is the one that the page belongs to, if it is a lesson's own.
pub fn check(
    course: &Course,
    page: &str,
    lesson: Option<&Lesson>,
    stock: Stock,
) -> Result<Vec<Problem>> {
    let (scripts, problems) = scripts(page, &read(&course.root.join(page))?);
    let mut stage = Stage {
        course,
        page,
        lesson,
        stock,
        listeners: Vec::new(),
        problems,
    };
    stage.play(&scripts)?;
    Ok(stage.problems)
}

/// The scripts of a page, and what in its blocks is none.
pub fn scripts(page: &str, text: &str) -> (Vec<Script>, Vec<Problem>) {
    let (mut scripts, mut problems) = (Vec::new(), Vec::new());
    let mut wrong = |line: usize, expected: &str, got: &str| {
        problems.push(Problem::new(format!("{page}:{line}"), expected, got));
    };
    for block in page::split(text).0 {
        let first = scripts.len();
        for line in &block.lines {
            let is_command = line.text.starts_with("$ ");
            if block.language != "console" {
                if is_command {
                    wrong(line.number, "commands in a `console` block", line.text);
                }
            } else if is_command {
                scripts.push(Script {
                    line: line.number,
                    command: line.text[2..].trim().to_owned(),
                    steps: Vec::new(),
                });
            } else if scripts.len() == first {
                wrong(
                    line.number,
                    "a `console` block that begins with `$ `",
                    line.text,
                );
            } else if let Some(script) = scripts.last_mut() {
                script.steps.push(match line.text.strip_prefix("> ") {
                    Some(typed) => Step::Types(typed.to_owned()),
                    None => Step::Prints(line.text.to_owned()),
                });
            }
        }
    }
    (scripts, problems)
}

impl Script {
    fn printed(&self) -> Vec<String> {
        let printed = self.steps.iter().filter_map(|step| match step {
            Step::Prints(line) => Some(line.clone()),
            Step::Types(_) => None,
        });
        printed.collect()
    }

    fn is_typed(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Types(_)))
    }
}

/// A page while it is played.
struct Stage<'a> {
    course: &'a Course,
    page: &'a str,
    lesson: Option<&'a Lesson>,
    stock: Stock,
    /// The programs that were started last and still run: a server, and perhaps the wire view before it.
    listeners: Vec<Listener<'a>>,
    problems: Vec<Problem>,
}

/// A program that runs until it is stopped, and what it has printed so far.
struct Listener<'a> {
    script: &'a Script,
    /// Whether the page shows what it prints.
    is_shown: bool,
    process: Process,
    events: Receiver<Event>,
    stdout: Vec<String>,
    stderr: Vec<String>,
    /// Whether its streams have ended.
    is_silent: bool,
}

/// What a command on a page is to the check.
enum Kind<'a> {
    /// A program of a lesson.
    Program(&'a Lesson, &'a str),
    /// The wire view.
    Wire,
    Table,
    Run(&'a Lesson, View),
    /// A command that is not run.
    Shown,
    Unknown,
}

impl<'a> Stage<'a> {
    fn play(&mut self, scripts: &'a [Script]) -> Result<()> {
        let mut scripts = scripts.iter().peekable();
        while let Some(script) = scripts.next() {
            match self.kind(script) {
                Kind::Program(lesson, "server") => {
                    self.stop_listeners()?;
                    let command = self.command(script, &lesson.name, "server", 3)?;
                    if !self.start_listener(script, command)? {
                        // Whatever comes next would fail for the same reason.
                        return Ok(());
                    }
                }
                Kind::Wire => {
                    // The page has shown what the server prints of a client. Of the next one it does not,
                    // and what that one finds shall not depend on the one before.
                    let server = self.listeners.first().map(|listener| listener.script);
                    self.stop_listeners()?;
                    if let Some(server) = server
                        && let Kind::Program(lesson, name) = self.kind(server)
                    {
                        let command = self.command(server, &lesson.name, name, 3)?;
                        if !self.start_listener(server, command)? {
                            return Ok(());
                        }
                        self.listeners.iter_mut().for_each(|it| it.is_shown = false);
                    }
                    let command = self.command(script, "wire", "wire", 2)?;
                    if !self.start_listener(script, command)? {
                        return Ok(());
                    }
                }
                Kind::Program(lesson, name) if script.is_typed() => {
                    let mut group = vec![(script, self.command(script, &lesson.name, name, 3)?)];
                    let course = self.course;
                    let own = self.lesson;
                    let goes_on = |script: &&Script| {
                        let kind = kind(course, own, script);
                        script.is_typed() && matches!(kind, Kind::Program(..))
                    };
                    while let Some(script) = scripts.next_if(goes_on) {
                        if let Kind::Program(lesson, name) = self.kind(script) {
                            group.push((script, self.command(script, &lesson.name, name, 3)?));
                        }
                    }
                    self.converse(group);
                }
                Kind::Program(lesson, name) => {
                    let mut command = self.command(script, &lesson.name, name, 3)?;
                    let finished = self.course.children.run(&mut command, self.course.limit)?;
                    let place = format!("{}: {}", self.place(script), script.command);
                    // Below a ladder, what the client prints once more is not repeated.
                    let has_succeeded = finished.status.is_some_and(|it| it.success());
                    let is_repeated = script.steps.is_empty() && self.listeners.len() > 1;
                    if !(is_repeated && has_succeeded) {
                        self.problems.extend(compare(&place, script, &finished));
                    }
                }
                Kind::Table => {
                    let table = table::table(self.course);
                    let got: Vec<String> = table.lines().map(str::to_owned).collect();
                    self.compare_lines(script, &script.printed(), &got);
                }
                Kind::Run(lesson, view) => {
                    self.stop_listeners()?;
                    self.run_lesson(script, lesson, view)?;
                }
                Kind::Shown if script.steps.is_empty() => {}
                Kind::Shown | Kind::Unknown => {
                    let place = self.place(script);
                    let expected = "a command that can be checked, or a known one without output";
                    let got = &script.command;
                    self.problems.push(Problem::new(place, expected, got));
                }
            }
            for listener in &mut self.listeners {
                listener.settle(0, self.course.limit);
            }
        }
        self.stop_listeners()
    }

    fn kind<'b>(&self, script: &'b Script) -> Kind<'b>
    where
        'a: 'b,
    {
        kind(self.course, self.lesson, script)
    }

    /// `false` if it did not say that it listens.
    fn start_listener(&mut self, script: &'a Script, mut command: Command) -> Result<bool> {
        let (sender, events) = mpsc::channel();
        let process = self.course.children.spawn(&mut command, "", &sender)?;
        drop(sender);
        let mut listener = Listener {
            script,
            is_shown: true,
            process,
            events,
            stdout: Vec::new(),
            stderr: Vec::new(),
            is_silent: false,
        };
        let deadline = Instant::now() + self.course.limit;
        while let Some(event) = next(&listener.events, deadline) {
            let listens = listening_on(&event).is_some();
            listener.take(event);
            if listens {
                self.listeners.push(listener);
                return Ok(true);
            }
        }
        let got = [listener.stdout, listener.stderr].concat().join("; ");
        let expected = "a program that says `listening on …`";
        let place = self.place(script);
        self.problems.push(Problem::new(place, expected, got));
        Ok(false)
    }

    /// Compares what the listeners have printed since they were started, and stops them.
    fn stop_listeners(&mut self) -> Result<()> {
        for listener in self.listeners.iter_mut().filter(|it| it.is_shown) {
            let expected = listener.script.printed();
            let lines = expected
                .iter()
                .filter(|line| line.trim() != LEFT_OUT)
                .count();
            listener.settle(lines, self.course.limit);
        }
        // The last one first: the wire view is to see its client leave, not its server.
        while let Some(mut listener) = self.listeners.pop() {
            let deadline = Instant::now() + self.course.limit;
            let ended = listener
                .process
                .ended_by_itself(listener.is_silent, deadline)?;
            drop(listener.process);
            while let Ok(event) = listener.events.recv() {
                match event.stream {
                    Stream::Out => listener.stdout.extend(event.line),
                    Stream::Err => listener.stderr.extend(event.line),
                }
            }
            let expected = listener.script.printed();
            if matches!(self.kind(listener.script), Kind::Wire) {
                if !is_ladder_as_shown(&expected, &listener.stdout) {
                    let place = format!("{}: cargo wire", self.place(listener.script));
                    let problem = Problem::diff(place, &expected, &listener.stdout);
                    self.problems.push(problem);
                }
            } else if listener.is_shown {
                self.compare_lines(listener.script, &expected, &listener.stdout);
            }
            if let Some(status) = ended {
                let stderr = listener.stderr.join("; ");
                let got = format!("it ended by itself: {status} {stderr}");
                let place = self.place(listener.script);
                let expected = "a server that runs until it is stopped";
                self.problems.push(Problem::new(place, expected, got));
            }
        }
        Ok(())
    }

    /// Plays programs that are typed to, all at the same time. Each one starts when the one before has said
    /// its first line.
    fn converse(&mut self, group: Vec<(&Script, Command)>) {
        let (course, page) = (self.course, self.page);
        let problems = thread::scope(|scope| {
            let mut players = Vec::new();
            for (script, mut command) in group {
                let (speaks, spoke) = mpsc::channel();
                let place = format!("{page}:{}: {}", script.line, script.command);
                players.push(scope.spawn(move || {
                    let finished = tell(course, script, &mut command, speaks);
                    match finished {
                        Ok(finished) => compare(&place, script, &finished),
                        Err(error) => Some(Problem::new(place, "a program that runs", error)),
                    }
                }));
                // The sender is dropped, not used: at the first line, or where there is none.
                let _ = spoke.recv();
            }
            let problems = players.into_iter().map(|player| player.join());
            problems.collect::<Vec<_>>()
        });
        for problem in problems {
            self.problems.extend(problem.unwrap_or_default());
        }
    }

    /// Runs `cargo course NN`. Which of two programs prints first may differ from run to run, so each
    /// program's lines are compared for themselves.
    fn run_lesson(&mut self, script: &Script, lesson: &Lesson, view: View) -> Result<()> {
        let mut out = Vec::new();
        let code = run::run(self.course, lesson, view, run::Input::Nothing, &mut out)?;
        let text = String::from_utf8_lossy(&out);
        let got: Vec<String> = text.lines().map(str::to_owned).collect();
        self.compare_lines(script, &by_speaker(script.printed()), &by_speaker(got));
        if code != 0 {
            let place = self.place(script);
            let got = format!("exit code {code}");
            self.problems.push(Problem::new(place, "exit code 0", got));
        }
        Ok(())
    }

    /// The command of a script. Its arguments begin with word `from`.
    fn command(
        &mut self,
        script: &Script,
        package: &str,
        name: &str,
        from: usize,
    ) -> Result<Command> {
        if !self.stock.contains_key(package) {
            let programs = cargo::own_programs(self.course, package)?;
            self.stock.insert(package.to_owned(), programs);
        }
        let program = self
            .stock
            .get(package)
            .and_then(|programs| programs.get(name))
            .ok_or_else(|| format!("{}: there is no program `{name}`", self.place(script)))?;
        let mut command = silent(program);
        command
            .args(script.command.split_whitespace().skip(from))
            .current_dir(&self.course.root);
        Ok(command)
    }

    fn compare_lines(&mut self, script: &Script, expected: &[String], got: &[String]) {
        if !is_as_shown(expected, got) {
            let place = format!("{}: {}", self.place(script), script.command);
            self.problems.push(Problem::diff(place, expected, got));
        }
    }

    fn place(&self, script: &Script) -> String {
        format!("{}:{}", self.page, script.line)
    }
}

/// What `script`, on the page of `lesson` or on one that belongs to none, asks for.
fn kind<'a>(course: &'a Course, own: Option<&Lesson>, script: &'a Script) -> Kind<'a> {
    let words: Vec<&str> = script.command.split_whitespace().collect();
    let is_number = |word: &str| word.len() == 2 && word.parse::<u32>().is_ok();
    match words[..] {
        // What these read would be typed to nobody.
        ["cargo", _, "server", ..] | ["cargo", "course" | "wire", ..] if script.is_typed() => {
            Kind::Unknown
        }
        ["cargo", "course"] => Kind::Table,
        ["cargo", "course", number] if is_number(number) => match course.select(number) {
            Ok([lesson]) => Kind::Run(lesson, View::Programs),
            _ => Kind::Unknown,
        },
        ["cargo", "course", number, "--wire"] if is_number(number) => match course.select(number) {
            Ok([lesson]) => Kind::Run(lesson, View::Wire),
            _ => Kind::Unknown,
        },
        ["cargo", "course", "check" | "exercises" | "help", ..] => Kind::Shown,
        ["cargo", "wire", ..] if !script.steps.is_empty() => Kind::Wire,
        [
            "cargo",
            "build" | "clippy" | "doc" | "fmt" | "run" | "test" | "wire",
            ..,
        ] => Kind::Shown,
        ["cargo", number, name, ..] if is_number(number) => match course.select(number) {
            // Elsewhere than on its own page, a program may be named without being run.
            Ok([lesson]) if own == Some(lesson) || !script.steps.is_empty() => {
                Kind::Program(lesson, name)
            }
            Ok(_) => Kind::Shown,
            Err(_) => Kind::Unknown,
        },
        ["git", ..] => Kind::Shown,
        _ => Kind::Unknown,
    }
}

impl Listener<'_> {
    /// Waits until it has printed `lines` lines, and then until it is quiet, as a reader would who types the
    /// next command.
    fn settle(&mut self, lines: usize, limit: Duration) {
        let patience = Instant::now() + PATIENCE.min(limit);
        loop {
            let is_complete = self.stdout.len() >= lines;
            let quiet = Instant::now() + QUIET;
            let deadline = if is_complete {
                quiet.min(patience)
            } else {
                patience
            };
            match next_or_why(&self.events, deadline) {
                Ok(event) => self.take(event),
                Err(why) => {
                    self.is_silent = why == RecvTimeoutError::Disconnected;
                    return;
                }
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event.stream {
            Stream::Out => self.stdout.extend(event.line),
            Stream::Err => self.stderr.extend(event.line),
        }
    }
}

/// Plays one program that is typed to. `speaks` is dropped when it has said its first line.
fn tell(
    course: &Course,
    script: &Script,
    command: &mut Command,
    speaks: Sender<()>,
) -> Result<Finished> {
    let (sender, events) = mpsc::channel();
    let command = command.stdin(Stdio::piped());
    let mut process = course.children.spawn(command, "", &sender)?;
    drop(sender);
    let mut stdin = process.stdin.take();
    let mut finished = Finished {
        status: None,
        stdout: Vec::new(),
        stderr: Vec::new(),
    };
    let mut speaks = Some(speaks);
    let mut deadline = Instant::now() + course.limit;
    for step in &script.steps {
        match (step, &mut stdin) {
            (Step::Types(line), Some(stdin)) => {
                // Fails if the program has ended. What it printed last says why.
                let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
            }
            (Step::Types(_), None) => {}
            (Step::Prints(line), _) => {
                let got = read_line(&events, deadline, &mut finished);
                speaks = None;
                if got.as_ref() != Some(line) {
                    // Out of step, it may wait for something that will never be typed.
                    deadline = Instant::now() + QUIET;
                    break;
                }
            }
        }
    }
    drop((stdin, speaks));
    while read_line(&events, deadline, &mut finished).is_some() {}
    finished.status = process.wait(deadline)?;
    Ok(finished)
}

/// Compares a program's output with the page. A page may show a program that fails: its error then stands
/// below its output.
fn compare(place: &str, script: &Script, finished: &Finished) -> Option<Problem> {
    let has_succeeded = finished.status.is_some_and(|status| status.success());
    let mut got = finished.stdout.clone();
    if !has_succeeded {
        got.extend(finished.stderr.iter().cloned());
    }
    // A failure that leaves no trace on the page, or one that goes on for ever, is not what the page shows.
    if finished.status.is_none() || (!has_succeeded && finished.stderr.is_empty()) {
        got.push(format!("({})", finished.ending()));
    }
    let expected = script.printed();
    (!is_as_shown(&expected, &got)).then(|| Problem::diff(place, &expected, &got))
}

/// Whether the wire view printed what a page shows of it.
///
/// Calls at the same time mix in another order in each run, so each call is compared for itself. What belongs
/// to no call is not compared. `A   ⋮` stands for any lines of call A, and `⋮` for calls that are not shown.
pub fn is_ladder_as_shown(shown: &[String], printed: &[String]) -> bool {
    let (mut expected, mut got) = (calls(shown), calls(printed));
    let are_left_out = expected.remove(LEFT_OUT).is_some();
    if are_left_out {
        got.retain(|call, _| expected.contains_key(call));
    }
    let is_same = |(call, lines): (&&str, &Vec<String>)| {
        got.get(call).is_some_and(|got| is_as_shown(lines, got))
    };
    shown.first() == printed.first() && expected.len() == got.len() && expected.iter().all(is_same)
}

/// The lines of each call in a ladder, without the call's mark.
fn calls(ladder: &[String]) -> BTreeMap<&str, Vec<String>> {
    let mut calls = BTreeMap::<_, Vec<String>>::new();
    for line in ladder {
        let mark = line.split_whitespace().next().unwrap_or_default();
        if mark == LEFT_OUT || mark.bytes().all(|byte| byte.is_ascii_uppercase()) {
            calls
                .entry(mark)
                .or_default()
                .push(line[mark.len()..].trim().to_owned());
        }
    }
    calls
}

/// Whether a program printed what a page shows of it, where a line `⋮` stands for any lines.
pub fn is_as_shown(shown: &[String], printed: &[String]) -> bool {
    let parts: Vec<&[String]> = shown.split(|line| line.trim() == LEFT_OUT).collect();
    let Some((first, rest)) = parts.split_first() else {
        return printed.is_empty();
    };
    let Some(mut printed) = printed.strip_prefix(*first) else {
        return false;
    };
    let Some((last, middle)) = rest.split_last() else {
        return printed.is_empty();
    };
    for part in middle {
        let Some(at) = (0..=printed.len()).find(|&at| printed[at..].starts_with(part)) else {
            return false;
        };
        printed = &printed[at + part.len()..];
    }
    printed.ends_with(last)
}

/// The next line on stdout. Lines on stderr are kept for the end.
fn read_line(
    events: &Receiver<Event>,
    deadline: Instant,
    finished: &mut Finished,
) -> Option<String> {
    while let Some(event) = next(events, deadline) {
        match (event.stream, event.line) {
            (Stream::Out, Some(line)) => {
                finished.stdout.push(line.clone());
                return Some(line);
            }
            (Stream::Err, line) => finished.stderr.extend(line),
            (Stream::Out, None) => {}
        }
    }
    None
}

fn by_speaker(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_by(|a, b| a.split(" │ ").next().cmp(&b.split(" │ ").next()));
    lines
}
