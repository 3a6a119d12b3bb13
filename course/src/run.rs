//! Runs one lesson: its server, then its client, each line marked with whose it is.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::cargo::{self, Built};
use crate::lesson::{Course, Lesson, read};
use crate::page::Head;
use crate::problem::Result;
use crate::processes::{Event, next, silent};
use crate::running::{self, Running, listening_on};

/// What is shown of a lesson.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum View {
    /// What the two programs print.
    Programs,
    /// That, and what passes between them.
    Wire,
}

/// A server may print a line just after its client has ended. This long without one means that it is done.
pub const QUIET: Duration = Duration::from_millis(200);

/// A server that is never quiet is stopped all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where nobody waits for less.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs a lesson and returns the client's exit code.
pub fn run(course: &Course, lesson: &Lesson, view: View, out: &mut impl Write) -> Result<u8> {
    address_is_free(course, lesson)?;
    // Some lessons have to prepare something first.
    let has_certs = course.path(lesson).join("src/bin/certs.rs").is_file();
    let mut names = vec!["server", "client"];
    names.extend(has_certs.then_some("certs"));
    let built = cargo::some_programs(course, &lesson.name, &names)?;
    let wire = match view {
        View::Programs => None,
        View::Wire => Some(cargo::some_programs(course, "wire", &["wire"])?),
    };
    if let Some(head) = head(course, lesson) {
        writeln!(out, "{head}")?;
    }
    let (sender, events) = mpsc::channel();
    let mut play = Play {
        course,
        sender,
        events: &events,
        screen: Screen::new(view, out),
    };

    if has_certs {
        let mut certs = command(course, &built, "certs")?;
        let finished = course.children.run(&mut certs, course.limit)?;
        if !finished.status.is_some_and(|status| status.success()) {
            let said = finished.stderr.join("; ");
            return Err(format!("the certificates could not be made: {said}").into());
        }
    }
    let server = play.start(command(course, &built, "server")?, "server")?;
    let mut client = command(course, &built, "client")?;
    let mut between = None;
    if let Some(wire) = wire {
        let wire = play.start(command(course, &wire, "wire")?, "wire")?;
        client.arg(match speaks_tls(course, lesson)? {
            // The name that is in the certificate.
            true => format!("https://{}", wire.address.replace("127.0.0.1", "localhost")),
            false => format!("http://{}", wire.address),
        });
        between = Some(wire);
    }
    let client = course.children.spawn(&mut client, "client", &play.sender)?;
    let Play {
        sender, mut screen, ..
    } = play;
    drop(sender);
    let mut ends = 0;
    screen.show_until(&events, |event| {
        ends += usize::from(event.from == "client" && event.line.is_none());
        ends == 2
    })?;
    let client = client.wait(Instant::now() + A_YEAR)?;

    let patience = Instant::now() + PATIENCE;
    while let Some(event) = next(&events, patience.min(Instant::now() + QUIET)) {
        screen.take(event)?;
    }
    let ended_early = server.process.ended()?;
    // The wire view first: it is to see its client leave, not its server.
    drop(between);
    drop(server);
    screen.show_until(&events, |_| false)?;
    screen.release()?;

    if let Some(status) = ended_early {
        return Err(format!("the server ended by itself: {status}").into());
    }
    match client.and_then(|status| status.code()) {
        Some(code) => Ok(u8::try_from(code).unwrap_or(1)),
        None => Err("the client was ended by a signal".into()),
    }
}

/// A lesson while its programs are started.
struct Play<'a, W> {
    course: &'a Course,
    sender: Sender<Event>,
    events: &'a Receiver<Event>,
    screen: Screen<'a, W>,
}

impl<W: Write> Play<'_, W> {
    fn start(&mut self, command: Command, name: &'static str) -> Result<Running> {
        let children = &self.course.children;
        let channel = (self.sender.clone(), self.events);
        let deadline = Instant::now() + A_YEAR;
        let take = |event| self.screen.take(event);
        let running = running::start(children, command, name, channel, deadline, take)?;
        self.screen.release()?;
        running.ok_or_else(|| format!("the {name} did not start").into())
    }
}

