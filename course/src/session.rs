//! Plays the commands of a page, and compares what is printed with what the page says.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::cargo::{self, Built, Programs};
use crate::compare::{
    LEFT_OUT, by_speaker, is_as_shown, is_ladder_as_shown, is_merged_as_shown, may_become,
    without_times,
};
use crate::lesson::{Course, Lesson};
use crate::problem::{Problem, Result};
use crate::processes::{Event, Finished, Stream, next, silent};
use crate::run::{self, QUIET, View};
use crate::running::{self, Running};
use crate::script::{Script, Step};
use crate::table;

/// How long a line that the page shows of a server is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the wire view is quiet before a call that the page shows is taken for missing.
const LONG_QUIET: Duration = Duration::from_secs(5);

/// What the commands of a page mean.
pub struct Setting<'a> {
    pub course: &'a Course,
    pub page: &'a str,
    /// The lesson that the page belongs to.
    pub own: Option<&'a Lesson>,
    /// What is built already.
    pub programs: Programs,
    /// The folder of the lesson's changed copy, if it is that one's programs that are played.
    pub copy: Option<&'a Path>,
}

impl Setting<'_> {
    /// Plays `scripts`, one after the other as a reader would who has a few terminals.
    pub fn play(self, scripts: &[Script]) -> Result<Vec<Problem>> {
        let mut session = Session {
            setting: self,
            listeners: Vec::new(),
            problems: Vec::new(),
        };
        session.play(scripts)?;
        Ok(session.problems)
    }
}

/// A page while it is played.
struct Session<'a> {
    setting: Setting<'a>,
    /// The programs that still run: a server, perhaps others on other addresses, and perhaps the wire view.
    listeners: Vec<Listener>,
    problems: Vec<Problem>,
}

/// A program that runs until it is stopped, and what it has printed so far.
struct Listener {
    script: Script,
    is_wire: bool,
    /// Whether the page shows what it prints.
    is_shown: bool,
    running: Running,
    events: Receiver<Event>,
    printed: Printed,
}

#[derive(Default)]
struct Printed {
    stdout: Vec<String>,
    stderr: Vec<String>,
    /// Both, as a terminal shows them.
    both: Vec<String>,
}