/// Whether a lesson's client wants a URL that begins with `https://`.
pub fn speaks_tls(course: &Course, lesson: &Lesson) -> Result<bool> {
    let client = read(&course.path(lesson).join("src/bin/client.rs"))?;
    Ok(client.contains(r#"url.starts_with("https://")"#))
}

/// `04 · Bidirectional streaming · learn 40 minutes, exercises 30, harden 20`
pub fn head(course: &Course, lesson: &Lesson) -> Option<String> {
    // A lesson that is being written may have no page yet; it can be run all the same.
    let head = Head::of(&read(&course.root.join(lesson.page())).ok()?);
    head.minutes()?;
    Some(format!("{} · {}", head.heading, head.facts.first()?))
}

fn command(course: &Course, built: &Built, name: &str) -> Result<Command> {
    let program = built
        .programs
        .get(name)
        .ok_or_else(|| format!("there is no program `{name}`"))?;
    let mut command = silent(program);
    command.current_dir(&course.root);
    Ok(command)
}

/// # Errors
///
/// A sentence that says what to do if the lessons' default address is taken.
pub fn address_is_free(course: &Course, lesson: &Lesson) -> Result<()> {
    let (address, number) = (&course.address, &lesson.number);
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(format!(
            "{address}, the lessons' default address, is taken, probably by a lesson's server in another \
             terminal: stop that one with Ctrl-C, or run this lesson on another address with \
             `cargo {number} server 127.0.0.1:50061` and `cargo {number} client http://127.0.0.1:50061`"
        )
        .into()),
        Err(error) => Err(format!("cannot listen on {address}: {error}").into()),
    }
}

/// Shows what is printed. The wire view prints a frame just after it has passed it on, and a program may print its
/// line before that. So a line waits for the rest of the calls that have begun.
pub struct Screen<'a, W> {
    view: View,
    out: &'a mut W,
    /// The marks of the calls that have begun.
    calls: BTreeSet<String>,
    held: Vec<Event>,
    /// When the first of these came, and when the last thing did.
    first: Instant,
    last: Instant,
}

/// How long nothing may come before a line is shown that waits, and how long it waits at most.
const LULL: Duration = Duration::from_millis(50);
const HELD: Duration = Duration::from_millis(500);

impl<'a, W: Write> Screen<'a, W> {
    pub fn new(view: View, out: &'a mut W) -> Self {
        let now = Instant::now();
        Self {
            view,
            out,
            calls: BTreeSet::new(),
            held: Vec::new(),
            first: now,
            last: now,
        }
    }

    /// Shows events up to the one that is waited for, or up to the last one.
    fn show_until(
        &mut self,
        events: &Receiver<Event>,
        mut is_it: impl FnMut(&Event) -> bool,
    ) -> Result<()> {
        loop {
            let wait = match self.held.is_empty() {
                true => A_YEAR,
                false => (self.last + LULL)
                    .min(self.first + HELD)
                    .saturating_duration_since(Instant::now()),
            };
            match events.recv_timeout(wait) {
                Ok(event) => {
                    let is_last = is_it(&event);
                    self.take(event)?;
                    if is_last {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.release()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Shows an event, now or later.
    pub fn take(&mut self, event: Event) -> Result<()> {
        let Some(line) = &event.line else {
            return Ok(());
        };
        self.last = Instant::now();
        if self.view == View::Programs {
            return self.show(&event);
        }
        if event.from != "wire" {
            if self.held.is_empty() {
                self.first = self.last;
            }
            self.held.push(event);
            return Ok(());
        }
        let mark = line.split_whitespace().next().unwrap_or_default();
        let is_call = mark.bytes().all(|byte| byte.is_ascii_uppercase());
        if !is_call || self.calls.insert(mark.to_owned()) {
            // Another call: what waits was printed before it.
            self.release()?;
        }
        self.show(&event)
    }

    /// Shows what waits.
    pub fn release(&mut self) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        held.iter().try_for_each(|event| self.show(event))
    }

    fn show(&mut self, event: &Event) -> Result<()> {
        let line = event.line.as_deref().unwrap_or_default();
        let is_ladder = event.from == "wire" && listening_on(event).is_none();
        match self.view {
            View::Programs => writeln!(self.out, "{} │ {line}", event.from)?,
            // A ladder has marks of its own, and is as wide as a terminal.
            View::Wire if is_ladder => writeln!(self.out, "{line}")?,
            View::Wire => {
                for (at, part) in wrapped(line, WIDTH - MARGIN).iter().enumerate() {
                    let from = if at == 0 { event.from } else { "" };
                    writeln!(self.out, "{from:<6} {BESIDE_A_LADDER} {part}")?;
                }
            }
        }
        Ok(self.out.flush()?)
    }
}

/// What a line of a program has beside a ladder, where no line of the ladder has it.
const BESIDE_A_LADDER: char = '▸';

/// How wide a ladder is, and what of that stands left of a program's line.
const WIDTH: usize = 80;
const MARGIN: usize = 9;

/// A line in parts of at most `width` letters, broken between words where that can be.
pub fn wrapped(line: &str, width: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest: Vec<char> = line.chars().collect();
    while rest.len() > width {
        let blank = rest[..=width].iter().rposition(|it| *it == ' ');
        let at = blank.filter(|at| *at > 0);
        let tail = rest.split_off(at.unwrap_or(width));
        parts.push(rest.into_iter().collect());
        rest = tail;
        if at.is_some() {
            rest.remove(0);
        }
    }
    parts.push(rest.into_iter().collect());
    parts
}

/// The lines of each program, and those of the ladder, if `line` is one of `cargo course 04 --wire`.
pub fn speaker(line: &str) -> &str {
    let mark = line.chars().nth(MARGIN - 2);
    match line.split_whitespace().next() {
        Some(name) if mark == Some(BESIDE_A_LADDER) => name,
        _ => "",
    }
}