/// What a command on a page is to the check.
enum Kind<'a> {
    /// A program of a lesson.
    Program(&'a Lesson, &'a str),
    /// Tests of a lesson.
    Tests(&'a Lesson),
    /// The wire view.
    Wire,
    Table,
    Run(&'a Lesson, View),
    /// A command that is not run.
    Shown,
    Unknown,
}

impl Session<'_> {
    fn play(&mut self, scripts: &[Script]) -> Result<()> {
        let course = self.setting.course;
        let mut scripts = scripts.iter().peekable();
        while let Some(script) = scripts.next() {
            match self.setting.kind(script) {
                Kind::Program(lesson, "server") if script.listens() => {
                    // In a terminal of its own, beside those that listen elsewhere.
                    let is_taken =
                        |it: &Listener| it.is_wire || argument(&it.script) == argument(script);
                    if self.listeners.iter().any(is_taken) {
                        self.stop_listeners()?;
                    }
                    let command = self.command(script, &lesson.name, "server", 3)?;
                    if !self.start_listener(script, command, false)? {
                        // Whatever comes next would fail for the same reason.
                        return Ok(());
                    }
                }
                Kind::Wire => {
                    if !self.start_wire(script)? {
                        return Ok(());
                    }
                }
                Kind::Program(lesson, name) if script.is_typed() => {
                    let mut group = vec![(script, self.command(script, &lesson.name, name, 3)?)];
                    while let Some(script) = scripts.next_if(|script| script.is_typed())
                        && let Kind::Program(lesson, name) = self.setting.kind(script)
                    {
                        group.push((script, self.command(script, &lesson.name, name, 3)?));
                    }
                    self.converse(group);
                }
                Kind::Program(lesson, name) => {
                    let mut command = self.command(script, &lesson.name, name, 3)?;
                    let limit = match name {
                        // By its page it can't serve, and ends at once.
                        "server" => PATIENCE.min(course.limit),
                        _ => course.limit,
                    };
                    let finished = course.children.run(&mut command, limit)?;
                    let place = format!("{}: {}", self.place(script), script.command);
                    // Below a ladder, what the client prints once more is not repeated.
                    let has_succeeded = finished.status.is_some_and(|it| it.success());
                    let is_below_a_ladder = self.listeners.iter().any(|it| it.is_wire);
                    let is_repeated = script.steps.is_empty() && is_below_a_ladder;
                    if !(is_repeated && has_succeeded) {
                        self.problems.extend(compare(&place, script, &finished));
                    }
                }
                Kind::Tests(lesson) => self.run_tests(script, lesson)?,
                Kind::Table => {
                    let table = table::table(course);
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
            // A reader would not type the next command before these are quiet.
            for listener in &mut self.listeners {
                while let Some(event) = next(&listener.events, Instant::now() + QUIET) {
                    listener.printed.take(event);
                }
            }
        }
        self.stop_listeners()
    }

    /// `false` if it did not say that it listens.
    fn start_wire(&mut self, script: &Script) -> Result<bool> {
        // The page has shown what the server prints of a client. Of the next one it does not, and what that
        // one finds shall not depend on the one before.
        let servers = self.listeners.iter().filter(|it| !it.is_wire);
        let servers: Vec<Script> = servers.map(|it| it.script.clone()).collect();
        self.stop_listeners()?;
        for server in servers {
            let Kind::Program(lesson, name) = self.setting.kind(&server) else {
                continue;
            };
            let command = self.command(&server, &lesson.name, name, 3)?;
            if !self.start_listener(&server, command, false)? {
                return Ok(false);
            }
            self.listeners.iter_mut().for_each(|it| it.is_shown = false);
        }
        let command = self.command(script, "wire", "wire", 2)?;
        self.start_listener(script, command, true)
    }

    /// `false` if it did not say that it listens.
    fn start_listener(&mut self, script: &Script, command: Command, is_wire: bool) -> Result<bool> {
        let course = self.setting.course;
        let (sender, events) = mpsc::channel();
        let deadline = Instant::now() + course.limit;
        let mut printed = Printed::default();
        let channel = (sender, &events);
        let take = |event| {
            printed.take(event);
            Ok(())
        };
        let running = running::start(&course.children, command, "", channel, deadline, take)?;
        if let Some(running) = running {
            self.listeners.push(Listener {
                script: script.clone(),
                is_wire,
                is_shown: true,
                running,
                events,
                printed,
            });
            return Ok(true);
        }
        let got = printed.both.join("; ");
        let expected = "a program that says `listening on …`";
        let place = self.place(script);
        self.problems.push(Problem::new(place, expected, got));
        Ok(false)
    }

    /// Compares what the listeners have printed since they were started, and stops them.
    fn stop_listeners(&mut self) -> Result<()> {
        for listener in self.listeners.iter_mut().filter(|it| it.is_shown) {
            listener.wait_for_what_is_shown(PATIENCE.min(self.setting.course.limit));
        }
        // The last one first: the wire view is to see its client leave, not its server.
        while let Some(mut listener) = self.listeners.pop() {
            let ended = listener.running.process.ended()?;
            drop(listener.running);
            while let Ok(event) = listener.events.recv() {
                listener.printed.take(event);
            }
            let (script, printed) = (&listener.script, &listener.printed);
            let expected = script.printed();
            let is_as_expected = if listener.is_wire {
                is_ladder_as_shown(&expected, &printed.stdout)
            } else {
                // A page may show what goes to stderr, or leave it out.
                !listener.is_shown
                    || is_as_shown(&expected, &printed.stdout)
                    || is_merged_as_shown(&expected, &printed.stdout, &printed.stderr)
            };
            if !is_as_expected {
                let place = format!("{}: {}", self.place(script), script.command);
                let problem = Problem::diff(place, &expected, &printed.both);
                self.problems.push(problem);
            }
            if let Some(status) = ended {
                let stderr = listener.printed.stderr.join("; ");
                let got = format!("it ended by itself: {status} {stderr}");
                let place = self.place(&listener.script);
                let expected = "a server that runs until it is stopped";
                self.problems.push(Problem::new(place, expected, got));
            }
        }
        Ok(())
    }

    /// Plays programs that are typed to, all at the same time. Each one starts when the one before has said
    /// its first line.
    fn converse(&mut self, group: Vec<(&Script, Command)>) {
        let (course, page) = (self.setting.course, self.setting.page);
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

    /// Runs `cargo test -p NAME …` by the tests that are built.
    fn run_tests(&mut self, script: &Script, lesson: &Lesson) -> Result<()> {
        let course = self.setting.course;
        let built = self.built(&lesson.name)?;
        let tests = built.tests.as_ref();
        let tests = tests.ok_or_else(|| format!("{}: there are no tests", self.place(script)))?;
        let folder = course.path(lesson);
        let folder = self.setting.copy.unwrap_or(&folder);
        let mut command = silent(tests);
        let words = script.words.iter().skip(4);
        command
            .args(words.filter(|word| *word != "--"))
            .envs(script.variables.iter().cloned())
            .current_dir(folder);
        let finished = course.children.run(&mut command, course.limit)?;

        let mut got = without_times(&finished.stdout);
        // Of a changed copy, files have longer paths.
        let inside = folder.strip_prefix(course.scratch().join(lesson.folder()));
        if let Some(copy) = inside.ok().and_then(|inside| inside.iter().next()) {
            let [slash, backslash] = ["/", "\\"].map(|it| copy.to_string_lossy() + it);
            for line in &mut got {
                *line = line.replace(&*slash, "").replace(&*backslash, "");
            }
        }
        if finished.status.is_none() {
            got.push(format!("({})", finished.ending()));
        }
        self.compare_lines(script, &without_times(&script.printed()), &got);
        Ok(())
    }

    /// Runs `cargo course NN`. Which of two programs prints first may differ from run to run, so each
    /// program's lines are compared for themselves.
    fn run_lesson(&mut self, script: &Script, lesson: &Lesson, view: View) -> Result<()> {
        let mut out = Vec::new();
        let code = run::run(self.setting.course, lesson, view, &mut out)?;
        let text = String::from_utf8_lossy(&out);
        let mut got: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut expected = script.printed();
        // A page may leave out the line that its own begins with.
        let head = run::head(self.setting.course, lesson);
        got.retain(|line| expected.contains(line) || Some(line) != head.as_ref());
        if view == View::Wire {
            let is_ladder = |line: &String| run::speaker(line).is_empty();
            let [shown, printed] = [&mut expected, &mut got].map(|lines| {
                let (ladder, others) = lines.drain(..).partition(is_ladder);
                *lines = others;
                let ladder: Vec<String> = ladder;
                ladder
            });
            if !is_ladder_as_shown(&shown, &printed) {
                let place = format!("{}: {}", self.place(script), script.command);
                self.problems.push(Problem::diff(place, &shown, &printed));
            }
        }
        self.compare_lines(script, &by_speaker(expected), &by_speaker(got));
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
        let program = self.built(package)?.programs.get(name).cloned();
        let program = program
            .ok_or_else(|| format!("{}: there is no program `{name}`", self.place(script)))?;
        let mut command = silent(program);
        command
            .args(script.words.iter().skip(from))
            .envs(script.variables.iter().cloned())
            .current_dir(&self.setting.course.root);
        Ok(command)
    }

    fn built(&mut self, package: &str) -> Result<Built> {
        let Setting {
            course, programs, ..
        } = &mut self.setting;
        if let Some(built) = programs.get(package) {
            return Ok(built.clone());
        }
        let is_lesson = course.lessons.iter().any(|it| it.name == package);
        let built = cargo::all_programs(course, package, is_lesson)?;
        programs.insert(package.to_owned(), built.clone());
        Ok(built)
    }

    fn compare_lines(&mut self, script: &Script, expected: &[String], got: &[String]) {
        if !is_as_shown(expected, got) {
            let place = format!("{}: {}", self.place(script), script.command);
            self.problems.push(Problem::diff(place, expected, got));
        }
    }

    fn place(&self, script: &Script) -> String {
        format!("{}:{}", self.setting.page, script.line)
    }
}

impl<'a> Setting<'a> {
    /// What `script` asks for.
    fn kind<'b>(&self, script: &'b Script) -> Kind<'b>
    where
        'a: 'b,
    {
        let words: Vec<&str> = script.words.iter().map(String::as_str).collect();
        let course = self.course;
        let is_number = |word: &str| word.len() == 2 && word.parse::<u32>().is_ok();
        let run = |number: &str, view| match course.select(number) {
            Ok([lesson]) => Kind::Run(lesson, view),
            _ => Kind::Unknown,
        };
        match words[..] {
            // What these read would be typed to nobody.
            ["cargo", _, "server", ..] | ["cargo", "course" | "wire" | "test", ..]
                if script.is_typed() =>
            {
                Kind::Unknown
            }
            ["cargo", "course"] => Kind::Table,
            ["cargo", "course", number] if is_number(number) => run(number, View::Programs),
            ["cargo", "course", number, "--wire"] if is_number(number) => run(number, View::Wire),
            [
                "cargo",
                "course",
                "check" | "exercises" | "help" | "new" | "peers",
                ..,
            ] => Kind::Shown,
            ["cargo", "wire", ..] if !script.steps.is_empty() => Kind::Wire,
            ["cargo", "test", "-p", package, ..] if !script.steps.is_empty() => {
                match course.lessons.iter().find(|it| it.name == package) {
                    Some(lesson) => Kind::Tests(lesson),
                    None => Kind::Unknown,
                }
            }
            [
                "cargo",
                "build" | "clippy" | "doc" | "fmt" | "install" | "mutants" | "run" | "test"
                | "wire",
                ..,
            ] => Kind::Shown,
            ["cargo", number, name, ..] if is_number(number) => match course.select(number) {
                // Elsewhere than on its own page, a program may be named without being run.
                Ok([lesson]) if self.own == Some(lesson) || !script.steps.is_empty() => {
                    Kind::Program(lesson, name)
                }
                Ok(_) => Kind::Shown,
                Err(_) => Kind::Unknown,
            },
            ["git" | "cd", ..] => Kind::Shown,
            _ => Kind::Unknown,
        }
    }
}

impl Listener {
    /// Waits until all has been printed that the page shows, and then until it is quiet. Waits for no more when
    /// that can no longer happen, and `patience` at most.
    fn wait_for_what_is_shown(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let expected = self.script.printed();
        let length = expected.iter().filter(|it| it.trim() != LEFT_OUT).count();
        loop {
            let Printed { stdout, stderr, .. } = &self.printed;
            let wait = if self.is_wire {
                match is_ladder_as_shown(&expected, stdout) {
                    true => QUIET,
                    false if stdout.len() < length => patience,
                    false => LONG_QUIET,
                }
            } else if is_as_shown(&expected, stdout)
                || is_merged_as_shown(&expected, stdout, stderr)
            {
                QUIET
            } else if may_become(&expected, stdout) || !stderr.is_empty() {
                patience
            } else {
                QUIET
            };
            match next(&self.events, deadline.min(Instant::now() + wait)) {
                Some(event) => self.printed.take(event),
                None => return,
            }
        }
    }
}

impl Printed {
    fn take(&mut self, event: Event) {
        if let Some(line) = event.line {
            let stream = match event.stream {
                Stream::Out => &mut self.stdout,
                Stream::Err => &mut self.stderr,
            };
            stream.push(line.clone());
            self.both.push(line);
        }
    }
}

/// The address that a server is given, if it is.
fn argument(script: &Script) -> Option<&String> {
    script.words.get(3)
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
    // A tool may say the result on stdout, and once more by its exit code.
    if finished.status.is_none() || (!has_succeeded && got.is_empty()) {
        got.push(format!("({})", finished.ending()));
    }
    let expected = script.printed();
    (!is_as_shown(&expected, &got)).then(|| Problem::diff(place, &expected, &got))
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
